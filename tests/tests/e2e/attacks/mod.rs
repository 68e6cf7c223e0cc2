//! What attacks cost the relay, in one table: memory, descriptors, processor time, and the frames of a viewer beside them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http2::Client;
use sightline_tests::process::cpu_seconds;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::tls::{Files, Identity};
use sightline_tests::viewer::{BackgroundViewer, PLAYS_H264, Viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::version;

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const TEST: Duration = Duration::from_secs(180);
const START: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);
const FRAMES_PER_SECOND: f64 = 25.0;
/// The duration of a flood.
const FLOOD: Duration = Duration::from_secs(3);
/// Memory that the relay may keep after all attacks: what the allocator does not return.
const KEPT_KIB: u64 = 96 * 1024;
/// The log of all attacks that are not admitted as viewers, in bytes.
const LOG_MAX: usize = 8 * 1024;
/// A line of the log with a stranger's text, in bytes.
const LINE_MAX: usize = 800;
/// The opening handshake of a WebSocket (RFC 6455, section 4.1).
const UPGRADE: &[u8] = b"GET /ws/mse/cam HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: sightline.v1\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET https://relay/healthz` on stream 1 (RFC 9113, section 6.2; RFC 7541), without END_HEADERS.
const OPEN_HEAD: &[u8] = b"\0\0\x13\x01\x01\0\0\0\x01\x82\x87\x01\x05relay\x04\x08/healthz";

/// An offer of a player for H.264.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 H264/90000\r\n";

/// A relay without credentials, so that every route is reached, and a viewer.
struct Scene {
    identity: Identity,
    _files: Files,
    relay: Relay,
    viewer: BackgroundViewer,
}

impl Scene {
    async fn open() -> Self {
        let (camera, identity) = (Camera::shared(&[CAM]).await, Identity::new());
        let files = Files::new(&identity);
        let relay = Setup::config(format!("{}\n{}", camera.config(), files.config())).start().await;
        let connection = identity.connect(relay.address()).await.expect("a connection");
        let viewer = Viewer::playing_over(connection, &relay, CAM.path, &PLAYS_H264).await.watch();
        until("the picture", START, async || (viewer.seen().fragments > 25).then_some(())).await;
        Self { identity, _files: files, relay, viewer }
    }

    /// Performs an attack and prints its row. `attack` returns what it holds open; `limit` is the processor time that it may cost.
    async fn row<T>(&self, name: &str, limit: f64, attack: impl AsyncFnOnce() -> T) {
        let pid = self.relay.pid();
        let before = (self.relay.resident_kib(), self.relay.descriptors(), self.viewer.seen().fragments);
        let (cpu, begun) = (cpu_seconds(pid), Instant::now());
        let held = attack().await;
        let (cpu, seconds) = (cpu_seconds(pid) - cpu, begun.elapsed().as_secs_f64());
        let during = (self.relay.resident_kib(), self.relay.descriptors());
        // Another client is served in the meantime.
        let answer = timeout(SOON, self.identity.get(self.relay.address(), "/api/streams")).await;
        assert_eq!(answer.expect("in time").expect("an answer").status, 200, "{name}");
        drop(held);
        until("the attack's connections to be closed", SOON, async || {
            (self.relay.descriptors() <= before.1 + 2).then_some(())
        })
        .await;
        let seen = self.viewer.seen();
        let mib = |kib: u64| format!("{:.0}", kib as f64 / 1024.0);
        say(&format!(
            "| {name} | {seconds:.1} | {} / {} / {} | {} / {} / {} | {cpu:.1} | {} / {} |",
            mib(before.0),
            mib(during.0),
            mib(self.relay.resident_kib()),
            before.1,
            during.1,
            self.relay.descriptors(),
            seen.fragments - before.2,
            seen.losses.len(),
        ));
        assert_eq!(seen.losses, Vec::<String>::new(), "{name}");
        let frames = (seen.fragments - before.2) as f64;
        assert!(
            frames >= (seconds - 1.0) * FRAMES_PER_SECOND / 2.0,
            "{name}: the viewer got {frames} frames in {seconds} s"
        );
        assert!(cpu < limit, "{name}: {cpu} s of processor time in {seconds} s");
    }

    async fn raw(&self) -> impl sightline_tests::tls::Connection {
        let address = self.relay.address();
        self.identity.connect_for_page(address, &version::TLS13).await.expect("a connection")
    }

    /// Writes `frames` on four connections as fast as the relay reads, for the time of a flood.
    async fn flood(&self, first: &[u8], frames: &[u8]) {
        let one = async || {
            let begun = Instant::now();
            while begun.elapsed() < FLOOD {
                let (_, mut writer) = tokio::io::split(self.raw().await);
                let write = async {
                    writer.write_all(&[PREFACE, first].concat()).await?;
                    loop {
                        writer.write_all(frames).await?;
                    }
                };
                let _: Result<std::io::Result<()>, _> = timeout(FLOOD - begun.elapsed().min(FLOOD), write).await;
            }
        };
        join_all([one(), one(), one(), one()]).await;
    }

    async fn plain(&self, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
        let mut held = Vec::new();
        for _ in 0..count {
            let mut stream = TcpStream::connect(self.relay.address()).await.expect("it listens");
            stream.write_all(bytes).await.expect("it is taken");
            held.push(stream);
        }
        held
    }
}

impl Scene {
    /// Requests and messages that no honest client sends, by HTTP/1.1.
    async fn malformed(&self) {
        let long = format!("GET /hls/{}/index.m3u8 HTTP/1.1\r\nHost: localhost\r\n", "x".repeat(30_000));
        self.row("200 stream names of 30 KB", 6.0, async || self.refusals(&long, "400", 200).await).await;
        let hosts = "GET /api/streams HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n";
        self.row("200 requests with two Host headers", 6.0, async || self.refusals(hosts, "400", 200).await).await;
        let logged = self.relay.log().len();
        assert!(logged < LOG_MAX, "{logged} bytes: {}", self.relay.log());
        self.row("200 messages with newlines in their type", 6.0, async || {
            let forged = format!("{{\"type\":\"{}\"}}", "\\nWARN login failed".repeat(500));
            for _ in 0..200 {
                let connection = self.identity.connect(self.relay.address()).await.expect("a connection");
                let mut viewer = Viewer::playing_over(connection, &self.relay, CAM.path, &PLAYS_H264).await;
                viewer.send_text(&forged).await;
                assert_eq!(viewer.wait_closed(SOON).await.1, Some(4400));
            }
        })
        .await;
        self.row("empty WebSocket frames, four connections", 6.0, async || {
            join_all((0..4).map(|_| self.empty_frames())).await;
        })
        .await;
        // Each viewer leaves a line.
        let log = self.relay.log();
        let longest = log.lines().map(str::len).max();
        say(&format!("logged before viewers: {logged} bytes; afterwards the longest line: {longest:?}"));
        assert!(longest < Some(LINE_MAX) && !log.contains("\nWARN login failed"), "{log}");
    }

    /// Sends a request without its last line on a connection of its own, `count` times.
    async fn refusals(&self, head: &str, status: &str, count: usize) {
        for _ in 0..count {
            let mut connection = self.identity.connect(self.relay.address()).await.expect("a connection");
            connection.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.expect("it is taken");
            let mut answer = vec![0; 12];
            timeout(SOON, connection.read_exact(&mut answer)).await.expect("in time").expect("an answer");
            assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
        }
    }

    /// Begins a text message and continues it by nothing, again and again, for the time of a flood.
    async fn empty_frames(&self) {
        let (begun, frames) = (Instant::now(), [0x00, 0x80, 0, 0, 0, 0].repeat(1000));
        while begun.elapsed() < FLOOD {
            let connection = self.identity.connect(self.relay.address()).await.expect("a connection");
            let (mut reader, mut writer) = tokio::io::split(connection);
            let write = async {
                writer.write_all(UPGRADE).await?;
                assert!(reader.read(&mut [0; 1024]).await? > 0, "it upgrades");
                writer.write_all(&[0x01, 0x80, 0, 0, 0, 0]).await?;
                loop {
                    writer.write_all(&frames).await?;
                }
            };
            let _: Result<std::io::Result<()>, _> = timeout(FLOOD - begun.elapsed().min(FLOOD), write).await;
        }
    }
}

#[test]
fn attacks_cost_bounded_memory_descriptors_and_time() {
    within(TEST, async || {
        let scene = Scene::open().await;
        say("| attack | s | MiB before / during / after | descriptors | CPU s | viewer's frames / lost |");
        let begun = scene.relay.resident_kib();

        scene.row("200 TLS handshakes that stop", 1.0, async || scene.plain(200, b"\x16\x03\x01\x02\x00").await).await;
        scene
            .row("rapid reset, four connections", 8.0, async || {
                let one = async || {
                    let begun = Instant::now();
                    while begun.elapsed() < FLOOD {
                        let client = Client::connect(&scene.identity, scene.relay.address()).await.expect("HTTP/2");
                        while begun.elapsed() < FLOOD && client.cancel("/api/events").await.is_ok() {}
                    }
                };
                join_all([one(), one(), one(), one()]).await;
            })
            .await;
        for (name, first, frame) in [
            ("SETTINGS flood", &b""[..], &b"\0\0\0\x04\0\0\0\0\0"[..]),
            ("PING flood", b"", b"\0\0\x08\x06\0\0\0\0\0aaaaaaaa"),
            ("CONTINUATION flood", OPEN_HEAD, b"\0\0\0\x09\0\0\0\0\x01"),
        ] {
            scene.row(name, 6.0, async || scene.flood(first, &frame.repeat(1000)).await).await;
        }
        scene
            .row("10 connections with 100 event streams each", 6.0, async || {
                let mut held = Vec::new();
                for _ in 0..10 {
                    let client = Client::connect(&scene.identity, scene.relay.address()).await.expect("HTTP/2");
                    let streams = join_all((0..100).map(|_| client.ask("/api/events"))).await;
                    assert!(streams.iter().all(|stream| stream.as_ref().is_ok_and(|answer| answer.status() == 200)));
                    held.push((client, streams));
                }
                held
            })
            .await;
        scene
            .row("1000 answers that the client does not take", 6.0, async || {
                let mut settings = h2::client::Builder::new();
                settings.initial_window_size(0);
                let mut held = Vec::new();
                for _ in 0..10 {
                    let client = Client::with(&scene.identity, scene.relay.address(), &settings).await.expect("HTTP/2");
                    let answers = join_all((0..100).map(|_| client.ask("/sightline-player.js"))).await;
                    held.push((client, answers));
                }
                held
            })
            .await;
        scene
            .row("100 bodies that never end", 2.0, async || {
                let head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\
                            Content-Type: application/x-www-form-urlencoded\r\n\r\nx";
                let mut held = Vec::new();
                for _ in 0..100 {
                    let mut stream = scene.identity.connect(scene.relay.address()).await.expect("a connection");
                    stream.write_all(head.as_bytes()).await.expect("it is taken");
                    held.push(stream);
                }
                held
            })
            .await;
        scene.malformed().await;
        scene
            .row("200 WebRTC offers of 500 lines, never connected", 30.0, async || {
                let kind = [("content-type", "application/sdp")];
                let lines: String = (0..480).map(|n| format!("a=ssrc:{n} cname:a\r\n")).collect();
                let offer = format!("{OFFER}{lines}");
                let mut created = 0;
                for _ in 0..200 {
                    let answer = scene.identity.send(scene.relay.address(), "POST", "/whep/cam", &kind, &offer).await;
                    match answer.expect("an answer").status {
                        201 => created += 1,
                        status => assert_eq!(status, 503),
                    }
                }
                assert!(created > 0, "every offer was refused");
            })
            .await;
        let kept = scene.relay.resident_kib().saturating_sub(begun);
        say(&format!("kept after all: {} MiB", kept / 1024));
        assert!(kept < KEPT_KIB, "{kept} KiB");
        // The same connection types still work for the honest.
        let mut idle = scene.raw().await;
        idle.write_all(PREFACE).await.expect("it is taken");
        assert!(idle.read(&mut [0; 64]).await.expect("settings") > 0);
    });
}
