//! Sound by HLS in the page: the video continues when the camera's sound ends, and the controls work.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine};
use sightline_tests::recording::Recordings;
use sightline_tests::relay::Setup;
use sightline_tests::run::{until, within};

const LIVE: Duration = Duration::from_secs(30);
/// The sound ends after that many seconds, some of them in the player.
const SOUND: u32 = 14;
const TAPE: u32 = 90;
/// Longer than the buffer of sound.
const AFTER: Duration = Duration::from_secs(6);

const STATE: &str = "const tile = document.querySelector('article[data-stream=tape]'); \
                     const video = tile.querySelector('video'); \
                     return [tile.dataset.audio, video.muted, video.volume]";
const SET_VOLUME: &str = "const slider = document.querySelector('.tile-volume'); slider.value = '0.25'; \
                          slider.dispatchEvent(new InputEvent('input', { bubbles: true }))";

async fn state(browser: &Browser) -> (String, bool, f64) {
    serde_json::from_value(browser.script(STATE, vec![]).await).expect("a tile")
}

#[test]
fn video_goes_on_when_the_sound_ends() {
    within(Duration::from_secs(120), async || {
        let recordings = Recordings::new();
        let file = recordings.sound_that_ends(TAPE, SOUND);
        let config = format!("[streams.tape]\nsource = {file:?}\ninput_options = [\"-re\"]\n");
        let relay = Setup::config(config).start().await;
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        browser.open(&relay.url("/?stream=tape&protocol=hls")).await;
        browser.wait_live("tape", LIVE).await;
        let off = async || (state(&browser).await.0 == "off").then_some(());
        until("the page to know of the sound", LIVE, off).await;

        browser.press("article[data-stream=tape]", 'm').await;
        let on = async || (state(&browser).await == ("on".to_owned(), false, 1.0)).then_some(());
        until("the sound to be on", LIVE, on).await;
        browser.script(SET_VOLUME, vec![]).await;
        let quiet = async || (state(&browser).await.2 == 0.25).then_some(());
        until("the volume", LIVE, quiet).await;
        browser.wait_moving("tape", Duration::from_secs(2), 20, LIVE).await;

        // Buffered sound ends later than the tape's.
        tokio::time::sleep(Duration::from_secs(SOUND.into())).await;
        let frames = browser.frames_in("tape", AFTER).await;
        assert!(frames >= 100, "{frames} frames in {AFTER:?} without sound");
        assert_eq!(state(&browser).await, ("on".to_owned(), false, 0.25), "it stays on");
    });
}
