//! Sound in the page: off by default, audible after a click and synchronized with video, off again after another click. It
//! never stops the video.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, Rgb, STALL};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::sound_card::SoundCard;
use sightline_tests::stats::{Statistic, assert_at_most, median};

const MUTE: Mount = Mount { path: "mute", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
pub(super) const SOUND: Mount = Mount { path: "sound", kind: Kind::WithAac, mark: Rgb(0xc0, 0x40, 0x20) };
pub(super) const LIVE: Duration = Duration::from_secs(30);
pub(super) const WATCHED: Duration = Duration::from_secs(4);
/// Of the 75 frames that the camera sends in [`SWITCH`], on a busy machine.
const FRAMES: u64 = 50;
/// Turning sound on or off starts a new player, which takes a moment.
pub(super) const SWITCH: Duration = Duration::from_secs(3);
/// The bound of the offset between frame and sound, in ms, for the median of [`LOOKS`]. ITU-R BT.1359 calls 45 ms detectable.
pub(super) const SYNC_MS: f64 = 40.0;
/// The bound of the offset in any sample. The same recommendation calls 90 ms the limit of acceptability.
pub(super) const ACCEPTABLE_MS: f64 = 90.0;
pub(super) const LOOKS: usize = 3;

/// `data-audio`, and whether the element is muted.
pub(super) async fn audio(browser: &Browser, stream: &str) -> (String, bool) {
    let script = format!(
        "const tile = document.querySelector('article[data-stream={stream}]'); \
         return [tile.dataset.audio, tile.querySelector('video').muted]"
    );
    serde_json::from_value(browser.script(&script, vec![]).await).expect("a tile")
}

/// Counts how often the last frame covered the video, and the samples of an empty video without that cover.
pub(super) const WATCH_FOR_DARKNESS: &str = "
    const tile = document.querySelector('article[data-stream=sound]');
    const [video, canvas] = [tile.querySelector('video'), tile.querySelector('canvas')];
    window.covered = window.dark = 0;
    new MutationObserver(() => canvas.hidden || window.covered++).observe(canvas, { attributeFilter: ['hidden'] });
    const look = () => {
        if (canvas.hidden && video.readyState === 0) window.dark++;
        requestAnimationFrame(look);
    };
    look();
";

#[test]
fn click_toggles_audio_in_chromium() {
    in_engine(Engine::Chromium);
}

#[test]
fn click_toggles_audio_in_firefox() {
    in_engine(Engine::Firefox);
}

#[test]
fn click_toggles_audio_in_webkit() {
    in_engine(Engine::WebKit);
}

fn in_engine(engine: Engine) {
    within(Duration::from_secs(120), async move || {
        let camera = Camera::start(&[MUTE, SOUND]).await;
        let relay = Setup::config(camera.config()).start().await;
        let Some(card) = SoundCard::start().await else { return };
        if let Some(browser) = Browser::start_with_sound(engine, &card).await {
            click_and_listen(&browser, &relay, &card).await;
        }
    });
}

async fn click_and_listen(browser: &Browser, relay: &Relay, card: &SoundCard) {
    let engine = browser.engine();
    browser.open(&relay.url("/")).await;
    browser.wait_live(SOUND.path, LIVE).await;
    browser.wait_live(MUTE.path, LIVE).await;
    let known = async || (audio(browser, SOUND.path).await.0 != "none").then_some(());
    until("the page to know of the sound", LIVE, known).await;
    assert_eq!(audio(browser, SOUND.path).await, ("off".to_owned(), true), "{engine}");
    assert_eq!(audio(browser, MUTE.path).await, ("none".to_owned(), true), "{engine}: it has no sound");

    // One tile alone: with two tiles Chromium omits frame callbacks, and the latency probe overestimates the age.
    browser.open(&relay.url("/?stream=sound")).await;
    browser.wait_live(SOUND.path, LIVE).await;
    until("the page to know of the sound", LIVE, known).await;
    browser.script(WATCH_FOR_DARKNESS, vec![]).await;
    click(browser, ("on", false)).await;
    let (covered, dark): (u64, u64) =
        serde_json::from_value(browser.script("return [window.covered, window.dark]", vec![]).await)
            .expect("two numbers");
    assert!(covered > 0 && dark == 0, "{engine}: it starts over under its last picture: {covered} {dark}");
    let mut apart = Vec::new();
    for _ in 0..LOOKS {
        apart.push(look_and_listen(browser, card).await.abs());
    }
    let what = format!("{engine}: between frame and sound");
    assert_at_most(&what, &apart, Statistic::Median, SYNC_MS);
    assert_at_most(&what, &apart, Statistic::Max, ACCEPTABLE_MS);

    click(browser, ("off", true)).await;
    let (watch, beeps) = tokio::join!(browser.watch_clock(SOUND.path, WATCHED), card.listen(WATCHED));
    assert_eq!(beeps, [0.0; 0], "{engine}: still heard");
    let seen = watch.summary(STALL).unwrap_or_else(|| panic!("{engine}: no picture without sound again"));
    let frames = browser.frames_in(SOUND.path, SWITCH).await;
    assert!(frames >= FRAMES && seen.p95 < 1e3, "{engine}: without sound again {frames} frames, {seen:?}");
}

/// The delay of the audible sound relative to its frame on the screen, in ms.
pub(super) async fn look_and_listen(browser: &Browser, card: &SoundCard) -> f64 {
    let engine = browser.engine();
    let (watch, beeps) = tokio::join!(browser.watch_clock(SOUND.path, WATCHED), card.listen(WATCHED));
    let seen = watch.summary(STALL).unwrap_or_else(|| panic!("{engine}: no picture with sound"));
    assert_eq!(audio(browser, SOUND.path).await, ("on".to_owned(), false), "{engine}: it did not last");
    assert!(seen.frames as u64 >= FRAMES, "{engine}: {} frames in {WATCHED:?} with sound", seen.frames);
    assert!(beeps.len() >= 3, "{engine}: heard {beeps:?}");
    // The camera beeps when its clock is at a whole second. By HLS, frame and sound are more than a second old.
    let age = median(beeps.iter().map(|at| at.rem_euclid(1e3)).collect());
    let late = (age - seen.p50 + 500.0).rem_euclid(1e3) - 500.0;
    say(&format!(
        "sound, {engine}: {late:.0} ms after its picture, which is {:.0} ms old; {} stalls",
        seen.p50, seen.stalls
    ));
    late
}

/// Clicks on the speaker of the stream with sound, and waits for the expected state.
pub(super) async fn click(browser: &Browser, expected: (&str, bool)) {
    // The controls are visible only under the pointer.
    browser.hover("article[data-stream=sound]").await;
    let visible = "return getComputedStyle(document.querySelector('article[data-stream=sound] .tile-bar')).opacity";
    until("the controls", SWITCH, async || (browser.script(visible, vec![]).await == "1").then_some(())).await;
    browser.click("article[data-stream=sound] .tile-speaker").await;
    let done = async || (audio(browser, SOUND.path).await == (expected.0.to_owned(), expected.1)).then_some(());
    until("the sound to change", SWITCH, done).await;
    tokio::time::sleep(SWITCH).await;
    browser.wait_live(SOUND.path, LIVE).await;
}
