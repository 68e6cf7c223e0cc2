//! Attacks by HTTP/2: frames without end, and answers that are cancelled or not taken.

use std::time::Instant;

use futures_util::future::join_all;
use sightline_tests::http2::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::scene::{FLOOD, Scene, token};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET https://relay/healthz` on stream 1 (RFC 9113, section 6.2; RFC 7541), without END_HEADERS.
const OPEN_HEAD: &[u8] = b"\0\0\x13\x01\x01\0\0\0\x01\x82\x87\x01\x05relay\x04\x08/healthz";

async fn client(scene: &Scene) -> Client {
    Client::connect(&scene.identity, scene.relay.address()).await.expect("HTTP/2")
}

/// Event streams of a client with a token.
fn events() -> String {
    format!("/api/events?token={}", token(3600))
}

/// Frames that cost the client little.
pub(super) async fn floods(scene: &Scene) {
    let events = events();
    scene
        .row("rapid reset, two connections", 8.0, async || {
            let one = async || {
                let begun = Instant::now();
                while begun.elapsed() < FLOOD {
                    let client = client(scene).await;
                    while begun.elapsed() < FLOOD && client.cancel(&events).await.is_ok() {}
                }
            };
            tokio::join!(one(), one());
        })
        .await;
    for (name, first, frame) in [
        ("SETTINGS flood", &b""[..], &b"\0\0\0\x04\0\0\0\0\0"[..]),
        ("PING flood", b"", b"\0\0\x08\x06\0\0\0\0\0aaaaaaaa"),
        ("CONTINUATION flood", OPEN_HEAD, b"\0\0\0\x09\0\0\0\0\x01"),
    ] {
        scene.row(name, 6.0, async || flood(scene, first, &frame.repeat(1000)).await).await;
    }
    // Connections of this kind still work for others.
    let mut idle = scene.connect_http2().await;
    idle.write_all(PREFACE).await.expect("it is taken");
    assert!(idle.read(&mut [0; 64]).await.expect("settings") > 0);
}

/// Writes `frames` on four connections as fast as the relay reads, for the time of a flood.
async fn flood(scene: &Scene, first: &[u8], frames: &[u8]) {
    let one = async || {
        let begun = Instant::now();
        while begun.elapsed() < FLOOD {
            let (_, mut writer) = tokio::io::split(scene.connect_http2().await);
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

/// Many answers at a time.
pub(super) async fn answers(scene: &Scene) {
    let events = events();
    scene
        .row("10 connections with 100 event streams each", 6.0, async || {
            let mut held = Vec::new();
            for _ in 0..10 {
                let client = client(scene).await;
                let streams = join_all((0..100).map(|_| client.ask(&events))).await;
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
}
