//! Sound in the page: off until asked for, heard at a click and with the picture it belongs to, off again, and never what
//! stops the picture.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, Rgb, STALL};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::figures::median;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{alone, say, until};
use sightline_tests::sound_card::SoundCard;

const MUTE: Mount = Mount { path: "mute", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const SOUND: Mount = Mount { path: "sound", kind: Kind::WithAac, mark: Rgb(0xc0, 0x40, 0x20) };
const LIVE: Duration = Duration::from_secs(30);
const WATCHED: Duration = Duration::from_secs(6);
/// Of the 75 that the camera sends in [`SWITCH`], on a machine that is shared.
const FRAMES: u64 = 50;
/// Sound that comes or goes costs the picture a new player, and that a moment.
const SWITCH: Duration = Duration::from_secs(3);
/// What may lie between picture and sound, in ms: ITU-R BT.1359 has 45 ms as detectable, and 90 ms as not acceptable. A busy
/// machine shows pictures a frame or two late for a while, so one of [`LOOKS`] must be within the one, and all within the other.
const SYNC_MS: f64 = 40.0;
const ACCEPTABLE_MS: f64 = 90.0;
const LOOKS: usize = 3;

/// `data-audio`, and whether the element is muted.
async fn audio(browser: &Browser, stream: &str) -> (String, bool) {
    let script = format!(
        "const tile = document.querySelector('article[data-stream={stream}]'); \
         return [tile.dataset.audio, tile.querySelector('video').muted]"
    );
    serde_json::from_value(browser.script(&script, vec![]).await).expect("a tile")
}

/// Counts how often the last picture was laid over the video, and the looks at an empty video that had none.
const WATCH_FOR_DARKNESS: &str = "
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

// One for each browser: each has a second try of its own where all tests are run.
#[test]
fn a_click_turns_sound_on_and_another_off_in_chromium() {
    in_engine(Engine::Chromium);
}

#[test]
fn a_click_turns_sound_on_and_another_off_in_firefox() {
    in_engine(Engine::Firefox);
}

#[test]
fn a_click_turns_sound_on_and_another_off_in_webkit() {
    in_engine(Engine::WebKit);
}

fn in_engine(engine: Engine) {
    alone(Duration::from_secs(120), async || {
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

    // Alone: with two tiles Chromium does not call back for every frame, and the eye takes the picture for older than it is.
    browser.open(&relay.url("/?stream=sound")).await;
    browser.wait_live(SOUND.path, LIVE).await;
    until("the page to know of the sound", LIVE, known).await;
    browser.script(WATCH_FOR_DARKNESS, vec![]).await;
    click(browser, ("on", false)).await;
    let (covered, dark): (u64, u64) =
        serde_json::from_value(browser.script("return [window.covered, window.dark]", vec![]).await)
            .expect("two numbers");
    assert!(covered > 0 && dark == 0, "{engine}: it starts over under its last picture: {covered} {dark}");
    let mut late = Vec::new();
    while late.len() < LOOKS && late.last().is_none_or(|late: &f64| late.abs() >= SYNC_MS) {
        late.push(look_and_listen(browser, card).await);
    }
    assert!(late.iter().all(|late| late.abs() < ACCEPTABLE_MS), "{engine}: sound is {late:.0?} ms after its picture");
    assert!(late.iter().any(|late| late.abs() < SYNC_MS), "{engine}: sound is {late:.0?} ms after its picture");

    click(browser, ("off", true)).await;
    let (watch, beeps) = tokio::join!(browser.watch_clock(SOUND.path, WATCHED), card.listen(WATCHED));
    assert_eq!(beeps, [0.0; 0], "{engine}: still heard");
    let seen = watch.summary(STALL).unwrap_or_else(|| panic!("{engine}: no picture without sound again"));
    let frames = browser.frames_in(SOUND.path, SWITCH).await;
    assert!(frames >= FRAMES && seen.p95 < 1e3, "{engine}: without sound again {frames} frames, {seen:?}");
}

/// How many ms the sound that is on is heard after its picture is seen.
async fn look_and_listen(browser: &Browser, card: &SoundCard) -> f64 {
    let engine = browser.engine();
    let (watch, beeps) = tokio::join!(browser.watch_clock(SOUND.path, WATCHED), card.listen(WATCHED));
    let seen = watch.summary(STALL).unwrap_or_else(|| panic!("{engine}: no picture with sound"));
    assert_eq!(audio(browser, SOUND.path).await, ("on".to_owned(), false), "{engine}: it did not last");
    let frames = browser.frames_in(SOUND.path, SWITCH).await;
    assert!(
        frames >= FRAMES,
        "{engine}: {frames} frames in {SWITCH:?} with sound, {} seen in {WATCHED:?}",
        seen.frames
    );
    assert!(beeps.len() >= 4, "{engine}: heard {beeps:?}");
    // The camera beeps when its clock is at a whole second.
    let age = median(beeps.iter().map(|at| at.rem_euclid(1e3)).collect());
    let late = age - seen.p50;
    say(&format!(
        "sound, {engine}: {late:.0} ms after its picture, which is {:.0} ms old; {} stalls",
        seen.p50, seen.stalls
    ));
    late
}

/// Clicks on the speaker of the stream that has sound, and waits until all is as it is then.
async fn click(browser: &Browser, expected: (&str, bool)) {
    browser.click("article[data-stream=sound] .tile-speaker").await;
    let done = async || (audio(browser, SOUND.path).await == (expected.0.to_owned(), expected.1)).then_some(());
    until("the sound to change", SWITCH, done).await;
    tokio::time::sleep(SWITCH).await;
    browser.wait_live(SOUND.path, LIVE).await;
}
