//! Whatever goes away comes back, in the page that is open: camera, relay, FFmpeg. Until then the page says in a plain
//! sentence what is wrong and keeps the last picture.

use std::time::Duration;

use rustix::process::Signal;
use sightline_tests::browser::{Browser, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{alone, until};

const BEFORE: Rgb = Rgb(0x20, 0x40, 0xc0);
const AFTER: Rgb = Rgb(0xc0, 0x40, 0x20);
const CAM: Mount = Mount { path: "cam", kind: Kind::H265, mark: BEFORE };

const LIVE: Duration = Duration::from_secs(30);
/// From a broken connection to the words on the page.
const NOTICED: Duration = Duration::from_secs(15);
/// Waits double up to 15 s; what is down for a few seconds is tried again within as many.
const BACK: Duration = Duration::from_secs(40);

struct Scene {
    camera: Camera,
    relay: Relay,
    browsers: Vec<(Browser, Tile)>,
}

#[test]
fn a_camera_that_is_unplugged_and_plugged_in_again() {
    alone(Duration::from_secs(200), async || {
        let mut scene = Scene::open().await;
        scene.camera.stop();
        scene.everybody_is_told(&[TileState::Offline]).await;
        // A picture of another colour cannot be the old one, held.
        scene.camera.repaint(CAM.path, AFTER);
        scene.camera.restart().await;
        scene.everybody_is_live_again(AFTER).await;
    });
}

#[test]
fn a_camera_that_falls_silent() {
    alone(Duration::from_secs(200), async || {
        let scene = Scene::open().await;
        scene.camera.freeze();
        scene.everybody_is_told(&[TileState::Offline]).await;
        scene.camera.thaw();
        scene.everybody_is_live_again(BEFORE).await;
    });
}

#[test]
fn a_relay_that_is_killed_and_started_again() {
    alone(Duration::from_secs(200), async || {
        let mut scene = Scene::open().await;
        scene.relay.end(Signal::KILL, Duration::from_secs(5)).await;
        scene.everybody_is_told(&[TileState::Reconnecting]).await;
        scene.relay.restart().await;
        scene.everybody_is_live_again(BEFORE).await;
    });
}

#[test]
fn an_ffmpeg_that_dies() {
    alone(Duration::from_secs(200), async || {
        let scene = Scene::open().await;
        for reader in scene.relay.readers(&scene.camera.url(CAM.path)) {
            reader.kill();
        }
        scene.everybody_is_live_again(BEFORE).await;
    });
}

#[test]
fn an_encoder_that_dies_disturbs_only_those_who_need_it() {
    alone(Duration::from_secs(200), async || {
        let mut scene = Scene::open().await;
        let encoders = scene.relay.encoders();
        for encoder in &encoders {
            encoder.kill();
        }
        let (untouched, transcoded): (Vec<_>, Vec<_>) =
            scene.browsers.drain(..).partition(|(browser, _)| browser.engine().plays_h265());
        assert_eq!(encoders.len(), transcoded.len().min(1));
        for (browser, before) in &transcoded {
            is_live_again(browser, before, BEFORE).await;
        }
        for (browser, before) in &untouched {
            let tile = browser.wait_live(CAM.path, LIVE).await;
            assert_eq!(tile.epoch, before.epoch, "{}: disturbed by another variant's encoder", browser.engine());
        }
    });
}

/// From now on no frame is counted, until the video is given another source. WebKitGTK's pipeline has been seen to stop so, with
/// a clock that went on.
const FREEZE: &str = "
    const video = document.querySelector('video');
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
    video.getVideoPlaybackQuality = () => ({ totalVideoFrames, droppedVideoFrames });
    video.addEventListener('emptied', () => { delete video.getVideoPlaybackQuality; }, { once: true });
";
const MENDED: &str = "return !Object.hasOwn(document.querySelector('video'), 'getVideoPlaybackQuality')";

#[test]
fn a_browser_whose_pictures_stop_while_its_clock_goes_on() {
    alone(Duration::from_secs(200), async || {
        let scene = Scene::open().await;
        for way in ["mse", "hls"] {
            for (browser, _) in &scene.browsers {
                browser.open(&scene.relay.url(&format!("/?stream=cam&protocol={way}"))).await;
            }
            for (browser, _) in &scene.browsers {
                browser.wait_live(CAM.path, LIVE).await;
                browser.script(FREEZE, vec![]).await;
            }
            for (browser, _) in &scene.browsers {
                let mended = async || (browser.script(MENDED, vec![]).await == true).then_some(());
                until(&format!("{}: {way} to be mended", browser.engine()), NOTICED, mended).await;
            }
            for (browser, _) in &scene.browsers {
                browser.wait_live(CAM.path, BACK).await;
                browser.wait_moving(CAM.path, Duration::from_secs(2), 25, BACK).await;
            }
        }
    });
}

impl Scene {
    /// Every browser has the camera on screen.
    async fn open() -> Self {
        let camera = Camera::start(&[CAM]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut browsers = Vec::new();
        for browser in Browser::start_all().await {
            browser.open(&relay.url("/?stream=cam")).await;
            // A page that is loaded anew forgets this.
            browser.script("window.kept = 'since the beginning'", vec![]).await;
            browsers.push(browser);
        }
        let mut live = Vec::new();
        for browser in browsers {
            let tile = browser.wait_live(CAM.path, LIVE).await;
            assert!(browser.mark(CAM.path).await.is_like(BEFORE), "{}", browser.engine());
            live.push((browser, tile));
        }
        Self { camera, relay, browsers: live }
    }

    /// Every page says that something is wrong, in words, over the last picture.
    async fn everybody_is_told(&self, states: &[TileState]) {
        for (browser, _) in &self.browsers {
            let engine = browser.engine();
            let told = |tile: &Tile| states.contains(&tile.state) && !tile.message.is_empty();
            let tile = browser.wait_for_tile(CAM.path, "to be told what is wrong", NOTICED, told).await;
            assert!(tile.message.contains(' ') && tile.message.ends_with(['.', '…']), "{engine}: {:?}", tile.message);
            let picture = browser.mark(CAM.path).await;
            assert!(picture.is_like(BEFORE), "{engine}: the last picture is gone, {picture} is shown");
        }
    }

    /// Every page is live again by itself, with a picture of this colour.
    async fn everybody_is_live_again(&self, mark: Rgb) {
        for (browser, before) in &self.browsers {
            is_live_again(browser, before, mark).await;
        }
    }
}

async fn is_live_again(browser: &Browser, before: &Tile, mark: Rgb) {
    let engine = browser.engine();
    let live = |tile: &Tile| tile.state == TileState::Live && tile.epoch > before.epoch;
    browser.wait_for_tile(CAM.path, "a live picture of a new epoch", BACK, live).await;
    browser.wait_moving(CAM.path, Duration::from_secs(2), 25, BACK).await;
    let picture = browser.mark(CAM.path).await;
    assert!(picture.is_like(mark), "{engine}: {picture} is shown");
    let kept = browser.script("return window.kept", vec![]).await;
    assert_eq!(kept, "since the beginning", "{engine}: the page was loaded anew");
}
