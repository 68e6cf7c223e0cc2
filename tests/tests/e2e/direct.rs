//! Cameras that the relay reads itself: the same video sooner, and FFmpeg where the relay does not support the camera.

use std::net::TcpListener;
use std::time::Duration;

use sightline_protocol::catalogue::{ReaderInfo, ReaderName};
use sightline_protocol::message::{OfflineReason, ServerMessage, StreamState};
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Engine, Rgb, STALL, Summary, Tile};
use sightline_tests::camera::{Camera, Kind, Login, Mount, SILENCE_SECONDS, Viewers};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{BackgroundViewer, Event, PLAYS_BOTH, Viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const RED: Mount = Mount { path: "red", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const BLUE: Mount = Mount { path: "blue", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const BFRAMES: Mount = Mount { path: "bframes", kind: Kind::BFrames, mark: Rgb(0xa0, 0x20, 0xa0) };
const AUDIO: Mount = Mount { path: "audio", kind: Kind::AudioOnly, mark: Rgb(0, 0, 0) };

/// From an address typed into a cold browser to a picture, with an encoder to be started and the machine busy.
const LIVE: Duration = Duration::from_secs(30);
/// A player may take so long to find its edge.
const SETTLE: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(4);
/// FFmpeg holds two frames, 80 ms. Half of them must be seen to be gone, whatever else the machine does.
const SOONER_MS: f64 = 40.0;

/// Streams of these names and paths that the relay reads itself.
fn direct(camera: &Camera, streams: &[(&str, &str)]) -> String {
    streams.iter().map(|(name, path)| camera.read_directly(name, path)).collect()
}

/// A viewer without a browser of a stream, who has a picture.
async fn watching(relay: &Relay, stream: &str) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, stream, &PLAYS_BOTH).await.watch();
    has_more(&viewer).await;
    viewer
}

/// Waits until a second more of it has come.
async fn has_more(viewer: &BackgroundViewer) {
    let before = viewer.seen().fragments;
    until("pictures", LIVE, async || (viewer.seen().fragments > before + 25).then_some(())).await;
}

#[test]
fn camera_faults_lose_no_frame_and_leak_nothing() {
    within(Duration::from_secs(180), async || {
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

        let offline = async |reasons: &[OfflineReason]| {
            let told = async || match relay.stream("gate").await.state {
                StreamState::Offline { reason: told, .. } => Some(told),
                _ => None,
            };
            let reason = until("the stream to be offline", LIVE, told).await;
            assert!(reasons.contains(&reason), "{reason:?}");
        };
        camera.stop();
        // The first retry follows at once.
        offline(&[OfflineReason::Ended, OfflineReason::Unreachable]).await;
        camera.restart().await;
        has_more(&viewer).await;
        camera.freeze();
        offline(&[OfflineReason::Silent]).await;
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
fn unreadable_camera_is_offline_with_the_cause() {
    within(Duration::from_secs(120), async || {
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
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
        assert_eq!(healthy.seen().losses, Vec::<String>::new());
    });
}

/// What the catalogue says of the reader.
async fn reader(relay: &Relay, stream: &str) -> Option<ReaderInfo> {
    relay.stream(stream).await.reader
}

fn by(name: ReaderName, reason: Option<&str>) -> Option<ReaderInfo> {
    Some(ReaderInfo { name, reason: reason.map(str::to_owned) })
}

/// The lines of `/metrics` that name readers.
async fn reader_metrics(relay: &Relay) -> Vec<String> {
    let metrics = relay.get("/metrics").await.text();
    metrics.lines().filter(|line| line.starts_with("sightline_source_reader{")).map(str::to_owned).collect()
}

#[test]
fn default_reader_needs_no_ffmpeg_for_h264_and_h265() {
    within(Duration::from_secs(120), async || {
        let camera = Camera::start(&[RED, BLUE]).await;
        let relay = Setup::config(camera.config()).start().await;
        assert_eq!(reader(&relay, "red").await, None, "not known before it is read");
        assert!(reader_metrics(&relay).await.is_empty());
        let viewers = [watching(&relay, "red").await, watching(&relay, "blue").await];
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
        for (name, viewer) in ["red", "blue"].iter().zip(&viewers) {
            assert_eq!(reader(&relay, name).await, by(ReaderName::Direct, None));
            assert_eq!(camera.viewers(name), Viewers { total: 1, now: 1 });
            assert_eq!(viewer.seen().losses, Vec::<String>::new());
        }
        let line = |stream| format!("sightline_source_reader{{stream=\"{stream}\",reader=\"direct\",reason=\"\"}} 1");
        assert_eq!(reader_metrics(&relay).await, ["red", "blue"].map(line));
        assert!(relay.stream("red").await.notes.is_empty(), "{:?}", relay.stream("red").await.notes);
    });
}

#[test]
fn camera_that_refuses_or_goes_away_causes_no_fallback() {
    within(Duration::from_secs(120), async || {
        let mut camera = Camera::start(&[RED]).await;
        let relay = Setup::config(camera.config()).start().await;
        camera.stop();
        // A server on its port that hangs up, as a camera may that is starting.
        let busy = tokio::net::TcpListener::bind(("127.0.0.1", camera.port())).await.unwrap();
        let viewer = Viewer::playing(&relay, "red", &PLAYS_BOTH).await.watch();
        for _ in 0..2 {
            drop(tokio::time::timeout(LIVE, busy.accept()).await.expect("the relay tries again"));
        }
        drop(busy);
        camera.restart().await;
        has_more(&viewer).await;
        assert_eq!(reader(&relay, "red").await, by(ReaderName::Direct, None));
        assert!(!relay.log().contains("FFmpeg started"), "{}", relay.log());
    });
}

#[test]
fn camera_that_ffmpeg_cannot_read_either_is_read_directly_again() {
    within(Duration::from_secs(120), async || {
        let mut camera = Camera::start(&[RED]).await;
        let relay = Setup::config(camera.config()).start().await;
        camera.stop();
        let web = tokio::net::TcpListener::bind(("127.0.0.1", camera.port())).await.unwrap();
        let viewer = Viewer::playing(&relay, "red", &PLAYS_BOTH).await.watch();
        // A web server on its port: the relay tries, and FFmpeg after it.
        for _ in 0..2 {
            let (mut connection, _) = tokio::time::timeout(LIVE, web.accept()).await.expect("a try").unwrap();
            let _ = connection.read(&mut [0; 1024]).await;
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
        drop(web);
        camera.restart().await;
        has_more(&viewer).await;
        relay.wait_for_log("FFmpeg reads the camera instead", 1).await;
        assert_eq!(reader(&relay, "red").await, by(ReaderName::Direct, None));
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
    });
}

#[test]
fn b_frames_are_read_by_ffmpeg_without_an_error_and_remembered_until_a_reload() {
    within(Duration::from_secs(180), async || {
        let mut camera = Camera::start(&[BFRAMES]).await;
        let config = camera.config();
        let mut relay = Setup::config(config.clone()).start().await;
        let mut viewer = Viewer::playing(&relay, "bframes", &PLAYS_BOTH).await;
        let transcoded = |event: &Event| match event {
            Event::Message(ServerMessage::State(StreamState::Offline { reason, message, .. })) => {
                panic!("the viewer was told {reason:?}: {message}")
            }
            Event::Message(ServerMessage::Error { .. }) => panic!("the viewer was told {event:?}"),
            Event::Message(ServerMessage::Ready(ready)) => (ready.variant == Variant::H264).then_some(()),
            _ => None,
        };
        viewer.wait_for("the transcode of a stream with B-frames", LIVE, transcoded).await;
        let viewer = viewer.watch();
        has_more(&viewer).await;
        assert_eq!(relay.readers(&camera.url("bframes")).len(), 1, "{:?}", relay.ffmpegs());
        assert_eq!(camera.viewers("bframes"), Viewers { total: 2, now: 1 }, "one after the other");
        let reason = "the camera sends B-frames";
        let fallback = by(ReaderName::Ffmpeg, Some(reason));
        assert_eq!(reader(&relay, "bframes").await, fallback);
        let notes = relay.stream("bframes").await.notes;
        assert!(notes.iter().any(|note| note.contains(reason) && note.contains("FFmpeg")), "{notes:?}");
        let line = "sightline_source_reader{stream=\"bframes\",reader=\"ffmpeg\",reason=\"b_frames\"} 1";
        assert_eq!(reader_metrics(&relay).await, [line]);
        relay.wait_for_log(&format!("the relay cannot read the camera itself: {reason}"), 1).await;

        // A restart of the camera does not make the relay try again.
        camera.restart().await;
        has_more(&viewer).await;
        assert_eq!(camera.viewers("bframes"), Viewers { total: 1, now: 1 });
        assert_eq!(reader(&relay, "bframes").await, fallback);

        // A source that changed is tried, with a viewer all the while.
        relay.reload(&config.replace("/bframes\"", "/bframes?again\""));
        let tries = || relay.log().matches("cannot read the camera itself").count();
        until("the changed source to be tried", LIVE, async || (tries() == 2).then_some(())).await;
        has_more(&viewer).await;
        assert_eq!(reader(&relay, "bframes").await, fallback);
    });
}

#[test]
fn forced_reader_is_kept() {
    within(Duration::from_secs(120), async || {
        let camera = Camera::start(&[RED, BFRAMES]).await;
        let forced = format!("[streams.forced]\nsource = \"{}\"\nreader = \"ffmpeg\"\n", camera.url("red"));
        let relay = Setup::config(direct(&camera, &[("gate", "bframes")]) + &forced).start().await;
        let _viewer = watching(&relay, "forced").await;
        assert_eq!(reader(&relay, "forced").await, by(ReaderName::Ffmpeg, None));
        assert_eq!(relay.readers(&camera.url("red")).len(), 1, "{:?}", relay.ffmpegs());

        let mut viewer = Viewer::playing(&relay, "gate", &PLAYS_BOTH).await;
        let offline = |event: &Event| match event {
            Event::Message(ServerMessage::State(StreamState::Offline { message, .. })) => Some(message.clone()),
            _ => None,
        };
        let message = viewer.wait_for("the reason why the relay cannot read it", LIVE, offline).await;
        assert!(message.contains("B-frames") && message.contains("reader = \"auto\""), "{message}");
        assert!(relay.readers(&camera.url("bframes")).is_empty(), "{:?}", relay.ffmpegs());
    });
}

mod browser {
    use super::*;

    #[test]
    fn direct_reader_serves_every_protocol_and_variant() {
        within(Duration::from_secs(240), async || {
            let camera = Camera::start(&[RED, BLUE]).await;
            let config = camera.config_of([]) + &direct(&camera, &[("gate", "red"), ("yard", "blue")]);
            let relay = Setup::config(config).start().await;
            let shows = async |browser: &Browser, query: &str, stream: &str, mount: Mount| -> Tile {
                browser.open(&relay.url(&format!("/?stream={stream}{query}"))).await;
                let tile = browser.wait_live(stream, LIVE).await;
                browser.wait_moving(stream, Duration::from_secs(2), 20, LIVE).await;
                let mark = browser.mark(stream).await;
                assert!(mark.is_like(mount.mark), "{} {query}: {mark:?}", browser.engine());
                tile
            };
            Browser::each(async |browser| {
                let engine = browser.engine();
                let tile = shows(browser, "", "yard", BLUE).await;
                let (variant, entry) = if engine.plays_h265() { ("copy", "hvc1.") } else { ("h264", "avc1.") };
                assert_eq!(tile.variant.as_deref(), Some(variant), "{engine}");
                assert!(tile.codec.as_ref().is_some_and(|codec| codec.starts_with(entry)), "{tile:?}");
                shows(browser, "&protocol=hls", "gate", RED).await;
                if engine == Engine::Chromium {
                    shows(browser, "&protocol=webrtc", "gate", RED).await;
                    shows(browser, "&codec=h264", "yard", BLUE).await;
                }
                assert_eq!(relay.readers(&camera.url("")).len(), 0, "{:?}", relay.ffmpegs());
            })
            .await;
            // One connection at a time, each for a new viewer after the last one had left, and none only to probe the camera.
            for path in ["red", "blue"] {
                assert!(camera.viewers(path).now <= 1, "{:?}", camera.viewers(path));
            }
            assert_eq!(camera.connections(), camera.viewers("red").total + camera.viewers("blue").total);
        });
    }
}

mod timing {
    use super::*;

    /// How old the pictures of `stream` are.
    async fn age(browser: &Browser, relay: &Relay, stream: &str, more: &str) -> Summary {
        browser.open(&relay.url(&format!("/?stream={stream}{more}"))).await;
        browser.wait_live(stream, LIVE).await;
        tokio::time::sleep(SETTLE).await;
        let watch = browser.watch_clock(stream, WATCHED).await;
        watch.summary(STALL).expect("pictures with a clock")
    }

    #[test]
    fn direct_reader_is_fresher_in_every_browser() {
        within(Duration::from_secs(240), async || {
            let camera = Camera::start(&[RED]).await;
            let relay = Setup::config(camera.config_by_ffmpeg() + &direct(&camera, &[("direct", "red")])).start().await;
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
}
