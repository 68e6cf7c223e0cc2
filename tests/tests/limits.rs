//! What viewers, and those who are none, may take of the relay: each limit says its name, and whoever watches loses no
//! frame to those who ask for too much. No browser.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{Response, get};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{alone, say, until};
use sightline_tests::viewer::{PLAYS_H264, Viewer, Watching};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);

/// A relay with this under `[limits]`, and somebody who watches.
struct Scene {
    _camera: Camera,
    relay: Relay,
    healthy: Watching,
}

impl Scene {
    async fn open(limits: &str) -> Self {
        Self::of(limits, |setup| setup).await
    }

    async fn of(limits: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let camera = Camera::start(&[CAM]).await;
        let config = format!("{}\n[limits]\n{limits}\n", camera.config());
        let relay = change(Setup::config(config)).start().await;
        let healthy = Viewer::playing(&relay, CAM.path, &PLAYS_H264).await.watch();
        until("the picture", START, async || (healthy.seen().fragments > 25).then_some(())).await;
        Self { _camera: camera, relay, healthy }
    }

    fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// Asserts that whoever watches lost nothing, and that more comes.
    async fn plays_on(&self) {
        let before = self.healthy.seen().fragments;
        let more = async || (self.healthy.seen().fragments >= before + 10).then_some(());
        until("the healthy viewer to play on", SOON, more).await;
        assert_eq!(self.healthy.seen().losses, Vec::<String>::new());
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the relay listens")
}

/// Whether the relay ends it within `limit`, and what it says before.
async fn last_words(stream: &mut TcpStream, limit: Duration) -> Option<String> {
    let mut text = Vec::new();
    // A reset is an end, too.
    let ended = tokio::time::timeout(limit, stream.read_to_end(&mut text)).await;
    ended.ok().map(|_| String::from_utf8_lossy(&text).into_owned())
}

/// Asserts that this is a refusal by that limit.
fn assert_refused(answer: &Response, limit: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 429, "{text}");
    assert!(text.contains(limit) && text.lines().count() == 1, "{text}");
    assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
}

#[test]
fn connections_are_so_many_and_the_next_is_told_why() {
    alone(TEST, async || {
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
        until("a place to be free again", SOON, again).await;
        scene.plays_on().await;
    });
}

#[test]
fn a_head_that_does_not_come_to_its_end_ends_the_connection() {
    alone(TEST, async || {
        let scene = Scene::open("header_seconds = 2\nheader_bytes = 8192").await;
        let mut silent = connect(scene.address()).await;
        let mut slow = connect(scene.address()).await;
        let begun = Instant::now();
        let dripping = async {
            // One header line after another, each in good time.
            while slow.write_all(b"X-A: b\r\n").await.is_ok() && begun.elapsed() < SOON {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            begun.elapsed()
        };
        let (words, dripped) = tokio::join!(last_words(&mut silent, SOON), dripping);
        assert!(words.is_some(), "who says nothing is let go");
        assert!(dripped < Duration::from_secs(6), "who says little is let go: {dripped:?}");

        let mut long = connect(scene.address()).await;
        let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(9000));
        long.write_all(head.as_bytes()).await.expect("it is taken");
        let words = last_words(&mut long, SOON).await.expect("an end");
        assert!(words.starts_with("HTTP/1.1 431 "), "{words}");
        scene.plays_on().await;
    });
}

#[test]
fn who_watches_loses_no_frame_to_connections_that_are_for_nothing() {
    alone(TEST, async || {
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
        scene.plays_on().await;

        // Five hundred a second, for two seconds.
        let (begun, mut opened) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(2) {
            for _ in 0..25 {
                drop(connect(address).await);
                opened += 1;
            }
            tokio::time::sleep(Duration::from_millis(50).saturating_sub(Duration::from_millis(5))).await;
        }
        say(&format!("{opened} connections in {:?}", begun.elapsed()));
        scene.plays_on().await;

        // Requests that are none, as fast as they are answered.
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
        say(&format!("{requests} bad requests in {:?}", begun.elapsed()));
        assert!(requests > 1000, "{requests}");
        scene.plays_on().await;
    });
}

#[test]
fn two_hundred_viewers_come_and_leave_at_once() {
    alone(TEST, async || {
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
        scene.plays_on().await;
    });
}

#[test]
fn descriptors_that_run_out_are_waited_for() {
    alone(TEST, async || {
        let scene = Scene::of("header_seconds = 600", |setup| setup.open_files(80)).await;
        let mut idle = Vec::new();
        for _ in 0..120 {
            idle.push(connect(scene.address()).await);
        }
        let told = || scene.relay.log().matches("connections cannot be accepted").count();
        until("the relay to say so", SOON, async || (told() > 0).then_some(())).await;
        scene.plays_on().await;
        assert_eq!(told(), 1, "{}", scene.relay.log());
        drop(idle);
        let answered = async || get(scene.address(), "/healthz").await.ok().filter(|answer| answer.status == 200);
        until("the relay to accept again", SOON, answered).await;
        scene.plays_on().await;
    });
}
