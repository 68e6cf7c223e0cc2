//! Messages and frames that no client sends, and transcodes that one client requests.

use std::time::Instant;

use futures_util::future::join_all;
use sightline_protocol::message::{ServerMessage, StreamState};
use sightline_protocol::stream::{Variant, VariantChoice};
use sightline_tests::viewer::{Event, PLAYS_H264, Viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::scene::{ATTACKER, CAM, FLOOD, GATE, PASSWORD, SOON, START, Scene, VISITOR, YARD, token};

/// Text and frames without meaning.
pub(super) async fn messages(scene: &Scene) {
    scene
        .row("200 messages with newlines in their type", 6.0, async || {
            let forged = format!("{{\"type\":\"{}\"}}", "\\nWARN login failed".repeat(500));
            for _ in 0..200 {
                let mut viewer = playing(scene, ATTACKER).await;
                viewer.send_text(&forged).await;
                assert_eq!(viewer.wait_closed(SOON).await.1, Some(4400));
            }
        })
        .await;
    scene
        .row("empty WebSocket frames, four connections", 6.0, async || {
            join_all((0..4).map(|_| empty_frames(scene))).await;
        })
        .await;
}

async fn playing(scene: &Scene, forwarded: (&'static str, &str)) -> Viewer {
    let mut viewer = scene.viewer(CAM, &token(3600), forwarded).await;
    viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
    viewer
}

/// Begins a text message and continues it by nothing, again and again, for the time of a flood.
async fn empty_frames(scene: &Scene) {
    // The opening handshake of a WebSocket (RFC 6455, section 4.1).
    let upgrade = format!(
        "GET /ws/mse/cam HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: sightline.v1, sightline.token.{}\r\n\r\n",
        token(3600)
    );
    let (begun, frames) = (Instant::now(), [0x00, 0x80, 0, 0, 0, 0].repeat(1000));
    while begun.elapsed() < FLOOD {
        let (mut reader, mut writer) = tokio::io::split(scene.connect().await);
        let write = async {
            writer.write_all(upgrade.as_bytes()).await?;
            assert!(reader.read(&mut [0; 1024]).await? > 0, "it upgrades");
            writer.write_all(&[0x01, 0x80, 0, 0, 0, 0]).await?;
            loop {
                writer.write_all(&frames).await?;
            }
        };
        let _: Result<std::io::Result<()>, _> = timeout(FLOOD - begun.elapsed().min(FLOOD), write).await;
    }
}

/// One client requests every transcode, and another one needs one. FFmpeg has no secret of the relay.
pub(super) async fn transcodes(scene: &Scene) {
    scene
        .row("one client requests all transcodes", 8.0, async || {
            let open = async |mount, forwarded| {
                let mut viewer = scene.viewer(mount, &token(3600), forwarded).await;
                viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
                viewer
            };
            let mut first = open(GATE, ATTACKER).await;
            assert_eq!(first.wait_ready(START).await.variant, Variant::H264);
            let mut second = open(YARD, ATTACKER).await;
            let refused = |event: &Event| match event {
                Event::Message(ServerMessage::State(StreamState::Offline { message, .. })) => Some(message.clone()),
                _ => None,
            };
            let message = second.wait_for("the share of one client", START, refused).await;
            assert!(message.contains("your address has as many transcodes as one may have"), "{message}");
            drop(second);
            let mut other = open(YARD, VISITOR).await;
            assert_eq!(other.wait_ready(START).await.variant, Variant::H264);
            let ffmpegs = scene.relay.ffmpegs();
            assert!(ffmpegs.len() >= 2, "{ffmpegs:?}");
            for ffmpeg in ffmpegs {
                let variables = std::fs::read(format!("/proc/{}/environ", ffmpeg.pid)).expect("it runs");
                let variables = String::from_utf8_lossy(&variables);
                assert!(!variables.contains(PASSWORD) && !variables.contains("SIGHTLINE_"), "{variables}");
            }
            (first.watch(), other.watch())
        })
        .await;
}
