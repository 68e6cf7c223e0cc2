//! Recovery from the loss of camera, relay and FFmpeg, in the open page. Meanwhile the page describes the fault in a plain
//! sentence and keeps the last frame.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use sightline_tests::browser::{Browser, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};

const BEFORE: Rgb = Rgb(0x20, 0x40, 0xc0);
const AFTER: Rgb = Rgb(0xc0, 0x40, 0x20);
const CAM: Mount = Mount { path: "cam", kind: Kind::H265, mark: BEFORE };

const LIVE: Duration = Duration::from_secs(30);
/// The time limit from a broken connection to the message on the page.
const NOTICED: Duration = Duration::from_secs(15);
/// Retry delays double up to 15 s. After an outage of a few seconds the next retry comes within the same time.
const BACK: Duration = Duration::from_secs(40);

struct Scene {
    camera: Camera,
    relay: Relay,
    browsers: Vec<(Browser, Tile)>,
}

#[test]
fn unplugged_camera_recovers() {
    within(Duration::from_secs(200), async || {
        let mut scene = Scene::open().await;
        scene.camera.stop();
        scene.everybody_is_told(&[TileState::Offline]).await;
        // Another colour proves that the frame is new.
        scene.camera.repaint(CAM.path, AFTER);
        scene.camera.restart().await;
        scene.everybody_is_live_again(AFTER).await;
    });
}

#[test]
fn silent_camera_recovers() {
    within(Duration::from_secs(200), async || {
        let scene = Scene::open().await;
        scene.camera.freeze();
        scene.everybody_is_told(&[TileState::Offline]).await;
        scene.camera.thaw();
        scene.everybody_is_live_again(BEFORE).await;
    });
}

#[test]
fn killed_relay_recovers() {
    within(Duration::from_secs(200), async || {
        let mut scene = Scene::open().await;
        scene.relay.end(Signal::KILL, Duration::from_secs(5)).await;
        scene.everybody_is_told(&[TileState::Reconnecting]).await;
        scene.relay.restart().await;
        scene.everybody_is_live_again(BEFORE).await;
    });
}

#[test]
fn killed_ffmpeg_recovers() {
    within(Duration::from_secs(200), async || {
        let scene = Scene::open_with(Camera::config_by_ffmpeg).await;
        for reader in scene.relay.readers(&scene.camera.url(CAM.path)) {
            reader.kill();
        }
        scene.everybody_is_live_again(BEFORE).await;
    });
}

#[test]
fn killed_encoder_disturbs_only_its_viewers() {
    within(Duration::from_secs(200), async || {
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

/// Freezes the frame counter until the video gets another source. WebKitGTK's pipeline has been seen to stop in this way while
/// its clock advanced.
const FREEZE: &str = "
    const video = document.querySelector('video');
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
    video.getVideoPlaybackQuality = () => ({ totalVideoFrames, droppedVideoFrames });
    video.addEventListener('emptied', () => { delete video.getVideoPlaybackQuality; }, { once: true });
";
const MENDED: &str = "return !Object.hasOwn(document.querySelector('video'), 'getVideoPlaybackQuality')";

#[test]
fn frozen_compositor_recovers() {
    within(Duration::from_secs(200), async || {
        let scene = Scene::open().await;
        for way in ["webcodecs", "mse", "hls"] {
            // On a canvas, WebCodecs does not depend on the compositor of the video.
            let affected =
                scene.browsers.iter().filter(|(browser, _)| way != "webcodecs" || browser.engine().auto() == way);
            join_all(affected.map(|(browser, _)| async {
                browser.open(&scene.relay.url(&format!("/?stream=cam&protocol={way}"))).await;
                browser.wait_live(CAM.path, LIVE).await;
                browser.script(FREEZE, vec![]).await;
                let mended = async || (browser.script(MENDED, vec![]).await == true).then_some(());
                until(&format!("{}: {way} to be mended", browser.engine()), NOTICED, mended).await;
                browser.wait_live(CAM.path, BACK).await;
                browser.wait_moving(CAM.path, Duration::from_secs(2), 25, BACK).await;
            }))
            .await;
        }
    });
}

impl Scene {
    /// All browsers show the camera.
    async fn open() -> Self {
        Self::open_with(Camera::config).await
    }

    async fn open_with(config: impl FnOnce(&Camera) -> String) -> Self {
        let camera = Camera::start(&[CAM]).await;
        let relay = Setup::config(config(&camera)).start().await;
        let mut browsers = Vec::new();
        for browser in Browser::start_all().await {
            browser.open(&relay.url("/?stream=cam")).await;
            // A reload removes this.
            browser.script("window.kept = 'since the beginning'", vec![]).await;
            browsers.push(browser);
        }
        let tiles = join_all(browsers.iter().map(|browser| async {
            let tile = browser.wait_live(CAM.path, LIVE).await;
            assert!(browser.mark(CAM.path).await.is_like(BEFORE), "{}", browser.engine());
            tile
        }));
        let tiles = tiles.await;
        Self { camera, relay, browsers: browsers.into_iter().zip(tiles).collect() }
    }

    /// Asserts that every page describes a fault in a sentence and keeps the last frame.
    async fn everybody_is_told(&self, states: &[TileState]) {
        join_all(self.browsers.iter().map(|(browser, _)| async {
            let engine = browser.engine();
            let told = |tile: &Tile| states.contains(&tile.state) && !tile.message.is_empty();
            let tile = browser.wait_for_tile(CAM.path, "to be told what is wrong", NOTICED, told).await;
            assert!(tile.message.contains(' ') && tile.message.ends_with(['.', '…']), "{engine}: {:?}", tile.message);
            let picture = browser.mark(CAM.path).await;
            assert!(picture.is_like(BEFORE), "{engine}: the last picture is gone, {picture} is shown");
        }))
        .await;
    }

    /// Asserts that every page recovers without a reload and shows this colour.
    async fn everybody_is_live_again(&self, mark: Rgb) {
        join_all(self.browsers.iter().map(|(browser, before)| is_live_again(browser, before, mark))).await;
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
