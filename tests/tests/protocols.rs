//! Every choice of the protocol selector: the right picture where the browser can, a plain sentence where it cannot, and the
//! old picture until the new way has one.

use std::time::{Duration, Instant};

use serde_json::json;
use sightline_tests::browser::{Browser, Engine, Rgb, STALL, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::run::{alone, say};

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const LIVE: Duration = Duration::from_secs(30);
/// A picture within 8 s where any way exists; more for a busy machine.
const SWITCHED: Duration = Duration::from_secs(20);
const MOVING: Duration = Duration::from_secs(2);
/// How old a picture by HLS gets.
const HLS_FRESH_MS: f64 = 2500.0;
/// For so long, and so soon: hls.js finds its edge by small changes of rate.
const HLS_STEADY_MS: f64 = 4000.0;
const HLS_SETTLED: Duration = Duration::from_secs(20);

/// Notes at every refresh whether there was something to see: a video that seeks keeps its picture.
const WATCH_FOR_BLACK: &str = r"
    const tile = document.querySelector('article.tile');
    const [video, canvas] = [tile.querySelector('video'), tile.querySelector('canvas')];
    window.black = 0;
    const look = () => {
        if (canvas.hidden && !video.seeking && (video.readyState < 2 || video.videoWidth === 0)) window.black += 1;
        requestAnimationFrame(look);
    };
    look();
";

async fn choose(browser: &Browser, protocol: &str) {
    browser.click(&format!("[name=protocol][value={protocol}]")).await;
}

/// Waits until the picture gets here that way, and checks that it is the right one and moves.
async fn comes_by(browser: &Browser, protocol: &str) {
    let arrived = |tile: &Tile| tile.state == TileState::Live && tile.protocol.as_deref() == Some(protocol);
    browser.wait_for_tile(YARD.path, &format!("a picture by {protocol}"), SWITCHED, arrived).await;
    browser.wait_moving(YARD.path, MOVING, 20, LIVE).await;
    let mark = browser.mark(YARD.path).await;
    assert!(mark.is_like(YARD.mark), "{} by {protocol}: {mark} is shown", browser.engine());
}

#[test]
fn every_choice_shows_the_right_picture_or_says_why_not() {
    alone(Duration::from_secs(300), async || {
        let camera = Camera::start(&[YARD]).await;
        let relay = Setup::config(camera.config()).start().await;
        for browser in Browser::start_all().await {
            let engine = browser.engine();
            browser.open(&relay.url("/")).await;
            browser.wait_live(YARD.path, LIVE).await;
            browser.press("article.tile", 'b').await;
            browser.script(WATCH_FOR_BLACK, vec![]).await;
            comes_by(&browser, "mse").await; // Auto's choice
            choose(&browser, "hls").await;
            comes_by(&browser, "hls").await;
            choose(&browser, "webrtc").await;
            if engine == Engine::Chromium {
                comes_by(&browser, "webrtc").await;
            } else {
                // Firefox without its OpenH264 plugin offers no codec of ours; this WebKitGTK has no WebRTC.
                let told = |tile: &Tile| tile.state == TileState::Error && tile.message.ends_with('.');
                browser.wait_for_tile(YARD.path, "a sentence about WebRTC", SWITCHED, told).await;
            }
            choose(&browser, "mse").await;
            comes_by(&browser, "mse").await;
            let black = browser.script("return window.black", vec![]).await;
            assert_eq!(black, json!(0), "{engine}: there was nothing to see for some refreshes");

            // Kept, and obeyed from the start.
            choose(&browser, "hls").await;
            browser.reload().await;
            comes_by(&browser, "hls").await;
            browser.leave().await;
        }
    });
}
#[test]
fn hls_stays_within_two_and_a_half_seconds_of_the_camera() {
    alone(Duration::from_secs(100), async || {
        let camera = Camera::start(&[YARD]).await;
        let relay = Setup::config(camera.config()).start().await;
        // WebKitGTK, whose software rendering fills a core, is the bench's to measure (part `ways`).
        for engine in [Engine::Chromium, Engine::Firefox] {
            let Some(browser) = Browser::start(engine).await else { continue };
            browser.open(&relay.url("/?stream=yard&protocol=hls")).await;
            browser.wait_live(YARD.path, LIVE).await;
            let begun = Instant::now();
            let mut watch = browser.open_eye(YARD.path).await;
            loop {
                browser.collect_for(&mut watch, Duration::from_secs(1)).await;
                let fresh = watch.fresh_since(watch.from, HLS_FRESH_MS);
                if let Some(since) = fresh.filter(|since| watch.until - since > HLS_STEADY_MS) {
                    let seen = watch.between(since, watch.until).summary(STALL).expect("pictures with a clock");
                    say(&format!("{engine}: by HLS {:.0} ms from the camera, {:.0} at most", seen.p50, seen.oldest));
                    break;
                }
                assert!(begun.elapsed() < HLS_SETTLED, "{engine}: {:?}", watch.summary(STALL));
            }
            browser.leave().await;
        }
    });
}
