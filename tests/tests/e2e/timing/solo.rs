//! A small tile of a camera with a sub stream that is made large: the main stream replaces it soon, and time does not step back.

use std::time::Duration;

use sightline_protocol::fragment::{FragmentHead, NtpTime};
use sightline_tests::browser::{Browser, Sample, Tile, TileState, WALL, Watch};
use sightline_tests::camera::Camera;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::stats::{Statistic, assert_at_most};
use sightline_tests::viewer::{Event, PLAYS_H264, Viewer};

use crate::sub_streams::{MAIN, MAIN_SIZE, SUB, stream};

const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);
/// The bound from the main stream's first key frame to its first frame on the screen, in ms.
const SOLO_MS: f64 = 500.0;
/// The bound of a step back in time at the change, in ms: one frame, and a refresh that comes late.
const STEP_BACK_MS: f64 = 45.0;

#[test]
fn main_stream_is_shown_soon_after_its_key_frame_without_a_step_back() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let streams: String = (0..9).map(|n| stream(&camera, &format!("cam{n}"), "")).collect();
        let relay = Setup::config(format!("{}{streams}", camera.config_of([]))).start().await;
        let (mut shown, mut steps) = (Vec::new(), Vec::new());
        // Each takes another tile: the main stream of the last one may still run.
        for (n, browser) in Browser::start_all().await.iter().enumerate() {
            let name = format!("cam{n}");
            browser.resize(WALL).await;
            browser.open(&relay.url("/?protocol=mse")).await;
            let sub = |tile: &Tile| tile.state == TileState::Live && tile.variant.as_deref() == Some("low");
            browser.wait_for_tile(&name, "the sub stream", START, sub).await;
            let (key_frame, watch) = enlarge(browser, &relay, &camera, &name).await;
            let is_main = |sample: &&Sample| sample.width == u32::from(MAIN_SIZE.width);
            let first = watch.samples.iter().find(is_main).expect("a frame of the main stream");
            say(&format!("{}: {:.0} ms, {:.0} ms back", browser.engine(), first.at - key_frame, watch.step_back()));
            shown.push(first.at - key_frame);
            steps.push(watch.step_back());
            browser.leave().await;
        }
        assert_at_most("from the key frame to the first frame", &shown, Statistic::Max, SOLO_MS);
        assert_at_most("back in time at the change", &steps, Statistic::Max, STEP_BACK_MS);
    });
}

/// Double-clicks a tile. Returns when the relay got the main stream's first key frame, and the frames on the screen.
async fn enlarge(browser: &Browser, relay: &Relay, camera: &Camera, stream: &str) -> (f64, Watch) {
    let before = camera.viewers(MAIN.path).total;
    let mut watch = browser.open_latency_probe(stream).await;
    browser.collect_for(&mut watch, Duration::from_secs(1)).await;
    browser.double_click(&format!("article[data-stream={stream}]")).await;
    let is_read = async || (camera.viewers(MAIN.path).total > before).then_some(());
    until("the main stream to be read", SOON, is_read).await;
    // Gets the same GOP from its key frame on.
    let mut viewer = Viewer::playing(relay, stream, &PLAYS_H264).await;
    let captured = |event: &Event| match event {
        Event::Media(bytes) => FragmentHead::read(bytes).ok()?.capture.map(NtpTime::unix_ms),
        _ => None,
    };
    let key_frame = viewer.wait_for("the first key frame", SOON, captured).await;
    browser.collect_for(&mut watch, Duration::from_secs(3)).await;
    (key_frame, watch)
}
