//! Every choice of the protocol selector: the right picture where the browser can, a plain sentence where it cannot, and the
//! old picture until the new way has one.

use std::time::Duration;

use serde_json::json;
use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::run::alone;

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const LIVE: Duration = Duration::from_secs(30);
/// A picture within 8 s where any way exists; more for a busy machine.
const SWITCHED: Duration = Duration::from_secs(20);
const MOVING: Duration = Duration::from_secs(2);

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
    browser.wait_moving(YARD.path, MOVING, 20, SWITCHED).await;
    let mark = browser.mark(YARD.path).await;
    assert!(mark.is_like(YARD.mark), "{} by {protocol}: {mark} is shown", browser.engine());
}

#[test]
fn every_choice_shows_the_right_picture_or_says_why_not() {
    alone(Duration::from_secs(300), async {
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
