//! Sound by WebRTC in the page: off by default, in sync with its frames after `M`, at the chosen volume, and off again. Chromium
//! alone: Firefox has no H.264 for WebRTC without a plugin, and this WebKitGTK has no WebRTC.

use std::time::Duration;

use serde_json::json;
use sightline_tests::browser::{Browser, Engine, Rgb};
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::sound_card::SoundCard;
use sightline_tests::stats::{Statistic, assert_at_most};

use super::sound::{LIVE, LOOKS, SWITCH, WATCH_FOR_DARKNESS, audio, look_and_listen};

/// Chromium aligns the tracks from the second report of each on, by half of their distance every three seconds (libwebrtc,
/// `StreamSynchronization`).
const ALIGNED: Duration = Duration::from_secs(20);
/// The bound of the offset between frame and sound, in ms, for the median of [`LOOKS`]. Chromium is content with 30 ms (the same), by
/// its own estimate, which does not know the refresh of the screen and the last period of the sound card. A single look may find its
/// sound buffer larger for a while. What the relay sends is in
/// sync within 40 ms (test `whep_audio`).
const SYNC_MS: f64 = 60.0;
/// The relay's idle timeout, and an FFmpeg that ends.
const STOPPED: Duration = Duration::from_secs(LINGER_SECONDS + 5);

#[test]
fn aac_is_in_sync_by_webrtc() {
    in_sync(Kind::WithAac);
}

#[test]
fn g711_is_in_sync_by_webrtc() {
    in_sync(Kind::WithAlaw);
}

#[test]
fn opus_is_in_sync_by_webrtc() {
    in_sync(Kind::WithOpus);
}

fn in_sync(kind: Kind) {
    within(Duration::from_secs(120), async move || {
        let camera = Camera::start(&[Mount { path: "sound", kind, mark: Rgb(0xc0, 0x40, 0x20) }]).await;
        let relay = Setup::config(camera.config()).start().await;
        let Some(card) = SoundCard::start().await else { return };
        if let Some(browser) = Browser::start_with_sound(Engine::Chromium, &card).await {
            press_and_listen(&browser, &relay, &card, kind).await;
        }
    });
}

async fn press_and_listen(browser: &Browser, relay: &Relay, card: &SoundCard, kind: Kind) {
    browser.open(&relay.url("/?stream=sound&protocol=webrtc")).await;
    browser.wait_live("sound", LIVE).await;
    switched(browser, ("off", true)).await;
    assert!(relay.encoders().is_empty(), "without a listener: {:?}", relay.encoders());

    browser.script(WATCH_FOR_DARKNESS, vec![]).await;
    browser.press("article.tile", 'm').await;
    switched(browser, ("on", false)).await;
    assert_eq!(browser.wait_live("sound", LIVE).await.protocol.as_deref(), Some("webrtc"));
    tokio::time::sleep(ALIGNED).await;
    let darkness = browser.script("return [window.covered > 0, window.dark]", vec![]).await;
    assert_eq!(darkness, json!([true, 0]), "it starts over under its last frame");
    let mut apart = Vec::new();
    for _ in 0..LOOKS {
        apart.push(look_and_listen(browser, card).await.abs());
    }
    let what = format!("WebRTC, {kind:?}: between frame and sound");
    assert_at_most(&what, &apart, Statistic::Median, SYNC_MS);

    let slide = "const slider = document.querySelector('.tile-volume'); slider.value = 0; \
                 slider.dispatchEvent(new Event('input', { bubbles: true }))";
    browser.script(slide, vec![]).await;
    let volume = "return document.querySelector('article.tile video').volume";
    until("the volume", SWITCH, async || (browser.script(volume, vec![]).await == 0).then_some(())).await;
    assert_eq!(card.listen(SWITCH).await, [0.0; 0], "at no volume");

    browser.press("article.tile", 'm').await;
    switched(browser, ("off", true)).await;
    browser.wait_live("sound", LIVE).await;
    let silent = async || relay.encoders().is_empty().then_some(());
    until("the encoder to stop", STOPPED, silent).await;
}

/// Waits for `data-audio`, and whether the video is muted.
async fn switched(browser: &Browser, expected: (&str, bool)) {
    let done = async || (audio(browser, "sound").await == (expected.0.to_owned(), expected.1)).then_some(());
    until("the sound to change", LIVE, done).await;
}
