//! The variant of a WebRTC session: in the response header, in the tile and on the test page, from the first epoch on and after
//! each change.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http;
use sightline_tests::offer::offer;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, within};

const RED: Mount = Mount { path: "red", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const BLUE: Mount = Mount { path: "blue", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const TEST: Duration = Duration::from_secs(90);
const LIVE: Duration = Duration::from_secs(30);

/// The video codecs that the browser receives by WebRTC.
const CODECS: &str =
    "return [...new Set(RTCRtpReceiver.getCapabilities('video').codecs.map(codec => codec.mimeType))].join(' ')";
const LABEL: &str = "return document.querySelector(`article.tile[data-stream=\"${arguments[0]}\"]`).innerText";

/// Waits until the stream plays by WebRTC in this variant, and returns its tile.
async fn plays(browser: &Browser, stream: &str, variant: &str) -> Tile {
    let wanted = |tile: &Tile| {
        let by_webrtc = tile.protocol.as_deref() == Some("webrtc");
        tile.state == TileState::Live && by_webrtc && tile.variant.as_deref() == Some(variant)
    };
    browser.wait_for_tile(stream, &format!("{stream} by WebRTC as {variant}"), LIVE, wanted).await
}

async fn says(browser: &Browser, stream: &str, words: &str) {
    let text = browser.script(LABEL, vec![stream.into()]).await;
    assert!(text.as_str().is_some_and(|text| text.contains(words)), "{stream}: {text}, not {words:?}");
}

/// The variant in the response to an offer of H.264.
async fn header(relay: &Relay, path: &str) -> String {
    let headers = [("Content-Type", "application/sdp")];
    let answer = http::send(relay.address(), "POST", path, &headers, offer(&["H264"]).into()).await.expect("an answer");
    assert_eq!(answer.status, 201, "{path}: {}", answer.text());
    answer.header("sightline-variant").to_owned()
}

#[test]
fn tile_says_untouched_for_h264_and_transcoded_for_h265() {
    within(TEST, async || {
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        let camera = Camera::shared(&[RED, BLUE]).await;
        let relay = Setup::config(camera.config_with_low()).start().await;
        assert_eq!(header(&relay, "/whep/red").await, "", "the camera's format is not known yet");
        browser.open(&relay.url("/?protocol=webrtc")).await;
        let codecs = browser.script(CODECS, vec![]).await.as_str().unwrap_or_default().to_owned();
        say(&format!("Chromium receives by WebRTC: {codecs}"));
        let h265 = codecs.contains("video/H265");

        let tile = plays(&browser, "red", "copy").await;
        assert!(tile.codec.as_deref().is_some_and(|codec| codec.starts_with("avc1.")), "{tile:?}");
        says(&browser, "red", "H.264 · untouched").await;
        let tile = plays(&browser, "blue", if h265 { "copy" } else { "h264" }).await;
        let family = if h265 { "hvc1." } else { "avc1." };
        assert!(tile.codec.as_deref().is_some_and(|codec| codec.starts_with(family)), "{tile:?}");
        says(&browser, "blue", if h265 { "H.265 · untouched" } else { "H.264 · transcoded" }).await;
        browser.screenshot("webrtc-variant").await;
        assert_eq!(header(&relay, "/whep/red").await, "copy");
        assert_eq!(header(&relay, "/whep/red?codec=low").await, "low");
        assert_eq!(header(&relay, "/whep/blue").await, "h264");

        browser.open(&relay.url("/test?stream=red")).await;
        browser.click("select[name=protocol] option[value=webrtc]").await;
        browser.click("button[name=start]").await;
        plays(&browser, "red", "copy").await;
        let text = browser.text().await;
        assert!(text.contains("H.264 · untouched") && text.contains("avc1."), "{text}");
        browser.screenshot("webrtc-variant-test-page").await;
    });
}

#[test]
fn tile_says_transcoded_once_the_camera_sends_b_frames() {
    within(TEST, async || {
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        let mut camera = Camera::start(&[RED]).await;
        let relay = Setup::config(camera.config()).start().await;
        browser.open(&relay.url("/?stream=red&protocol=webrtc")).await;
        let before = plays(&browser, "red", "copy").await;
        camera.change("red", Kind::BFrames);
        camera.restart().await;
        let after = plays(&browser, "red", "h264").await;
        assert!(after.epoch > before.epoch, "{before:?}, then {after:?}");
        says(&browser, "red", "H.264 · transcoded — the camera sends B-frames").await;
    });
}
