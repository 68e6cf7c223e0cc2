//! Playback by WebCodecs: painted frames of the camera, MSE where the browser's decoder fails or sound is on, and recovery from
//! the loss of the camera.

use std::time::Duration;

use serde_json::json;
use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::run::{until, within};

const BEFORE: Rgb = Rgb(0x20, 0x40, 0xc0);
const AFTER: Rgb = Rgb(0xc0, 0x40, 0x20);
const H264: Mount = Mount { path: "h264", kind: Kind::H264, mark: BEFORE };
const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: AFTER };
const SOUND: Mount = Mount { path: "sound", kind: Kind::WithAac, mark: BEFORE };
const LIVE: Duration = Duration::from_secs(30);
const MOVING: Duration = Duration::from_secs(2);
/// The time limit from the camera's return to video.
const BACK: Duration = Duration::from_secs(40);

/// A decoder that accepts every configuration and reports an error for it.
const BREAK: &str = r"
    window.VideoDecoder = class {
        decodeQueueSize = 0;
        constructor(init) { this.init = init; }
        configure() { setTimeout(() => this.init.error(new DOMException('broken by a test', 'EncodingError'))); }
        decode() {}
        reset() {}
        close() {}
    };
";

/// Waits for moving video of a tile by this protocol, and checks its colour.
async fn plays(browser: &Browser, mount: Mount, protocol: &str) -> Tile {
    let engine = browser.engine();
    let arrived = |tile: &Tile| tile.state == TileState::Live && tile.protocol.as_deref() == Some(protocol);
    let tile = browser.wait_for_tile(mount.path, &format!("video by {protocol}"), LIVE, arrived).await;
    browser.wait_moving(mount.path, MOVING, 25, LIVE).await;
    let mark = browser.mark(mount.path).await;
    assert!(mark.is_like(mount.mark), "{engine}: {} by {protocol} shows {mark}", mount.path);
    tile
}

#[test]
fn webcodecs_presents_the_camera() {
    presents(&[Engine::Chromium, Engine::Firefox]);
}

#[test]
fn webcodecs_presents_the_camera_in_webkit() {
    presents(&[Engine::WebKit]);
}

fn presents(engines: &'static [Engine]) {
    within(Duration::from_secs(120), async move || {
        let camera = Camera::shared(&[H264, H265]).await;
        let relay = Setup::config(camera.config()).start().await;
        Browser::each_of(engines, async |browser| {
            let engine = browser.engine();
            browser.open(&relay.url("/?protocol=webcodecs&statistics")).await;
            plays(browser, H264, "webcodecs").await;
            let age = "return Number(document.querySelector('article.tile').dataset.latencyMs)";
            let age = browser.script(age, vec![]).await.as_f64().unwrap_or(0.0);
            assert!((0.1..5_000.0).contains(&age), "{engine}: an age of {age} ms");

            // MSE plays what this browser's WebCodecs does not, or the relay transcodes.
            let live = |tile: &Tile| tile.state == TileState::Live;
            let tile = browser.wait_for_tile(H265.path, "video of H.265", LIVE, live).await;
            let protocol = tile.protocol.expect("a protocol");
            let tile = plays(browser, H265, &protocol).await;
            assert_eq!(tile.variant.as_deref() == Some("copy"), engine.plays_h265(), "{engine}: {tile:?}");
            if protocol == "mse" {
                let text = browser.text().await;
                assert!(text.contains("WebCodecs failed"), "{engine}: {text}");
            }
        })
        .await;
    });
}

#[test]
fn broken_decoder_falls_back_to_mse_with_the_reason() {
    within(Duration::from_secs(120), async || {
        let camera = Camera::shared(&[H264]).await;
        let relay = Setup::config(camera.config()).start().await;
        Browser::each(async |browser| {
            let engine = browser.engine();
            browser.open(&relay.url("/?statistics")).await;
            browser.wait_live(H264.path, LIVE).await;
            browser.press("article.tile", 'b').await;
            browser.click("[name=protocol][value=mse]").await;
            plays(browser, H264, "mse").await;
            browser.script(BREAK, vec![]).await;
            browser.click("[name=protocol][value=webcodecs]").await;
            let failed = "return document.querySelector('article.tile .tile-statistics').textContent.includes('WebCodecs failed')";
            until("the reason", LIVE, async || {
                (browser.script(failed, vec![]).await == json!(true)).then_some(())
            })
            .await;
            plays(browser, H264, "mse").await;
            assert_eq!(browser.tile(H264.path).await.expect("a tile").variant.as_deref(), Some("copy"), "{engine}");
        })
        .await;
    });
}

#[test]
fn sound_switches_to_mse_and_back() {
    switches(&[Engine::Chromium, Engine::Firefox]);
}

#[test]
fn sound_switches_to_mse_and_back_in_webkit() {
    switches(&[Engine::WebKit]);
}

fn switches(engines: &'static [Engine]) {
    within(Duration::from_secs(120), async move || {
        let camera = Camera::shared(&[SOUND]).await;
        let relay = Setup::config(camera.config()).start().await;
        Browser::each_of(engines, async |browser| {
            let engine = browser.engine();
            let audio =
                async || browser.script("return document.querySelector('article.tile').dataset.audio", vec![]).await;
            browser.open(&relay.url("/?protocol=webcodecs")).await;
            plays(browser, SOUND, "webcodecs").await;
            browser.press("article.tile", 'm').await;
            plays(browser, SOUND, "mse").await;
            assert_eq!(audio().await, json!("on"), "{engine}");
            browser.press("article.tile", 'm').await;
            plays(browser, SOUND, "webcodecs").await;
            assert_eq!(audio().await, json!("off"), "{engine}");
        })
        .await;
    });
}

#[test]
fn gap_and_camera_restart_are_played_over() {
    within(Duration::from_secs(180), async || {
        let mut camera = Camera::start(&[H264]).await;
        let relay = Setup::config(camera.config()).start().await;
        let browsers = Browser::start_all().await;
        for browser in &browsers {
            browser.open(&relay.url("/?protocol=webcodecs")).await;
        }
        for browser in &browsers {
            plays(browser, H264, "webcodecs").await;
        }
        // Silence shorter than the limit leaves a gap within the epoch.
        camera.freeze();
        tokio::time::sleep(Duration::from_secs(1)).await;
        camera.thaw();
        for browser in &browsers {
            plays(browser, H264, "webcodecs").await;
        }
        camera.stop();
        for browser in &browsers {
            let offline = |tile: &Tile| tile.state == TileState::Offline;
            browser.wait_for_tile(H264.path, "the fault", LIVE, offline).await;
            let mark = browser.mark(H264.path).await;
            assert!(mark.is_like(BEFORE), "{}: the last frame is gone, {mark} is shown", browser.engine());
        }
        camera.repaint(H264.path, AFTER);
        camera.restart().await;
        for browser in &browsers {
            let live = |tile: &Tile| tile.state == TileState::Live;
            browser.wait_for_tile(H264.path, "live video", BACK, live).await;
            plays(browser, Mount { mark: AFTER, ..H264 }, "webcodecs").await;
        }
    });
}
