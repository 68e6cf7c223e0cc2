//! What attacks cost the relay, in one table: memory, descriptors, processor time, the frames of a viewer beside them, and a
//! visitor who logs in. Each file has the attacks on one part of the relay.

mod credentials;
mod http1;
mod http2;
mod scene;
mod webrtc;
mod websocket;

use std::time::Duration;

use sightline_tests::run::{say, within};

use scene::Scene;

const TEST: Duration = Duration::from_secs(240);
/// Memory that the relay may keep after all attacks: what the allocator does not return, and two transcodes' rings.
const KEPT_KIB: u64 = 96 * 1024;
/// The log of all attacks that are not admitted as viewers, in bytes.
const LOG_MAX: usize = 8 * 1024;
/// A line of the log with an attacker's text, in bytes.
const LINE_MAX: usize = 800;

#[test]
fn attacks_cost_bounded_memory_descriptors_and_time() {
    within(TEST, async || {
        let scene = Scene::open().await;
        let begun = scene.memory();
        http1::connections(&scene).await;
        http1::bodies(&scene).await;
        http1::malformed(&scene).await;
        http1::cached(&scene).await;
        http2::floods(&scene).await;
        http2::answers(&scene).await;
        credentials::guesses(&scene).await;
        let logged = scene.relay.log().len();
        assert!(logged < LOG_MAX, "{logged} bytes: {}", scene.relay.log());
        // From here on each viewer leaves a line.
        credentials::expired(&scene).await;
        websocket::messages(&scene).await;
        websocket::transcodes(&scene).await;
        webrtc::addresses(&scene).await;
        webrtc::offers(&scene).await;
        let log = scene.relay.log();
        let longest = log.lines().map(str::len).max();
        say(&format!("logged before viewers: {logged} bytes; afterwards the longest line: {longest:?}"));
        assert!(longest < Some(LINE_MAX) && !log.contains("\nWARN login failed"), "{log}");
        let kept = scene.memory().saturating_sub(begun);
        say(&format!("kept after all: {} MiB", kept / 1024));
        assert!(kept < KEPT_KIB, "{kept} KiB");
    });
}
