//! A camera's video in a browser: H.265 unchanged if the browser plays it, H.264 otherwise. One connection to the camera and
//! one encoder serve all viewers.

use std::time::Duration;

use sightline_protocol::message::VariantReason;
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Engine, Rgb, Tile, WALL};
use sightline_tests::camera::{Camera, Kind, Mount, Viewers};
use sightline_tests::http::Injector;
use sightline_tests::process::Process;
use sightline_tests::relay::Setup;
use sightline_tests::run::within;
use sightline_tests::viewer::{PLAYS_BOTH, PLAYS_H264, Viewer};

const BLUE: Mount = Mount { path: "blue", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const RED: Mount = Mount { path: "red", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };

/// The time limit from a URL in a cold browser to a frame, with FFmpeg to be started on a busy machine.
const LIVE: Duration = Duration::from_secs(30);
const WATCHED: Duration = Duration::from_secs(4);
/// Half of the 100 frames that a camera sends meanwhile. Several software decoders and encoders share the machine. A video that
/// stalls or restarts repeatedly shows at most a dozen.
const FRAMES: u64 = 50;

#[test]
fn h265_is_untouched_or_served_by_one_shared_encoder() {
    within(Duration::from_secs(180), async || {
        let camera = Camera::start(&[BLUE, RED]).await;
        let relay = Setup::config(camera.config()).start().await;
        let browsers = Browser::start_all().await;
        for browser in &browsers {
            browser.open(&relay.url("/?stream=blue")).await;
        }
        let mut viewers = Vec::new();
        for codecs in [&PLAYS_BOTH[..], &PLAYS_H264, &PLAYS_BOTH, &PLAYS_H264] {
            let mut viewer = Viewer::playing(&relay, "blue", codecs).await;
            let ready = viewer.wait_ready(LIVE).await;
            let expected = match codecs.len() {
                1 => (Variant::H264, VariantReason::NotPlayable),
                _ => (Variant::Copy, VariantReason::Untouched),
            };
            assert_eq!((ready.variant, ready.why), expected);
            viewers.push(viewer.watch());
        }
        for browser in &browsers {
            let tile = shows(browser, BLUE).await;
            let (variant, entry) = if browser.engine().plays_h265() { ("copy", "hvc1.") } else { ("h264", "avc1.") };
            assert_eq!(tile.variant.as_deref(), Some(variant), "{}", browser.engine());
            assert!(tile.codec.as_ref().is_some_and(|codec| codec.starts_with(entry)), "{tile:?}");
        }

        // All viewers watch at the same time from here on.
        let untouched = 2 + browsers.iter().filter(|browser| browser.engine().plays_h265()).count();
        let transcoded = 4 + browsers.len() - untouched;
        relay.wait_for_viewers("blue", Variant::Copy, untouched, Duration::from_secs(2)).await;
        relay.wait_for_viewers("blue", Variant::H264, transcoded, Duration::from_secs(2)).await;
        assert_eq!(camera.viewers("blue"), Viewers { total: 1, now: 1 }, "one connection to the camera, ever");
        assert_eq!(camera.connections(), 1, "not even to look at it first");
        assert_eq!(relay.encoders().len(), 1, "{:?}", relay.ffmpegs());
        assert_eq!(relay.ffmpegs().len(), 1, "the relay reads the camera itself: {:?}", relay.ffmpegs());
        for viewer in &viewers {
            let seen = viewer.seen();
            assert!(seen.fragments > FRAMES && seen.closed.is_none(), "{seen:?}");
        }
    });
}

#[test]
fn h264_is_untouched_in_every_browser() {
    within(Duration::from_secs(120), async || {
        let camera = Camera::start(&[BLUE, RED]).await;
        let relay = Setup::config(camera.config()).start().await;
        let browsers = Browser::start_all().await;
        for browser in &browsers {
            browser.open(&relay.url("/?stream=red")).await;
        }
        for browser in &browsers {
            let tile = shows(browser, RED).await;
            assert_eq!(tile.variant.as_deref(), Some("copy"), "{}", browser.engine());
            assert!(tile.codec.as_ref().is_some_and(|codec| codec.starts_with("avc1.")), "{tile:?}");
        }
        assert!(relay.encoders().is_empty(), "{:?}", relay.encoders());
        assert_eq!(camera.viewers("red").total, u64::from(!browsers.is_empty()));
        assert_eq!(camera.viewers("blue").total, 0, "nobody asked for it");
    });
}

#[test]
fn page_without_parameters_shows_every_stream() {
    within(Duration::from_secs(120), async || {
        let camera = Camera::start(&[BLUE, RED]).await;
        let relay = Setup::config(camera.config()).start().await;
        Browser::each(async |browser| {
            browser.open(&relay.url("/")).await;
            shows(browser, BLUE).await;
            shows(browser, RED).await;
            assert_eq!(browser.streams().await, ["blue", "red"], "in the order of the configuration");
        })
        .await;
    });
}

/// Asserts that the browser shows this camera: frames arrive in the camera's colour, without errors.
async fn shows(browser: &Browser, mount: Mount) -> Tile {
    let engine = browser.engine();
    browser.wait_live(mount.path, LIVE).await;
    browser.wait_moving(mount.path, WATCHED, FRAMES, LIVE).await;
    let seen = browser.mark(mount.path).await;
    assert!(seen.is_like(mount.mark), "{engine}: {} shows {seen}, not {}", mount.path, mount.mark);
    let tile = browser.wait_live(mount.path, Duration::from_secs(2)).await;
    assert_eq!((tile.error.as_deref(), tile.width), (None, 640), "{engine}");
    assert_eq!(tile.message, "", "{engine}: a live picture needs no excuse");
    tile
}

mod one_browser {
    use super::*;

    #[test]
    fn requested_h264_is_sent_to_a_browser_that_plays_h265() {
        within(Duration::from_secs(90), async || {
            let Some(browser) = Browser::start(Engine::Firefox).await else { return };
            let camera = Camera::start(&[BLUE, RED]).await;
            let relay = Setup::config(camera.config()).start().await;
            browser.open(&relay.url("/?stream=blue&codec=h264")).await;
            let tile = shows(&browser, BLUE).await;
            assert_eq!(tile.variant.as_deref(), Some("h264"));
            assert!(tile.codec.as_ref().is_some_and(|codec| codec.starts_with("avc1.")), "{tile:?}");
        });
    }

    /// For browsers with only ManagedMediaSource, as on an iPhone.
    #[test]
    fn webkit_plays_through_managed_media_source() {
        within(Duration::from_secs(90), async || {
            let Some(browser) = Browser::start(Engine::WebKit).await else { return };
            let camera = Camera::start(&[BLUE, RED]).await;
            let relay = Setup::config(camera.config()).start().await;
            let way = Injector::start(relay.address(), "delete window.MediaSource").await;
            browser.open(&way.url("/?stream=blue")).await;
            let has = "return ['MediaSource' in window, 'ManagedMediaSource' in window]";
            assert_eq!(browser.script(has, vec![]).await, serde_json::json!([false, true]));
            let tile = shows(&browser, BLUE).await;
            assert_eq!(tile.variant.as_deref(), Some("copy"));
        });
    }

    #[test]
    fn demo_shows_five_live_streams() {
        within(Duration::from_secs(150), async || {
            let Some(browser) = Browser::start(Engine::Firefox).await else { return };
            let relay = Setup::demo().start().await;
            browser.resize(WALL).await;
            browser.open(&relay.url("/")).await;
            let names = ["cam0", "cam1", "cam2", "cam3", "mixer_program"];
            let mut codecs = Vec::new();
            for name in names {
                let tile = browser.wait_live(name, Duration::from_secs(60)).await;
                codecs.push(tile.codec.unwrap_or_default());
            }
            assert_eq!(browser.streams().await, names);
            for name in names {
                browser.wait_moving(name, WATCHED, FRAMES / 2, LIVE).await;
            }
            let count = |entry: &str| codecs.iter().filter(|codec| codec.starts_with(entry)).count();
            assert!(count("hvc1.") >= 3 && count("avc1.") >= 1, "{codecs:?}");
            // A busy machine's browser is sent `low`: its encoders read a pipe.
            let reads_source = |ffmpeg: &Process| !ffmpeg.command.windows(2).any(|pair| pair == ["-i", "pipe:0"]);
            let sources = relay.ffmpegs().into_iter().filter(reads_source).count();
            assert_eq!(sources, 5, "{:?}", relay.ffmpegs());
            browser.screenshot("demo").await;
        });
    }
}
