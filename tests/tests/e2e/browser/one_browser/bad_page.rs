//! Faults around the page: no relay at page load, an upgraded relay, a browser without storage, a browser without autoplay, a
//! codec that the browser cannot decode. Each results in a sentence on the page, and playback continues. `bad_input.rs` tests a
//! stream that does not exist.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{File, Injector, Server};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: Rgb(0xa0, 0x20, 0xa0) };

const TEST: Duration = Duration::from_secs(150);
const LIVE: Duration = Duration::from_secs(40);
const SOON: Duration = Duration::from_secs(8);
/// The page requests the catalogue every ten seconds.
const CATALOGUE: Duration = Duration::from_secs(25);
/// 20 of 50 frames, on a busy machine.
const MOVING: (Duration, u64) = (Duration::from_secs(2), 20);

async fn scene(mount: Mount) -> (&'static Camera, Relay) {
    let camera = Camera::shared(&[mount]).await;
    let relay = Setup::config(camera.config()).start().await;
    (camera, relay)
}

/// Waits for moving video with the mount's mark.
async fn plays(browser: &Browser, mount: Mount) -> Tile {
    let tile = browser.wait_live(mount.path, LIVE).await;
    browser.wait_moving(mount.path, MOVING.0, MOVING.1, LIVE).await;
    let mark = browser.mark(mount.path).await;
    assert!(mark.is_like(mount.mark), "{}: {mark}", browser.engine());
    tile
}

/// The banner's text, and whether it offers a reload. An empty text without a banner.
async fn banner(browser: &Browser) -> (String, bool) {
    let script = "
        const banner = document.querySelector('.banner');
        return [banner?.checkVisibility() ? banner.textContent : '', !!banner?.querySelector('button')];
    ";
    serde_json::from_value(browser.script(script, vec![]).await).expect("a text and whether there is a button")
}

async fn warns(browser: &Browser, words: &[&str], reload: bool, limit: Duration) {
    let mut last = None;
    let look = async || {
        let (text, button) = banner(browser).await;
        let right = button == reload && words.iter().all(|word| text.contains(word));
        last = Some(text);
        right.then_some(())
    };
    let what = format!("{}: a banner with {words:?}", browser.engine());
    if tokio::time::timeout(limit, until(&what, limit * 2, look)).await.is_err() {
        panic!("waited {limit:?} for {what}: it says {last:?}");
    }
}

/// The page and all its files, without the relay's API.
async fn files(relay: &Relay) -> HashMap<&'static str, File> {
    let mut files = HashMap::new();
    let page = relay.get("/").await;
    for word in page.text().split(['"', '\'']).filter(|word| word.starts_with("./")) {
        let path: &'static str = word[1..].to_owned().leak();
        let file = relay.get(path).await;
        assert_eq!(file.status, 200, "{path}");
        let mime: &'static str = file.header("content-type").to_owned().leak();
        files.insert(path, (mime, file.body));
    }
    assert!(files.keys().any(|path| path.ends_with(".wasm")), "{:?}", files.keys());
    files.extend(["/", "/?stream=cam"].map(|path| (path, ("text/html", page.body.clone()))));
    files
}

#[test]
fn page_loaded_without_a_relay_recovers() {
    within(TEST, async || {
        let (_camera, mut relay) = scene(CAM).await;
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        let files = files(&relay).await;
        for path in ["/", "/?stream=cam"] {
            relay.end(Signal::TERM, SOON).await;
            let server = Server::start_at(relay.address(), files.clone()).await;
            browser.open(&server.url(path)).await;
            // The server of the page stops as well.
            drop(server);
            browser.script("window.kept = true", vec![]).await;
            let told = async || {
                let text = browser.text().await.to_lowercase();
                (text.contains("relay cannot be reached") || text.contains("relay not reachable")).then_some(())
            };
            until(&format!("{path}: the page to say so"), SOON, told).await;
            if let Some(tile) = browser.tile("cam").await {
                assert_eq!(tile.state, TileState::Reconnecting, "{path}");
            }
            relay.restart().await;
            plays(&browser, CAM).await;
            let text = browser.text().await;
            assert!(!text.contains("reach"), "{path}: {text}");
            assert_eq!(browser.script("return window.kept", vec![]).await, true, "{path}: without a reload");
        }
    });
}

/// Merges `sessionStorage.answer`, if set, into the response of `api/streams`.
const AMEND: &str = "
    const load = window.fetch;
    window.fetch = async (what, ...more) => {
        const answer = await load(what, ...more);
        if (!sessionStorage.answer || !String(what.url ?? what).includes('api/streams')) return answer;
        return Response.json({ ...await answer.json(), ...JSON.parse(sessionStorage.answer) });
    };
";

#[test]
fn relay_upgrade_asks_for_a_reload() {
    within(TEST, async || {
        let (_camera, relay) = scene(CAM).await;
        let way = Injector::start(relay.address(), AMEND).await;
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        let answers = async |answer: serde_json::Value| {
            browser.script("sessionStorage.answer = arguments[0]", vec![json!(answer.to_string())]).await;
        };
        browser.open(&way.url("/")).await;
        plays(&browser, CAM).await;
        assert_eq!(banner(&browser).await.0, "");

        answers(json!({ "version": "99.0.0" })).await;
        warns(&browser, &["99.0.0", "Reload"], true, CATALOGUE).await;
        plays(&browser, CAM).await;
        // Another protocol, and a catalogue that this page cannot parse.
        answers(json!({ "version": "99.1.0", "protocols": ["sightline.v99"], "streams": [{ "id": 7 }] })).await;
        warns(&browser, &["99.1.0", "no longer understands"], true, CATALOGUE).await;
        plays(&browser, CAM).await;

        browser.script("window.old = true; delete sessionStorage.answer", vec![]).await;
        browser.click(".banner button").await;
        let loaded = async || {
            let script = "return !window.old && document.readyState === 'complete'";
            (browser.script(script, vec![]).await == true).then_some(())
        };
        until("the page to be loaded anew", SOON, loaded).await;
        plays(&browser, CAM).await;
        assert_eq!(banner(&browser).await.0, "");
    });
}

const FORBIDDEN: &str = "
    Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('Access is denied', 'SecurityError') } });
";
const FULL: &str = "
    Storage.prototype.setItem = () => { throw new DOMException('It is full', 'QuotaExceededError') };
";

#[test]
fn missing_storage_is_reported_and_playback_works() {
    within(TEST, async || {
        let (_camera, relay) = scene(CAM).await;
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        for (script, why) in [(FORBIDDEN, "forbid"), (FULL, "full")] {
            let way = Injector::start(relay.address(), script).await;
            browser.open(&way.url("/")).await;
            browser.wait_live(CAM.path, LIVE).await;
            assert_eq!(banner(&browser).await.0, "", "{why}: nothing was chosen");
            // Settings work nevertheless.
            for key in ['s', 'b'] {
                browser.key(&[], key).await;
            }
            warns(&browser, &["does not keep", why, "not affected"], false, SOON).await;
            let both = async || {
                let script = "return document.querySelectorAll('.tile-statistics, .sidebar').length";
                (browser.script(script, vec![]).await == 2).then_some(())
            };
            until(&format!("{why}: statistics and the sidebar"), SOON, both).await;
            plays(&browser, CAM).await;
        }
    });
}

#[test]
fn blocked_autoplay_asks_for_a_tap() {
    within(TEST, async || {
        let (_camera, relay) = scene(CAM).await;
        let Some(browser) = Browser::start_without_autoplay().await else { return };
        browser.open(&relay.url("/?stream=cam")).await;
        let asks = |tile: &Tile| tile.message.contains("only after a tap") && tile.state != TileState::Live;
        browser.wait_for_tile("cam", "a sentence that asks for a tap", LIVE, asks).await;
        browser.click(".tile-tap").await;
        plays(&browser, CAM).await;
    });
}

#[test]
fn undecodable_codec_falls_back_to_the_transcode() {
    within(TEST, async || {
        let (_camera, relay) = scene(H265).await;
        // Without a GPU, Chromium has no H.265.
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        for path in ["/?stream=h265&codec=h265", "/test?stream=h265&codec=h265"] {
            browser.open(&relay.url(path)).await;
            if path.starts_with("/test") {
                browser.click("button[name=start]").await;
            }
            let tile = plays(&browser, H265).await;
            assert_eq!(tile.variant.as_deref(), Some("h264"), "{path}");
            let script = "return document.querySelector('.tile-codec').textContent";
            let label = browser.script(script, vec![]).await;
            let label = label.as_str().unwrap_or_default();
            assert!(label.contains("transcoded") && label.contains("camera's codec"), "{path}: {label}");
        }
        let log = browser.script("return document.querySelector('.test-log').textContent", vec![]).await;
        assert!(log.as_str().is_some_and(|log| log.contains("failed to decode")), "{log}");
    });
}
