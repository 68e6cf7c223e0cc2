//! Cameras that the relay reads itself, without FFmpeg: the same pictures sooner, and FFmpeg where that cannot be.

use std::net::TcpListener;
use std::time::Duration;

use sightline_protocol::message::{OfflineReason, ServerMessage, StreamState};
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Engine, Rgb, STALL, Summary, Tile};
use sightline_tests::camera::{Camera, Kind, Login, Mount, SILENCE_SECONDS, Viewers};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{alone, until};
use sightline_tests::viewer::{Event, PLAYS_BOTH, Viewer, Watching};

const RED: Mount = Mount { path: "red", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const BLUE: Mount = Mount { path: "blue", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const BFRAMES: Mount = Mount { path: "bframes", kind: Kind::BFrames, mark: Rgb(0xa0, 0x20, 0xa0) };
const AUDIO: Mount = Mount { path: "audio", kind: Kind::AudioOnly, mark: Rgb(0, 0, 0) };

/// From an address typed into a cold browser to a picture, with an encoder to be started and the machine busy.
const LIVE: Duration = Duration::from_secs(30);
/// A player may take so long to find its edge.
const SETTLE: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(8);
/// FFmpeg holds two frames, 80 ms. Half of them must be seen to be gone, whatever else the machine does.
const SOONER_MS: f64 = 40.0;

/// Streams of these names and paths that the relay reads itself.
fn direct(camera: &Camera, streams: &[(&str, &str)]) -> String {
    streams.iter().map(|(name, path)| camera.read_directly(name, path)).collect()
}

/// How old the pictures of `stream` are.
async fn age(browser: &Browser, relay: &Relay, stream: &str, more: &str) -> Summary {
    browser.open(&relay.url(&format!("/?stream={stream}{more}"))).await;
    browser.wait_live(stream, LIVE).await;
    tokio::time::sleep(SETTLE).await;
    let watch = browser.watch_clock(stream, WATCHED).await;
    watch.summary(STALL).expect("pictures with a clock")
}

#[test]
fn pictures_are_seen_sooner_in_every_browser() {
    alone(Duration::from_secs(240), async || {
        let camera = Camera::start(&[RED]).await;
        let relay = Setup::config(camera.config() + &direct(&camera, &[("direct", "red")])).start().await;
        for browser in Browser::start_all().await {
            let by_ffmpeg = age(&browser, &relay, "red", "").await;
            let directly = age(&browser, &relay, "direct", "").await;
            assert!(browser.mark("direct").await.is_like(RED.mark));
            let (engine, times) = (browser.engine(), (directly.p50, by_ffmpeg.p50));
            // WebKitGTK plays by jumps, and stays where a busy machine had it begin: its own delay is as large as what is saved.
            let sooner = if engine == Engine::WebKit { -SOONER_MS } else { SOONER_MS };
            assert!(directly.p50 + sooner < by_ffmpeg.p50, "{engine}: {times:?} ms");
            assert_eq!((directly.stalls, directly.backward), (0, 0), "{engine}: {directly:?}");
        }
    });
}

#[test]
fn every_way_and_every_variant_is_there() {
    alone(Duration::from_secs(240), async || {
        let camera = Camera::start(&[RED, BLUE]).await;
        let relay = Setup::config(direct(&camera, &[("gate", "red"), ("yard", "blue")])).start().await;
        let shows = async |browser: &Browser, query: &str, stream: &str, mount: Mount| -> Tile {
            browser.open(&relay.url(&format!("/?stream={stream}{query}"))).await;
            let tile = browser.wait_live(stream, LIVE).await;
            browser.wait_moving(stream, Duration::from_secs(2), 20, LIVE).await;
            let mark = browser.mark(stream).await;
            assert!(mark.is_like(mount.mark), "{} {query}: {mark:?}", browser.engine());
            tile
        };
        for browser in Browser::start_all().await {
            let engine = browser.engine();
            let tile = shows(&browser, "", "yard", BLUE).await;
            let (variant, entry) = if engine.plays_h265() { ("copy", "hvc1.") } else { ("h264", "avc1.") };
            assert_eq!(tile.variant.as_deref(), Some(variant), "{engine}");
            assert!(tile.codec.as_ref().is_some_and(|codec| codec.starts_with(entry)), "{tile:?}");
            shows(&browser, "&protocol=hls", "gate", RED).await;
            if engine == Engine::Chromium {
                shows(&browser, "&protocol=webrtc", "gate", RED).await;
                shows(&browser, "&codec=low", "gate", RED).await;
            }
            assert_eq!(relay.readers(&camera.url("")).len(), 0, "{:?}", relay.ffmpegs());
        }
        // Each time that somebody came after the last one had gone: one at a time, and none to look at it first.
        for path in ["red", "blue"] {
            assert!(camera.viewers(path).now <= 1, "{:?}", camera.viewers(path));
        }
        assert_eq!(camera.connections(), camera.viewers("red").total + camera.viewers("blue").total);
    });
}

/// A viewer without a browser of a stream, who has a picture.
async fn watching(relay: &Relay, stream: &str) -> Watching {
    let viewer = Viewer::playing(relay, stream, &PLAYS_BOTH).await.watch();
    has_more(&viewer).await;
    viewer
}

/// Waits until a second more of it has come.
async fn has_more(viewer: &Watching) {
    let before = viewer.seen().fragments;
    until("pictures", LIVE, async || (viewer.seen().fragments > before + 25).then_some(())).await;
}

#[test]
fn whatever_the_camera_does_nothing_is_lost_or_left_behind() {
    alone(Duration::from_secs(180), async || {
        let mut camera = Camera::start(&[RED]).await;
        let short = format!("[ingest]\nlinger_seconds = 1\nsilence_seconds = {SILENCE_SECONDS}\n");
        let relay = Setup::config(short + &direct(&camera, &[("gate", "red")])).start().await;
        let before = relay.descriptors();
        let viewer = watching(&relay, "gate").await;
        let ready = viewer.seen().ready;

        // A clock that is set neither ends the epoch nor leaves a hole in the timeline.
        for seconds in [3600.0, -7.0, 0.5] {
            camera.jump("red", seconds).await;
            has_more(&viewer).await;
        }
        assert_eq!((viewer.seen().losses, viewer.seen().ready), (vec![], ready));
        assert_eq!(camera.viewers("red"), Viewers { total: 1, now: 1 });

        let offline = async |reason: OfflineReason| {
            let told = async || match relay.stream("gate").await.state {
                StreamState::Offline { reason: told, .. } => Some(told),
                _ => None,
            };
            assert_eq!(until("the stream to be offline", LIVE, told).await, reason);
        };
        camera.stop();
        offline(OfflineReason::Ended).await;
        camera.restart().await;
        has_more(&viewer).await;
        camera.freeze();
        offline(OfflineReason::Silent).await;
        camera.thaw();
        has_more(&viewer).await;
        assert_eq!(viewer.seen().losses, Vec::<String>::new());

        drop(viewer);
        camera.wait_for_viewers("red", 0, Duration::from_secs(5)).await;
        let as_before = async || (relay.descriptors() <= before).then_some(());
        until("the relay to hold no more than before", Duration::from_secs(5), as_before).await;
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
    });
}

#[test]
fn a_camera_that_cannot_be_read_is_told_by_what_is_wrong() {
    alone(Duration::from_secs(120), async || {
        let camera = Camera::start(&[RED, AUDIO]).await;
        let locked = Camera::start_with(&[RED], Some(Login { user: "viewer", password: "r:ght" })).await;
        let login = |password: &str| locked.url("red").replace("127.0.0.1", &format!("viewer:{password}@127.0.0.1"));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let stream = |name: &str, url: &str| format!("[streams.{name}]\nsource = \"{url}\"\nreader = \"direct\"\n");
        let config = [
            direct(&camera, &[("gate", "red"), ("silent", "audio")]),
            stream("locked", &login("r%3Aght")),
            stream("wrong", &login("Wr0ng%2dS3cret")),
            stream("gone", &format!("rtsp://{closed}/x")),
            stream("nowhere", &camera.url("nowhere")),
        ];
        let relay = Setup::config(config.concat()).env("RUST_LOG", "trace").start().await;
        let healthy = watching(&relay, "gate").await;
        watching(&relay, "locked").await;
        for (name, reason) in [
            ("wrong", OfflineReason::Unauthorized),
            ("gone", OfflineReason::Unreachable),
            ("nowhere", OfflineReason::NotFound),
            ("silent", OfflineReason::NoVideo),
        ] {
            let mut viewer = Viewer::playing(&relay, name, &PLAYS_BOTH).await;
            let offline = |event: &Event| match event {
                Event::Message(ServerMessage::State(StreamState::Offline { reason, .. })) => Some(*reason),
                _ => None,
            };
            assert_eq!(viewer.wait_for(&format!("{name} to be offline"), LIVE, offline).await, reason);
        }
        assert!(!relay.log().contains("Wr0ng") && !relay.log().contains("S3cret"), "{}", relay.log());
        assert!(relay.readers(&camera.url("audio")).len() <= 1, "FFmpeg was asked where the relay did not understand");
        assert_eq!(healthy.seen().losses, Vec::<String>::new());
    });
}

#[test]
fn a_camera_that_is_not_understood_once_is_read_directly_again() {
    alone(Duration::from_secs(120), async || {
        let mut camera = Camera::start(&[RED]).await;
        let relay = Setup::config(direct(&camera, &[("gate", "red")])).start().await;
        camera.stop();
        // Something on its port that hangs up on everybody, as a camera may that is starting.
        let busy = tokio::net::TcpListener::bind(("127.0.0.1", camera.port())).await.unwrap();
        let viewer = Viewer::playing(&relay, "gate", &PLAYS_BOTH).await.watch();
        for _ in 0..2 {
            drop(tokio::time::timeout(LIVE, busy.accept()).await.expect("the relay tries, and FFmpeg after it"));
        }
        drop(busy);
        camera.restart().await;
        has_more(&viewer).await;
        assert!(relay.log().contains("FFmpeg reads it instead"), "{}", relay.log());
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
    });
}

#[test]
fn ffmpeg_reads_a_camera_with_b_frames() {
    alone(Duration::from_secs(120), async || {
        let camera = Camera::start(&[BFRAMES]).await;
        let relay = Setup::config(direct(&camera, &[("gate", "bframes")])).start().await;
        let mut viewer = Viewer::playing(&relay, "gate", &PLAYS_BOTH).await;
        let transcoded = |event: &Event| match event {
            Event::Message(ServerMessage::Ready(ready)) => (ready.variant == Variant::H264).then_some(()),
            _ => None,
        };
        viewer.wait_for("the transcode of a stream with B-frames", LIVE, transcoded).await;
        let viewer = viewer.watch();
        has_more(&viewer).await;
        assert_eq!(relay.readers(&camera.url("bframes")).len(), 1, "{:?}", relay.ffmpegs());
        assert!(relay.log().contains("FFmpeg reads it instead"), "{}", relay.log());
        assert_eq!(camera.viewers("bframes").now, 1, "not both");
    });
}
