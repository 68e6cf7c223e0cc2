//! Limits of one HTTP/2 connection: what the relay announces, buffers and waits for.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::routing::get as route;
use tokio::time::{Instant, sleep};

use super::http2::LINK;
use super::http2_attacks::{
    END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get,
};
use super::*;

/// Settings (RFC 9113, section 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_HEADER_LIST_SIZE: u16 = 6;
/// The window of a connection before its first WINDOW_UPDATE (RFC 9113, section 6.9.2).
const FIRST_WINDOW: u32 = 65_535;

/// Reads one frame: its type, its stream and its payload.
async fn read_frame(connection: &mut (impl AsyncRead + Unpin)) -> (u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    timeout(LIMIT, connection.read_exact(&mut head)).await.expect("a frame").expect("it is open");
    let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
    connection.read_exact(&mut payload).await.expect("a payload");
    (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload)
}

#[tokio::test(start_paused = true)]
async fn limits_are_announced_to_the_client() {
    let relay = TestRelay::new(|_| {});
    let mut connection = relay.connect_http2(CLIENT, true, LINK);
    connection.write_all(PREFACE).await.expect("the relay reads");
    let (mut settings, mut window) = (Vec::new(), None);
    while settings.is_empty() || window.is_none() {
        match read_frame(&mut connection).await {
            (SETTINGS, 0, payload) => settings.extend_from_slice(&payload),
            (WINDOW_UPDATE, 0, payload) => {
                window = Some(FIRST_WINDOW + u32::from_be_bytes(payload.try_into().unwrap()));
            }
            _ => {}
        }
    }
    let setting = |name: u16| {
        let mut settings = settings.chunks(6).filter(|setting| setting[..2] == name.to_be_bytes());
        settings.next().map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!(setting(MAX_CONCURRENT_STREAMS), Some(100));
    assert_eq!(setting(MAX_HEADER_LIST_SIZE), Some(32_768), "limits.header_bytes");
    assert_eq!(setting(INITIAL_WINDOW_SIZE), Some(64 * 1024), "the buffer for the body of one request");
    assert_eq!(window, Some(128 * 1024), "the buffer for all bodies");
}

#[tokio::test(start_paused = true)]
async fn peer_that_answers_no_ping_is_closed() {
    let relay = TestRelay::new(|_| {});
    let (mut connection, begun) = (relay.connect_http2(CLIENT, true, LINK), Instant::now());
    let events = get(1, "/api/events", END_STREAM | END_HEADERS);
    connection.write_all(&[PREFACE, &events].concat()).await.expect("the relay reads");
    read_to_end(&mut connection).await;
    assert!((60..100).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// What the relay answers to 150 requests, each followed by a frame of that kind with four bytes of payload, in one write.
async fn answer_to_pairs(kind: u8, payload: u32) -> String {
    let relay = TestRelay::new(|_| {});
    let (mut answers, mut writer) = tokio::io::split(relay.connect_http2(CLIENT, true, LINK));
    let pair = |n: u32| {
        let second = frame(kind, 0, 2 * n + 1, &payload.to_be_bytes());
        [get(2 * n + 1, "/api/events", END_STREAM | END_HEADERS), second].concat()
    };
    let pairs: Vec<u8> = (0..150).flat_map(pair).collect();
    writer.write_all(&[PREFACE, &pairs].concat()).await.expect("the relay reads");
    read_to_end(&mut answers).await
}

#[tokio::test(start_paused = true)]
async fn streams_that_the_relay_has_to_reset_are_limited() {
    // A window over 2^31-1 is an error of the stream (RFC 9113, section 6.9.1; CVE-2025-8671).
    let answer = answer_to_pairs(WINDOW_UPDATE, 0x7fff_ffff).await;
    assert!(answer.contains("too_many_internal_resets"), "{} bytes", answer.len());
}

#[tokio::test(start_paused = true)]
async fn requests_cancelled_before_they_are_served_are_limited() {
    let answer = answer_to_pairs(RST_STREAM, 8).await;
    assert!(answer.contains("too_many_resets"), "{} bytes", answer.len());
}

#[tokio::test(start_paused = true)]
async fn answer_is_buffered_for_no_more_than_its_client_takes() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    const PIECE: usize = 16 * 1024;
    let pieces = || {
        let made = futures_util::stream::repeat_with(|| {
            MADE.fetch_add(PIECE, Ordering::Relaxed);
            Ok::<_, std::io::Error>(vec![0; PIECE])
        });
        Body::from_stream(made)
    };
    let relay = TestRelay::new(|_| {});
    let router = Router::new().route("/long", route(async move || pieces()));
    let peer = PeerInfo { local: None, address: CLIENT.parse().expect("an address"), encrypted: true };
    let serving = ConnectionContext::new(router, peer, relay.limits.now(), relay.shutdown.clone());
    let (mut ours, theirs) = tokio::io::duplex(LINK);
    tokio::spawn(crate::server::http2::serve(serving, theirs));
    // Windows of 2 GiB, and a client that reads nothing.
    let window =
        frame(SETTINGS, 0, 0, &[&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &0x7fff_ffffu32.to_be_bytes()].concat());
    let more = frame(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff - FIRST_WINDOW).to_be_bytes());
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x82\x87\x01\x05relay\x04\x05/long");
    ours.write_all(&[PREFACE, &window, &more, &request].concat()).await.expect("the relay reads");
    sleep(Duration::from_secs(10)).await;
    let made = MADE.load(Ordering::Relaxed);
    assert!((LINK..4 * LINK).contains(&made), "{made} bytes of an answer that its client does not read");
}
