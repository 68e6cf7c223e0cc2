//! WebSockets: forged log lines, refusals, floods of frames, and tokens that expire.

use super::logins::{Log, basic, locked, token};
use super::*;

/// The opening handshake.
pub(super) fn upgrade(path: &str, credentials: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sightline.v1\r\n{credentials}\r\n"
    )
}

/// A masked text frame with the mask 0 (RFC 6455, section 5.2).
pub(super) fn text_frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text").to_be_bytes();
    let head = if text.len() < 126 { vec![0x80 | length[1]] } else { vec![0x80 | 126, length[0], length[1]] };
    [&[0x81], &head[..], &[0; 4], text.as_bytes()].concat()
}

#[tokio::test(start_paused = true)]
async fn forged_lines_in_a_message_are_not_logged() {
    let (relay, (log, _guard)) = (locked(), Log::start());
    for _ in 0..50 {
        let mut viewer = relay.connect(CLIENT);
        viewer.write_all(upgrade("/ws/mse/cam0", &basic()).as_bytes()).await.unwrap();
        let forged = "\\nWARN login failed client=192.0.2.1".repeat(200);
        viewer.write_all(&text_frame(&format!("{{\"type\":\"{forged}\"}}"))).await.unwrap();
        let answer = read_to_end(&mut viewer).await;
        assert!(answer.contains("not a message of sightline.v1"), "{answer}");
        assert!(!answer.contains("\nWARN login failed"), "{answer}");
    }
    let text = log.to_string();
    assert!(!text.contains("\nWARN login failed") && text.len() < 2000, "{} bytes: {text:.2000}", text.len());
    assert_eq!(relay.metric(&basic(), "sightline_rejections_total{code=\"4400\"}").await, 50);
}

#[tokio::test(start_paused = true)]
async fn refused_viewers_are_counted_and_logged_once_a_minute() {
    let (relay, (log, _guard)) = (locked(), Log::start());
    for n in 0..50 {
        let (path, credentials) = match n % 2 {
            0 => (format!("/ws/mse/{}", "x".repeat(8000)), basic()),
            _ => (format!("/ws/mse/{n}"), basic()),
        };
        let mut viewer = relay.connect(CLIENT);
        viewer.write_all(upgrade(&path, &credentials).as_bytes()).await.unwrap();
        read_to_end(&mut viewer).await;
    }
    let text = log.to_string();
    assert!(text.lines().count() <= 2 && text.len() < 1000, "{} bytes: {text:.1000}", text.len());
    for code in [4400, 4404] {
        assert_eq!(relay.metric(&basic(), &format!("sightline_rejections_total{{code=\"{code}\"}}")).await, 25);
    }
}

#[tokio::test(start_paused = true)]
async fn websocket_ends_with_its_token() {
    let relay = locked();
    // Without a subprotocol, so that the viewer has nothing to say.
    let request = upgrade("/ws/mse/cam0", &token(20)).replace("Sec-WebSocket-Protocol: sightline.v1\r\n", "");
    let mut viewer = relay.connect(CLIENT);
    let begun = tokio::time::Instant::now();
    viewer.write_all(request.as_bytes()).await.unwrap();
    let answer = read_to_end(&mut viewer).await;
    // The close frame begins with the code 4403.
    assert!(answer.contains("\u{11}3the access token"), "{answer:?}");
    assert!(answer.contains("error:the access token or the sign-in has expired"), "{answer}");
    assert!((19..=22).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn flood_of_empty_frames_is_closed() {
    let relay = locked();
    let mut viewer = relay.connect(CLIENT);
    viewer.write_all(upgrade("/ws/mse/cam0", &basic()).as_bytes()).await.unwrap();
    // A text message that does not end, and empty continuations of it.
    viewer.write_all(&[0x01, 0x80, 0, 0, 0, 0]).await.unwrap();
    let frames = [0x00, 0x80, 0, 0, 0, 0].repeat(10_000);
    let mut sent = 0;
    while sent < 16 << 20 && viewer.write_all(&frames).await.is_ok() {
        sent += frames.len();
    }
    assert!(sent < 2 << 20, "{sent} bytes of empty frames in one moment");
}
