//! Sound by HLS in the page: off by default, synchronized with the video after a click, off again by the key M.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, STALL};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::run::{until, within};
use sightline_tests::sound_card::SoundCard;
use sightline_tests::stats::{Statistic, assert_at_most};

use super::sound::{
    ACCEPTABLE_MS, LIVE, LOOKS, SOUND, SWITCH, SYNC_MS, WATCH_FOR_DARKNESS, WATCHED, audio, click, look_and_listen,
};

/// hls.js approaches its live edge by small changes of rate, which stretch the sound.
const SETTLE: Duration = Duration::from_secs(6);

async fn muted(browser: &Browser) -> bool {
    audio(browser, SOUND.path).await == ("off".to_owned(), true)
}

/// Turns the sound of a camera on and off, and measures it.
async fn listen_by_hls(engine: Engine, kind: Kind) {
    let camera = Camera::start(&[Mount { kind, ..SOUND }]).await;
    let relay = Setup::config(camera.config()).start().await;
    let Some(card) = SoundCard::start().await else { return };
    let Some(browser) = Browser::start_with_sound(engine, &card).await else { return };
    browser.open(&relay.url("/?stream=sound&protocol=hls")).await;
    browser.wait_live(SOUND.path, LIVE).await;
    until("the page to know of the sound", LIVE, async || muted(&browser).await.then_some(())).await;
    let listeners = async || relay.stream(SOUND.path).await.audio.expect("it has sound").listeners;
    assert_eq!(listeners().await, 0, "{engine}: a muted page requests no sound");

    browser.script(WATCH_FOR_DARKNESS, vec![]).await;
    click(&browser, ("on", false)).await;
    let watched = browser.script("return [window.covered, window.dark]", vec![]).await;
    let (covered, dark): (u64, u64) = serde_json::from_value(watched).expect("two numbers");
    assert!(covered > 0 && dark == 0, "{engine}: it starts over under its last picture: {covered} {dark}");
    assert_eq!(listeners().await, 1, "{engine}");
    tokio::time::sleep(SETTLE).await;
    let mut apart = Vec::new();
    for _ in 0..LOOKS {
        apart.push(look_and_listen(&browser, &card).await.abs());
    }
    let what = format!("{engine}, {kind:?} by HLS: between frame and sound");
    assert_at_most(&what, &apart, Statistic::Median, SYNC_MS);
    assert_at_most(&what, &apart, Statistic::Max, ACCEPTABLE_MS);

    browser.press("article[data-stream=sound]", 'm').await;
    until("the sound to be off", SWITCH, async || muted(&browser).await.then_some(())).await;
    browser.wait_live(SOUND.path, LIVE).await;
    tokio::time::sleep(SWITCH).await;
    let (watch, beeps) = tokio::join!(browser.watch_clock(SOUND.path, WATCHED), card.listen(WATCHED));
    assert_eq!(beeps, [0.0; 0], "{engine}: still heard");
    assert!(watch.summary(STALL).is_some(), "{engine}: no picture without sound again");
    until("the sound to end", Duration::from_secs(20), async || (listeners().await == 0).then_some(())).await;
}

#[test]
fn aac_is_heard_with_its_frame_in_chromium() {
    within(Duration::from_secs(120), || listen_by_hls(Engine::Chromium, Kind::WithAac));
}

#[test]
fn telephone_codec_is_heard_with_its_frame_in_chromium() {
    within(Duration::from_secs(120), || listen_by_hls(Engine::Chromium, Kind::WithAlaw));
}

#[test]
fn opus_is_heard_with_its_frame_in_chromium() {
    within(Duration::from_secs(120), || listen_by_hls(Engine::Chromium, Kind::WithOpus));
}
