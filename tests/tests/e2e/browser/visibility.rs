//! The relay sends no media to invisible tiles. Playback resumes within a moment when a tile becomes visible again.

use std::time::Duration;

use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, throughout, until, within};

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const LIVE: Duration = Duration::from_secs(30);
/// Two seconds of delay, and a reserve for a busy machine.
const PAUSED: Duration = Duration::from_secs(8);
/// The time limit from visibility to a new frame. A round trip on loopback is negligible: the limit covers a busy machine's
/// decoder.
const BACK_MS: f64 = 1500.0;
/// The time limit for the relay to notice that another browser has left.
const SOON: Duration = Duration::from_secs(5);

/// Scrolls away and notes the position of the last frame presented. `currentTime` is another clock where a track presents.
const SCROLL_AWAY: &str = "
    const video = document.querySelector('video');
    const next = (now, frame) => {
        window.last = frame.mediaTime;
        if (window.from !== undefined && window.last > window.from + 0.15) window.back = performance.now() - window.start;
        else video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
    document.querySelector('main').style.marginTop = '4000px';
";
/// Scrolls back and records the time until the first new frame is presented.
const SCROLL_BACK: &str = "
    [window.start, window.from, window.back] = [performance.now(), window.last, null];
    document.querySelector('main').style.marginTop = '';
";

#[test]
fn tile_outside_the_viewport_pauses_and_resumes_at_once() {
    within(Duration::from_secs(150), async || {
        let camera = Camera::shared(&[CAM]).await;
        Browser::each(async |browser| {
            // A relay for each engine, since the test counts its viewers.
            let relay = Setup::config(camera.config()).start().await;
            let engine = browser.engine();
            browser.open(&relay.url("/?stream=cam")).await;
            let before = browser.wait_live("cam", LIVE).await;
            browser.script(SCROLL_AWAY, vec![]).await;
            let paused = |tile: &Tile| tile.state == TileState::Paused;
            browser.wait_for_tile("cam", "a tile out of sight to pause", PAUSED, paused).await;
            nothing_is_buffered(browser).await;
            still_holds(&relay).await;
            browser.script(SCROLL_BACK, vec![]).await;
            let tile = browser.wait_live("cam", LIVE).await;
            assert_eq!(tile.epoch, before.epoch, "{engine}: neither a new connection nor a new epoch");
            let back = async || browser.script("return window.back", vec![]).await.as_f64();
            let back = until("a new picture to be presented", Duration::from_secs(5), back).await;
            say(&format!("back on screen, {engine}: {back:.0} ms to the first new picture"));
            assert!(back < BACK_MS, "{engine}: {back:.0} ms");
        })
        .await;
    });
}

/// Browsers keep a page after leaving it, to restore it at once.
#[test]
fn page_in_the_back_forward_cache_frees_its_viewer_and_resumes() {
    within(Duration::from_secs(150), async || {
        let camera = Camera::shared(&[CAM]).await;
        Browser::each(async |browser| {
            let relay = Setup::config(camera.config()).start().await;
            browser.open(&relay.url("/?stream=cam")).await;
            browser.wait_live("cam", LIVE).await;
            browser.leave().await;
            relay.wait_for_viewers("cam", Variant::Copy, 0, SOON).await;
            browser.back().await;
            browser.wait_live("cam", LIVE).await;
            browser.wait_moving("cam", Duration::from_secs(2), 20, LIVE).await;
        })
        .await;
    });
}

/// Asserts that the buffer does not grow.
async fn nothing_is_buffered(browser: &Browser) {
    let end = async || {
        let script = "const b = document.querySelector('video').buffered; return b.length ? b.end(b.length - 1) : 0";
        browser.script(script, vec![]).await.as_f64()
    };
    // Media in transit at the time of the pause still arrives.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = end().await;
    throughout("a paused tile receives nothing", Duration::from_secs(2), async || end().await == before).await;
}

/// The source keeps running for the viewer, which may return.
async fn still_holds(relay: &Relay) {
    relay.wait_for_viewers("cam", Variant::Copy, 1, SOON).await;
}
