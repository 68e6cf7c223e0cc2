//! All options of the protocol selector: video if the browser supports the protocol, a plain sentence otherwise, and the old
//! frame until the new protocol presents one.

use std::time::{Duration, Instant};

use sightline_tests::browser::{Browser, Engine, Rgb, STALL, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::run::{say, within};

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const LIVE: Duration = Duration::from_secs(30);
/// The target is 8 s to a frame. The rest is a reserve for a busy machine.
const SWITCHED: Duration = Duration::from_secs(20);
const MOVING: Duration = Duration::from_secs(2);
/// The greatest age of a frame by HLS.
const HLS_FRESH_MS: f64 = 2500.0;
/// The time for which the age must hold, and the time limit to reach it: hls.js approaches its live edge by small changes of
/// rate.
const HLS_STEADY_MS: f64 = 4000.0;
const HLS_SETTLED: Duration = Duration::from_secs(20);

async fn choose(browser: &Browser, protocol: &str) {
    browser.click(&format!("[name=protocol][value={protocol}]")).await;
}

/// Waits for video by this protocol, and checks that it moves and has the right mark.
async fn comes_by(browser: &Browser, protocol: &str) {
    let arrived = |tile: &Tile| tile.state == TileState::Live && tile.protocol.as_deref() == Some(protocol);
    browser.wait_for_tile(YARD.path, &format!("a picture by {protocol}"), SWITCHED, arrived).await;
    browser.wait_moving(YARD.path, MOVING, 20, LIVE).await;
    let mark = browser.mark(YARD.path).await;
    assert!(mark.is_like(YARD.mark), "{} by {protocol}: {mark} is shown", browser.engine());
}

#[test]
fn every_protocol_plays_or_gives_a_reason() {
    within(Duration::from_secs(300), async || {
        let camera = Camera::shared(&[YARD]).await;
        let relay = Setup::config(camera.config()).start().await;
        Browser::each(async |browser| {
            let engine = browser.engine();
            browser.open(&relay.url("/")).await;
            browser.wait_live(YARD.path, LIVE).await;
            browser.press("article.tile", 'b').await;
            browser.watch_for_black(YARD.path).await;
            comes_by(browser, engine.auto()).await;
            choose(browser, "hls").await;
            comes_by(browser, "hls").await;
            choose(browser, "webrtc").await;
            if engine == Engine::Chromium {
                comes_by(browser, "webrtc").await;
            } else {
                // Firefox without its OpenH264 plugin offers none of our codecs. This WebKitGTK has no WebRTC.
                let told = |tile: &Tile| tile.state == TileState::Error && tile.message.ends_with('.');
                browser.wait_for_tile(YARD.path, "a sentence about WebRTC", SWITCHED, told).await;
            }
            choose(browser, "mse").await;
            comes_by(browser, "mse").await;
            browser.assert_never_black().await;

            // The setting persists and applies from the start.
            choose(browser, "hls").await;
            browser.reload().await;
            comes_by(browser, "hls").await;
        })
        .await;
    });
}

mod timing {
    use super::*;

    #[test]
    fn hls_stays_within_two_and_a_half_seconds_of_the_camera() {
        within(Duration::from_secs(100), async || {
            let camera = Camera::shared(&[YARD]).await;
            let relay = Setup::config(camera.config()).start().await;
            // The bench measures WebKitGTK (part `protocols`): its software rendering fills a core.
            for engine in [Engine::Chromium, Engine::Firefox] {
                let Some(browser) = Browser::start(engine).await else { continue };
                browser.open(&relay.url("/?stream=yard&protocol=hls")).await;
                browser.wait_live(YARD.path, LIVE).await;
                let begun = Instant::now();
                let mut watch = browser.open_latency_probe(YARD.path).await;
                loop {
                    browser.collect_for(&mut watch, Duration::from_secs(1)).await;
                    let fresh = watch.fresh_since(watch.from, HLS_FRESH_MS);
                    if let Some(since) = fresh.filter(|since| watch.until - since > HLS_STEADY_MS) {
                        let seen = watch.between(since, watch.until).summary(STALL).expect("pictures with a clock");
                        say(&format!(
                            "{engine}: by HLS {:.0} ms from the camera, {:.0} at most",
                            seen.p50, seen.oldest
                        ));
                        break;
                    }
                    assert!(begun.elapsed() < HLS_SETTLED, "{engine}: {:?}", watch.summary(STALL));
                }
                browser.leave().await;
            }
        });
    }
}
