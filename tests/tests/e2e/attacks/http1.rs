//! Connections, bodies and requests that no honest client sends, by HTTP/1.1.

use sightline_tests::run::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::scene::{SOON, START, Scene, Service, TOO_MANY_CONNECTIONS};

/// The head of the login form, without its length.
const FORM: &str = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";

async fn plain(scene: &Scene, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(scene.relay.address()).await.expect("it listens");
        // The relay may have refused and closed it.
        let _ = stream.write_all(bytes).await;
        held.push(stream);
    }
    held
}

/// Connections that ask for nothing.
pub(super) async fn connections(scene: &Scene) {
    scene.row("200 TLS handshakes that stop", 1.0, async || plain(scene, 200, b"\x16\x03\x01\x02\x00").await).await;
    let name = format!("{TOO_MANY_CONNECTIONS} connections, more than the open files permit");
    scene.row_with(&name, 3.0, Service::AfterTheirTime, async || plain(scene, TOO_MANY_CONNECTIONS, b"").await).await;
    assert!(!scene.relay.log().contains("connections cannot be accepted"), "{}", scene.relay.log());
}

/// Bodies that are too long or never end.
pub(super) async fn bodies(scene: &Scene) {
    scene
        .row("100 bodies of 2 MB to the login, never finished", 4.0, async || {
            let mut held = Vec::new();
            for _ in 0..100 {
                let mut stream = scene.connect().await;
                let head = format!("{FORM}Content-Length: 2000000\r\n\r\npassword=");
                // The relay answers without reading the body.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&vec![b'x'; 1_900_000]).await;
                held.push(stream);
            }
            held
        })
        .await;
    scene
        .row("100 bodies that never end", 2.0, async || {
            let mut held = Vec::new();
            for _ in 0..100 {
                let mut stream = scene.connect().await;
                stream.write_all(format!("{FORM}Content-Length: 4000\r\n\r\nx").as_bytes()).await.expect("it is taken");
                held.push(stream);
            }
            held
        })
        .await;
}

/// Requests that are refused, with text for the log.
pub(super) async fn malformed(scene: &Scene) {
    let long = format!("GET /hls/{}/index.m3u8 HTTP/1.1\r\nHost: localhost\r\n", "x".repeat(30_000));
    scene.row("200 stream names of 30 KB", 6.0, async || refusals(scene, &long, "401", 200).await).await;
    let several = "GET /api/streams HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n";
    scene.row("200 requests with two Host headers", 6.0, async || refusals(scene, several, "400", 200).await).await;
    let none = "GET /api/streams HTTP/1.1\r\n";
    scene.row("50 requests without Host", 3.0, async || refusals(scene, none, "400", 50).await).await;
}

/// Sends a request without its last line on a connection of its own, `count` times.
async fn refusals(scene: &Scene, head: &str, status: &str, count: usize) {
    for _ in 0..count {
        let mut connection = scene.connect().await;
        connection.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.expect("it is taken");
        let mut answer = vec![0; 12];
        timeout(SOON, connection.read_exact(&mut answer)).await.expect("in time").expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
    }
}

/// A shared cache in front of the relay gets nothing that it may keep for others.
pub(super) async fn cached(scene: &Scene) {
    scene
        .row("a shared cache asks for a playlist and a segment", 4.0, async || {
            let media = "/hls/cam/copy/media.m3u8";
            let segment = until("a segment", START, async || {
                let playlist = scene.ask("GET", media, "", "").await;
                playlist.text().lines().find(|line| line.contains(".m4s") && !line.starts_with('#')).map(str::to_owned)
            })
            .await;
            let segment = format!("/hls/cam/copy/{segment}");
            for path in ["/hls/cam/index.m3u8", media, &segment, "/api/streams"] {
                let answer = scene.ask("GET", path, "", "").await;
                let kept = answer.header("cache-control");
                assert!(answer.status == 200 && kept.starts_with("private"), "{path}: {} {kept}", answer.status);
            }
        })
        .await;
}
