//! Sub streams of cameras: a viewer of a small tile, or of a slow link, gets the camera's second stream, and no encoder runs.

use std::time::{Duration, Instant};

use sightline_protocol::message::{ClientMessage, ServerMessage, Size, StreamState, TrackKind, VariantReason};
use sightline_protocol::stream::{Variant, VariantChoice};
use sightline_tests::browser::{Browser, Rgb, Tile, TileState, WALL};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, throughout, until, within};
use sightline_tests::slow::SlowViewer;
use sightline_tests::tracks::Tracks;
use sightline_tests::viewer::{Event, PLAYS_BOTH, PLAYS_H264, Viewer, play};

use crate::audio::lateness;

pub(crate) const MAIN: Mount = Mount { path: "main", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
pub(crate) const SUB: Mount = Mount { path: "sub", kind: Kind::Sized(480, 270), mark: Rgb(0xc0, 0x40, 0x20) };
pub(crate) const SUB_SIZE: Size = Size { width: 480, height: 270 };
pub(crate) const MAIN_SIZE: Size = Size { width: 640, height: 360 };
pub(crate) const LARGE: Size = Size { width: 1920, height: 1080 };
const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);

/// The stream `name` of a camera that has both mounts.
pub(crate) fn stream(camera: &Camera, name: &str, options: &str) -> String {
    camera.stream(name, MAIN.path, &format!("sub = \"{}\"\n{options}", camera.url(SUB.path)))
}

/// A relay with one such stream, `yard`, that would encode no `low`.
pub(crate) async fn relay(camera: &Camera, options: &str) -> Relay {
    Setup::config(format!("{}{}", camera.config_of([]), stream(camera, "yard", options))).start().await
}

/// A viewer of `yard` with a tile of this size.
async fn viewer(relay: &Relay, codecs: &[&str], size: Size) -> Viewer {
    let mut viewer = Viewer::v1(relay, "yard").await;
    viewer.send(&play(codecs, VariantChoice::Auto, &[TrackKind::Video], Some(size))).await;
    viewer
}

/// Waits for an epoch, then for ten frames of it. Asserts its variant, reason and size.
pub(crate) async fn gets(viewer: &mut Viewer, variant: Variant, why: VariantReason, size: Size) {
    let ready = viewer.wait_ready(START).await;
    assert_eq!((ready.variant, ready.why, ready.tracks[0].size), (variant, why, Some(size)));
    stays(viewer).await;
}

/// Waits for ten frames of the same epoch.
pub(crate) async fn stays(viewer: &mut Viewer) {
    let before = viewer.received();
    while viewer.received() < before + 10 {
        let event = viewer.next(SOON).await;
        assert!(!matches!(event, Event::Message(ServerMessage::Ready(_)) | Event::Closed(..)), "{event:?}");
    }
}

#[test]
fn small_tile_is_sent_the_sub_stream_and_a_large_one_the_main_stream() {
    within(TEST, async || {
        for reader in ["auto", "ffmpeg"] {
            let camera = Camera::start(&[MAIN, SUB]).await;
            let relay = relay(&camera, &format!("reader = \"{reader}\"\n")).await;
            let mut viewer = viewer(&relay, &PLAYS_H264, SUB_SIZE).await;
            gets(&mut viewer, Variant::Low, VariantReason::SmallSize, SUB_SIZE).await;
            assert_eq!(camera.viewers(MAIN.path).total, 0, "the main stream is not read");
            assert_eq!(relay.stream("yard").await.state, StreamState::Live);
            viewer.send(&ClientMessage::Resize { size: LARGE }).await;
            gets(&mut viewer, Variant::Copy, VariantReason::Untouched, MAIN_SIZE).await;
            viewer.send(&ClientMessage::Resize { size: SUB_SIZE }).await;
            gets(&mut viewer, Variant::Low, VariantReason::SmallSize, SUB_SIZE).await;
            viewer.send(&play(&PLAYS_H264, VariantChoice::Copy, &[TrackKind::Video], Some(SUB_SIZE))).await;
            gets(&mut viewer, Variant::Copy, VariantReason::Requested, MAIN_SIZE).await;
            viewer.send(&play(&PLAYS_H264, VariantChoice::Low, &[TrackKind::Video], Some(LARGE))).await;
            gets(&mut viewer, Variant::Low, VariantReason::Requested, SUB_SIZE).await;
            assert_eq!(relay.encoders().len(), 0);
            camera.wait_for_viewers(MAIN.path, 0, SOON).await;
        }
    });
}

#[test]
fn client_without_a_size_gets_the_main_stream() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let relay = relay(&camera, "").await;
        let mut viewer = Viewer::v1(&relay, "yard").await;
        viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
        gets(&mut viewer, Variant::Copy, VariantReason::Untouched, MAIN_SIZE).await;
        let mut plain = Viewer::plain(&relay, "yard").await;
        until("media of the plain dialect", SOON, async || {
            plain.next(SOON).await;
            (plain.received() > 10).then_some(())
        })
        .await;
        assert_eq!(camera.viewers(SUB.path).total, 0);
    });
}

#[test]
fn sound_of_the_main_stream_is_in_step_with_either_stream() {
    within(TEST, async || {
        const SOUND: Mount = Mount { path: MAIN.path, kind: Kind::WithAac, mark: MAIN.mark };
        let camera = Camera::start(&[SOUND, SUB]).await;
        let relay = relay(&camera, "").await;
        let mut viewer = Viewer::v1(&relay, "yard").await;
        viewer.play_with_sound(&PLAYS_H264, Some(SUB_SIZE)).await;
        let mut tracks = Tracks::default();
        tracks.until_audio(&mut viewer, START).await;
        tracks.record(&mut viewer, Duration::from_secs(5)).await;
        assert_eq!(tracks.ready.last().map(|ready| ready.variant), Some(Variant::Low), "{:?}", tracks.ready);
        let sub = lateness(tracks.video.last().unwrap(), tracks.audio.last().unwrap()).await;

        viewer.send(&ClientMessage::Resize { size: LARGE }).await;
        tracks.record(&mut viewer, Duration::from_secs(8)).await;
        assert_eq!(tracks.ready.last().map(|ready| ready.variant), Some(Variant::Copy), "{:?}", tracks.ready);
        let main = lateness(tracks.video.last().unwrap(), tracks.audio.last().unwrap()).await;
        say(&format!(
            "sound is {:.1} ms later than the sub stream, {:.1} ms than the main stream",
            sub * 1e3,
            main * 1e3
        ));
        assert_eq!(relay.ffmpegs().len(), 1, "of the sound alone");
    });
}

#[test]
fn sub_stream_in_another_codec_is_for_those_who_play_it() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, Mount { kind: Kind::H265, ..SUB }]).await;
        let relay = relay(&camera, "").await;
        let mut both = viewer(&relay, &PLAYS_BOTH, MAIN_SIZE).await;
        gets(&mut both, Variant::Low, VariantReason::SmallSize, MAIN_SIZE).await;
        let mut h264 = viewer(&relay, &PLAYS_H264, MAIN_SIZE).await;
        gets(&mut h264, Variant::Copy, VariantReason::Untouched, MAIN_SIZE).await;
        assert_eq!(relay.ffmpegs().len(), 0);
    });
}

#[test]
fn either_stream_plays_while_the_other_is_off() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let off = camera.url("off");
        let main = format!("[streams.yard]\nsource = \"{}\"\nsub = \"{off}\"\n", camera.url(MAIN.path));
        let with_main = Setup::config(format!("{}{main}", camera.config_of([]))).start().await;
        let mut small = viewer(&with_main, &PLAYS_H264, SUB_SIZE).await;
        gets(&mut small, Variant::Copy, VariantReason::Untouched, MAIN_SIZE).await;

        let sub = format!("[streams.yard]\nsource = \"{off}\"\nsub = \"{}\"\n", camera.url(SUB.path));
        let with_sub = Setup::config(format!("{}{sub}", camera.config_of([]))).start().await;
        let mut small = viewer(&with_sub, &PLAYS_H264, SUB_SIZE).await;
        gets(&mut small, Variant::Low, VariantReason::SmallSize, SUB_SIZE).await;
        small.send(&ClientMessage::Resize { size: LARGE }).await;
        let told = |event: &Event| match event {
            Event::Message(ServerMessage::State(StreamState::Offline { message, .. })) => Some(message.clone()),
            _ => None,
        };
        let message = small.wait_for("the state of the main stream", START, told).await;
        assert!(message.contains("does not have this path"), "{message}");
        let before = small.received();
        small.send(&ClientMessage::Resize { size: SUB_SIZE }).await;
        until("the sub stream to continue", SOON, async || {
            small.next(SOON).await;
            (small.received() > before + 25).then_some(())
        })
        .await;
    });
}

#[test]
fn check_lists_the_sub_stream() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let config = format!("{}{}", camera.config_of([]), stream(&camera, "yard", ""));
        let (status, table) = Setup::config(config).run("check", START).await;
        assert!(status.success(), "{table}");
        let row = table.lines().find(|line| line.starts_with("yard (sub)")).unwrap_or_else(|| panic!("{table}"));
        assert!(row.contains("ok") && row.contains("480x270"), "{table}");
    });
}

#[test]
fn hls_serves_the_sub_stream_by_its_own_playlist() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let relay = relay(&camera, "").await;
        let index = relay.get("/hls/yard/index.m3u8").await;
        assert!(index.status == 200 && !index.text().contains("low/"), "{}", index.text());
        let playlist = relay.get("/hls/yard/low/media.m3u8").await;
        assert!(playlist.status == 200 && playlist.text().contains("#EXT-X-PART:"), "{}", playlist.text());
        assert_eq!((camera.viewers(SUB.path).now, relay.ffmpegs().len()), (1, 0));
    });
}

/// Waits until the catalogue lists this number of variants of `yard`.
async fn lists(relay: &Relay, variants: usize) {
    let listed = async || (relay.stream("yard").await.variants.len() == variants).then_some(());
    until(&format!("{variants} variants"), SOON, listed).await;
}

#[test]
fn reload_adds_and_removes_a_sub_stream() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let without = format!("{}{}", camera.config_of([]), camera.stream("yard", MAIN.path, ""));
        let mut relay = Setup::config(without.clone()).start().await;
        let mut before = viewer(&relay, &PLAYS_H264, SUB_SIZE).await;
        gets(&mut before, Variant::Copy, VariantReason::Untouched, MAIN_SIZE).await;
        relay.reload(&format!("{}{}", camera.config_of([]), stream(&camera, "yard", "")));
        lists(&relay, 3).await;
        let mut after = viewer(&relay, &PLAYS_H264, SUB_SIZE).await;
        gets(&mut after, Variant::Low, VariantReason::SmallSize, SUB_SIZE).await;
        let again = before.wait_ready(START).await;
        assert_eq!(again.variant, Variant::Copy, "a viewer of before continues");
        relay.reload(&without);
        gets(&mut after, Variant::Copy, VariantReason::Untouched, MAIN_SIZE).await;
        lists(&relay, 2).await;
    });
}

mod browser {
    use super::*;

    const TILES: usize = 9;

    #[test]
    fn nine_tiles_are_sub_streams_and_one_alone_is_the_main_stream() {
        within(Duration::from_secs(240), async || {
            let camera = Camera::start(&[MAIN, SUB]).await;
            let streams: String = (0..TILES).map(|n| stream(&camera, &format!("cam{n}"), "")).collect();
            let relay = Setup::config(format!("{}{streams}", camera.config_of([]))).start().await;
            let browsers = Browser::start_all().await;
            for browser in &browsers {
                browser.resize(WALL).await;
                // By MSE, whatever Auto thinks of 27 tiles on one machine.
                browser.open(&relay.url("/?protocol=mse")).await;
            }
            for browser in &browsers {
                for n in 0..TILES {
                    let low = |tile: &Tile| tile.state == TileState::Live && tile.variant.as_deref() == Some("low");
                    let what = format!("{}: tile {n} to be a sub stream", browser.engine());
                    browser.wait_for_tile(&format!("cam{n}"), &what, START, low).await;
                }
            }
            let nothing = async || camera.viewers(MAIN.path).now == 0 && relay.ffmpegs().is_empty();
            throughout("nothing but sub streams", Duration::from_secs(3), nothing).await;
            assert_eq!(camera.viewers(MAIN.path).total, 0, "a main stream was read");

            for browser in &browsers {
                let engine = browser.engine();
                let before = browser.mark("cam4").await;
                assert!(before.is_like(SUB.mark), "{engine}: {before}");
                browser.watch_for_black("cam4").await;
                let begun = Instant::now();
                browser.double_click("article[data-stream=cam4]").await;
                let main = |tile: &Tile| tile.state == TileState::Live && tile.variant.as_deref() == Some("copy");
                browser.wait_for_tile("cam4", &format!("{engine}: the main stream"), SOON, main).await;
                let shown = async || browser.mark("cam4").await.is_like(MAIN.mark).then_some(());
                until(&format!("{engine}: its first frame"), SOON, shown).await;
                browser.assert_never_black().await;
                say(&format!("{engine}: the main stream {:.1} s after a double click", begun.elapsed().as_secs_f64()));
                browser.leave().await;
            }
            assert_eq!(relay.encoders().len(), 0);
        });
    }
}

mod timing {
    use super::*;

    const BUSY: Mount = Mount { path: "main", kind: Kind::Busy, mark: Rgb(0xc0, 0x40, 0x20) };
    /// The rate of an unthrottled link, in kilobits per second.
    const PLENTY: f64 = 50_000.0;

    #[test]
    fn slow_link_gets_the_sub_stream_and_a_recovered_one_the_main_stream() {
        within(TEST, async || {
            let camera = Camera::start(&[BUSY, SUB]).await;
            let relay = relay(&camera, "").await;
            let mut slow = SlowViewer::new(viewer(&relay, &PLAYS_H264, LARGE).await, PLENTY);
            slow.watch(Duration::from_secs(5)).await;
            assert_eq!(slow.variants(), [(Variant::Copy, VariantReason::Untouched)]);
            let rate = relay.variant("yard", Variant::Copy).await.bit_rate.expect("it has run for seconds");

            slow.set_rate(rate as f64 / 1e3 * 0.4);
            let throttled = Instant::now();
            slow.watch(Duration::from_secs(8)).await;
            assert_eq!(slow.variants()[1..], [(Variant::Low, VariantReason::SlowLink)]);
            let down = slow.readies[1].0 - throttled;
            assert_eq!(relay.encoders().len(), 0);

            slow.set_rate(PLENTY);
            let recovered = Instant::now();
            slow.watch(Duration::from_secs(12)).await;
            assert_eq!(slow.variants()[2..], [(Variant::Copy, VariantReason::Untouched)]);
            let up = slow.readies[2].0 - recovered;
            say(&format!("the sub stream {down:?} after a link of 40 %, the main stream {up:?} after its recovery"));
            assert!(down < Duration::from_secs(2) && up < Duration::from_secs(10), "{down:?}, {up:?}");
        });
    }
}
