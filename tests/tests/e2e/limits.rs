//! Limits on the resources that a client can use. Each refusal names its limit, and other viewers lose no frame to clients that
//! exceed one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sightline_protocol::message::{ServerMessage, StreamState, VariantReason};
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{Response, get, send};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::viewer::{BackgroundViewer, Event, PLAYS_BOTH, PLAYS_H264, Viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(30);

const GATE: Mount = Mount { path: "gate", kind: Kind::H265, mark: Rgb(0xc0, 0x40, 0x20) };
const YARD: Mount = Mount { path: "yard", kind: Kind::H265, mark: Rgb(0x20, 0xa0, 0x40) };
/// Close code 4000 plus 429 (RFC 6585, section 4).
const TOO_MANY: u16 = 4429;

/// A relay with these `[limits]`, and a watching viewer.
struct Scene {
    _camera: &'static Camera,
    relay: Relay,
    healthy: BackgroundViewer,
}

impl Scene {
    async fn open(limits: &str) -> Self {
        Self::of(limits, |setup| setup).await
    }

    async fn of(limits: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let camera = Camera::shared(&[CAM, GATE, YARD]).await;
        let config = format!("{}\n[limits]\n{limits}\n", camera.config());
        let relay = change(Setup::config(config)).start().await;
        let healthy = Viewer::playing(&relay, CAM.path, &PLAYS_H264).await.watch();
        until("the picture", START, async || (healthy.seen().fragments > 25).then_some(())).await;
        Self { _camera: camera, relay, healthy }
    }

    fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// Asserts that the watching viewer lost nothing and continues to receive.
    async fn plays_on(&self) {
        let before = self.healthy.seen().fragments;
        let more = async || (self.healthy.seen().fragments >= before + 10).then_some(());
        until("the healthy viewer to play on", SOON, more).await;
        assert_eq!(self.healthy.seen().losses, Vec::<String>::new());
    }

    /// Asserts the same and prints a row of the table of faults.
    async fn survives(&self, fault: &str) {
        self.plays_on().await;
        let (frames, kib, open) = (self.healthy.seen().fragments, self.relay.resident_kib(), self.relay.descriptors());
        say(&format!("{fault:38} {frames:5} frames seen, 0 lost; {kib:6} KiB, {open:4} descriptors"));
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the relay listens")
}

/// The data received before the relay ends the connection. None if it does not end within `limit`.
async fn read_to_close(stream: &mut TcpStream, limit: Duration) -> Option<String> {
    let mut text = Vec::new();
    // A reset ends the connection as well.
    let ended = tokio::time::timeout(limit, stream.read_to_end(&mut text)).await;
    ended.ok().map(|_| String::from_utf8_lossy(&text).into_owned())
}

/// Asserts that this response is a refusal by that limit.
fn assert_refused(answer: &Response, limit: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 429, "{text}");
    assert!(text.contains(limit) && text.lines().count() == 1, "{text}");
    assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
}

#[test]
fn connection_limit_refuses_with_429_and_reason() {
    within(TEST, async || {
        let scene = Scene::open("connections = 20").await;
        let mut idle = Vec::new();
        for _ in 0..19 {
            idle.push(connect(scene.address()).await);
        }
        let answer = get(scene.address(), "/healthz").await.expect("an answer");
        assert_refused(&answer, "limits.connections allows (20)");
        scene.plays_on().await;
        idle.truncate(15);
        let again = async || get(scene.address(), "/healthz").await.ok().filter(|answer| answer.status == 200);
        until("a permit to be free again", SOON, again).await;
        scene.plays_on().await;
    });
}

#[test]
fn incomplete_or_oversized_request_head_closes_connection() {
    within(TEST, async || {
        let scene = Scene::open("header_seconds = 2\nheader_bytes = 8192").await;
        let mut silent = connect(scene.address()).await;
        let mut slow = connect(scene.address()).await;
        let begun = Instant::now();
        let dripping = async {
            // One header line after another, each within the time limit.
            while slow.write_all(b"X-A: b\r\n").await.is_ok() && begun.elapsed() < SOON {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            begun.elapsed()
        };
        let (words, dripped) = tokio::join!(read_to_close(&mut silent, SOON), dripping);
        assert!(words.is_some(), "a silent connection is closed");
        assert!(dripped < Duration::from_secs(6), "a slow connection is closed: {dripped:?}");

        let mut long = connect(scene.address()).await;
        let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(9000));
        long.write_all(head.as_bytes()).await.expect("it is taken");
        let words = read_to_close(&mut long, SOON).await.expect("an end");
        assert!(words.starts_with("HTTP/1.1 431 "), "{words}");
        scene.survives("heads that do not come to their end").await;
    });
}

#[test]
fn viewer_loses_no_frame_to_idle_and_invalid_connections() {
    within(TEST, async || {
        let scene = Scene::open("").await;
        let address = scene.address();
        let mut idle = Vec::new();
        for n in 0..200 {
            let mut stream = connect(address).await;
            if n % 2 == 0 {
                stream.write_all(b"GET / HTTP/1.1\r\nX-").await.expect("it is taken");
            }
            idle.push(stream);
        }
        scene.survives("200 connections that say nothing").await;

        // 500 connections per second for two seconds. Late ticks fire immediately.
        let (begun, mut ticks) = (Instant::now(), tokio::time::interval(Duration::from_millis(50)));
        for _ in 0..40 {
            ticks.tick().await;
            for _ in 0..25 {
                drop(connect(address).await);
            }
        }
        scene.survives(&format!("1000 connections in {:.1} s", begun.elapsed().as_secs_f64())).await;

        // Invalid requests, as fast as the relay answers.
        let (begun, mut workers) = (Instant::now(), JoinSet::new());
        for _ in 0..4 {
            workers.spawn(async move {
                let (mut count, mut answer) = (0, [0; 4096]);
                while begun.elapsed() < Duration::from_secs(2) {
                    let mut stream = connect(address).await;
                    for nonsense in
                        [&b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\x16\x03\x01\0\0nonsense\r\n\r\n"]
                    {
                        if stream.write_all(nonsense).await.is_ok() {
                            let _ = stream.read(&mut answer).await;
                            count += 1;
                        }
                    }
                }
                count
            });
        }
        let requests: u32 = workers.join_all().await.into_iter().sum();
        let took = begun.elapsed().as_secs_f64();
        assert!(requests > 1000, "{requests}");
        scene.survives(&format!("{requests} bad requests in {took:.1} s")).await;
    });
}

#[test]
fn two_hundred_viewers_join_and_leave_at_once() {
    within(TEST, async || {
        let scene = Scene::open("").await;
        for _ in 0..3 {
            let coming = (0..200).map(|_| Viewer::playing(&scene.relay, CAM.path, &PLAYS_H264));
            let mut viewers = futures_util::future::join_all(coming).await;
            for viewer in &mut viewers {
                viewer.wait_ready(START).await;
            }
            drop(viewers);
        }
        let left = async || {
            let variants = scene.relay.stream(CAM.path).await.variants;
            (variants.iter().map(|variant| variant.viewers).sum::<usize>() == 1).then_some(())
        };
        until("all but one to have left", START, left).await;
        scene.survives("200 viewers at once, three times").await;
    });
}

#[test]
fn connections_leave_descriptors_for_sources() {
    within(TEST, async || {
        let scene = Scene::of("header_seconds = 600", |setup| setup.open_files(80)).await;
        scene.relay.wait_for_log("limit of connections", 1).await;
        let mut idle = Vec::new();
        for _ in 0..120 {
            idle.push(connect(scene.address()).await);
        }
        let refused = async || get(scene.address(), "/healthz").await.ok().filter(|answer| answer.status == 429);
        until("a connection to be refused", SOON, refused).await;
        scene.plays_on().await;
        assert!(!scene.relay.log().contains("connections cannot be accepted"), "{}", scene.relay.log());
        drop(idle);
        let answered = async || get(scene.address(), "/healthz").await.ok().filter(|answer| answer.status == 200);
        until("the relay to accept again", SOON, answered).await;
        scene.survives("more connections than descriptors").await;
    });
}

/// Asserts that this limit refuses a new viewer, in both dialects and by WebRTC.
async fn assert_full(scene: &Scene, stream: &str, limit: &str) {
    for v1 in [true, false] {
        let mut viewer =
            if v1 { Viewer::v1(&scene.relay, stream).await } else { Viewer::plain(&scene.relay, stream).await };
        let (told, code, reason) = viewer.wait_closed(SOON).await;
        assert_eq!(code, Some(TOO_MANY), "{told} {reason}");
        assert!(told.contains(limit), "{told}");
        assert!(!v1 || told.contains("too_many"), "{told}");
    }
    let offer = [("Content-Type", "application/sdp")];
    let answer = send(scene.address(), "POST", &format!("/whep/{stream}"), &offer, b"v=0".to_vec()).await;
    assert_refused(&answer.expect("an answer"), limit);
}

#[test]
fn viewer_limits_refuse_with_close_code_and_reason() {
    within(TEST, async || {
        let scene = Scene::open("viewers = 4\nviewers_per_stream = 3\nviewers_per_address = 2").await;
        // Behind a tunnel without X-Forwarded-For, all viewers share one address. The limit per address does not apply to it.
        let second = Viewer::playing(&scene.relay, CAM.path, &PLAYS_H264).await.watch();
        let third = Viewer::playing(&scene.relay, CAM.path, &PLAYS_H264).await.watch();
        let sees = |viewer: &BackgroundViewer| viewer.seen().fragments > 0;
        until("three to see it", START, async || (sees(&second) && sees(&third)).then_some(())).await;
        assert_full(&scene, CAM.path, "limits.viewers_per_stream allows (3)").await;
        // The relay takes the permit after its answer to the upgrade.
        let mut fourth = Viewer::playing(&scene.relay, GATE.path, &PLAYS_H264).await;
        let told = fourth.next(SOON).await;
        assert!(matches!(told, Event::Message(ServerMessage::State(_))), "{told:?}");
        assert_full(&scene, YARD.path, "limits.viewers allows (4)").await;
        scene.plays_on().await;

        // A viewer that leaves frees its permit.
        drop(second);
        let admitted = async || {
            let mut viewer = Viewer::playing(&scene.relay, CAM.path, &PLAYS_H264).await;
            matches!(viewer.next(SOON).await, Event::Message(ServerMessage::State(_))).then_some(())
        };
        until("a permit to be free again", SOON, admitted).await;
        scene.plays_on().await;
    });
}

#[test]
fn client_address_comes_from_trusted_proxy() {
    within(TEST, async || {
        let scene = Scene::open("viewers_per_address = 2").await;
        let through =
            |address: &'static str| Viewer::playing_through_proxy(&scene.relay, CAM.path, &PLAYS_H264, address);
        let mut one = [through("192.0.2.1").await, through("198.51.100.9, 192.0.2.1").await];
        for viewer in &mut one {
            viewer.wait_ready(START).await;
        }
        let (told, code, _) = through("203.0.113.4, 192.0.2.1").await.wait_closed(SOON).await;
        assert!(code == Some(TOO_MANY) && told.contains("limits.viewers_per_address allows (2)"), "{told}");
        through("192.0.2.2").await.wait_ready(START).await;

        let untrusted = Scene::open("viewers_per_address = 2\ntrusted_proxies = []").await;
        for _ in 0..3 {
            let mut viewer = Viewer::playing_through_proxy(&untrusted.relay, CAM.path, &PLAYS_H264, "192.0.2.1").await;
            viewer.wait_ready(START).await;
            scene.plays_on().await;
        }
    });
}

#[test]
fn message_rate_limit_closes_with_reason() {
    within(TEST, async || {
        let scene = Scene::open("messages_per_second = 50").await;
        let mut viewer = Viewer::playing(&scene.relay, CAM.path, &PLAYS_H264).await;
        viewer.wait_ready(START).await;
        for _ in 0..500 {
            viewer.send_text("{\"type\":\"pause\"}").await;
        }
        let (told, code, reason) = viewer.wait_closed(SOON).await;
        for text in [&told, &reason] {
            assert!(
                code == Some(TOO_MANY) && text.contains("limits.messages_per_second allows (50)"),
                "{code:?} {text}"
            );
        }
        assert!(told.contains("too_many"), "{told}");
        scene.plays_on().await;
    });
}

#[test]
fn transcode_limit_refuses_only_viewers_that_need_a_transcode() {
    within(TEST, async || {
        let scene = Scene::open("transcodes = 1").await;
        let mut first = Viewer::playing(&scene.relay, GATE.path, &PLAYS_H264).await;
        let ready = first.wait_ready(START).await;
        assert_eq!((ready.variant, ready.why), (Variant::H264, VariantReason::NotPlayable));
        let first = first.watch();

        let mut second = Viewer::playing(&scene.relay, YARD.path, &PLAYS_H264).await;
        let told = |event: &Event| match event {
            Event::Message(ServerMessage::State(StreamState::Offline { message, .. })) => Some(message.clone()),
            _ => None,
        };
        let message = second.wait_for("the transcode limit", START, told).await;
        assert!(message.contains("limits.transcodes allows (1)"), "{message}");
        // A viewer of the camera's own video needs no transcode.
        let mut both = Viewer::playing(&scene.relay, YARD.path, &PLAYS_BOTH).await;
        assert_eq!(both.wait_ready(START).await.variant, Variant::Copy);
        let before = first.seen().fragments;
        until("the first to play on", SOON, async || (first.seen().fragments > before + 25).then_some(())).await;
        assert_eq!(first.seen().losses, Vec::<String>::new());
        scene.plays_on().await;

        drop(first);
        assert_eq!(second.wait_ready(START).await.variant, Variant::H264);
        scene.plays_on().await;
    });
}

mod one_browser {
    use super::*;

    #[test]
    fn page_names_the_limit_and_plays_once_a_permit_is_free() {
        within(TEST, async || {
            let scene = Scene::open("viewers_per_stream = 1").await;
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            browser.open(&scene.relay.url("/?stream=cam")).await;
            let told =
                |tile: &Tile| tile.state == TileState::Error && tile.message.contains("limits.viewers_per_stream");
            browser.wait_for_tile(CAM.path, "to say which limit it is", SOON, told).await;
            scene.plays_on().await;
            drop(scene.healthy);
            // The page retries a refused request after half a minute.
            browser.wait_live(CAM.path, RETRY + START).await;
            let mark = browser.mark(CAM.path).await;
            assert!(mark.is_like(CAM.mark), "{mark}");
        });
    }
}
