//! Attacks by HTTP/2 (RFC 9113, section 10.5), with an honest client beside.

use tokio::time::{Instant, sleep};

use super::http2::{Http2Client, LINK, request};
use super::slow_readers::relay_with_a_long_catalogue;
use super::*;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Frame types (RFC 9113, section 6).
const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Flags of HEADERS.
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
/// Bytes that a client sends at once before the relay reads more slowly.
const BURST: usize = 1 << 20;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET https://relay{path}` (RFC 7541, appendix A, for the indexes).
pub(super) fn get(stream: u32, path: &str, flags: u8) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("a short text");
    let block = [&[0x82, 0x87, 0x01, 5][..], b"relay", &[0x04, length(path)], path.as_bytes()].concat();
    frame(HEADERS, flags, stream, &block)
}

/// Writes `frames` again and again, for `limit` or until the relay closes the connection. Returns the bytes that were written, and
/// whether it was closed.
async fn flood(relay: &TestRelay, frames: impl Fn(u32) -> Vec<u8>, limit: Duration) -> (usize, bool) {
    let (mut answers, mut writer) = tokio::io::split(relay.connect_http2(CLIENT, true, LINK));
    let reading = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
    writer.write_all(PREFACE).await.expect("the relay reads");
    let (mut sent, mut closed) = (0, false);
    let flooding = async {
        for n in 0.. {
            let bytes = frames(n);
            if writer.write_all(&bytes).await.is_err() {
                closed = true;
                break;
            }
            sent += bytes.len();
        }
    };
    let _ = timeout(limit, flooding).await;
    reading.abort();
    (sent, closed)
}

/// A client that asks for something once a second, and gets it at once.
struct Honest(tokio::task::JoinHandle<()>);

impl Honest {
    async fn start(relay: &TestRelay) -> Self {
        let client = Http2Client::over(relay.connect_http2("192.0.2.9", true, LINK)).await;
        Self(tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                assert_eq!(client.get("/healthz", "").await.0, 200);
                assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
                sleep(Duration::from_secs(1)).await;
            }
        }))
    }

    fn assert_served(self) {
        assert!(!self.0.is_finished(), "it got every answer");
        self.0.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn rapid_reset_is_closed_after_200_requests() {
    let relay = TestRelay::new(|_| {});
    let honest = Honest::start(&relay).await;
    // The request and its cancellation in one write, and in two.
    let pair = |n: u32| {
        let cancel = frame(RST_STREAM, 0, 2 * n + 1, &8u32.to_be_bytes());
        [get(2 * n + 1, "/api/events", END_STREAM | END_HEADERS), cancel].concat()
    };
    let (sent, closed) = flood(&relay, pair, LIMIT).await;
    assert!(closed && sent < LINK + 400 * pair(0).len(), "{sent} bytes");

    let client = Http2Client::to(&relay).await;
    let mut cancelled = 0;
    while let Ok(mut requests) = client.requests.clone().ready().await {
        let asked = requests.send_request(request("GET", "https://relay/api/events", ""), true);
        let Ok(answer) = (match asked {
            Ok((answer, _)) => answer.await,
            Err(error) => Err(error),
        }) else {
            break;
        };
        drop(answer);
        cancelled += 1;
        assert!(cancelled < 300);
    }
    assert!(cancelled >= 200, "{cancelled}");
    honest.assert_served();
}

#[tokio::test(start_paused = true)]
async fn page_that_is_left_may_cancel_its_requests() {
    let relay = TestRelay::new(|_| {});
    let client = Http2Client::to(&relay).await;
    // A person who opens and leaves a page with thirty requests every three seconds.
    for _ in 0..100 {
        let mut answers = Vec::new();
        for _ in 0..30 {
            answers.push(client.ask("GET", "https://relay/api/events", "").await.expect("an answer"));
        }
        drop(answers);
        sleep(Duration::from_secs(3)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn floods_of_frames_are_read_at_a_limited_rate_or_closed() {
    let relay = TestRelay::new(|_| {});
    let honest = Honest::start(&relay).await;
    let (seconds, rate) = (20, 256 * 1024);
    let flow = Duration::from_secs(seconds);
    let most = BURST + usize::try_from(seconds).unwrap() * rate + 4 * LINK;
    for (name, kind, stream, payload, ends) in [
        ("SETTINGS", SETTINGS, 0, &[][..], false),
        ("PING", PING, 0, &[0; 8][..], false),
        ("WINDOW_UPDATE", WINDOW_UPDATE, 0, &[0, 0, 0, 1][..], false),
        ("unknown frames", 0xfa, 0, &[][..], false),
        ("DATA of no stream", DATA, 1, &[][..], true),
    ] {
        let (sent, closed) = flood(&relay, |_| frame(kind, 0, stream, payload).repeat(100), flow).await;
        assert!(sent < most, "{name}: {sent} bytes in {seconds} s");
        assert!(closed || !ends, "{name}: {sent}");
    }
    honest.assert_served();
}

#[tokio::test(start_paused = true)]
async fn head_that_never_ends_is_closed() {
    let relay = TestRelay::new(|_| {});
    let honest = Honest::start(&relay).await;
    // Empty, short and long continuations (CVE-2024-27316); the last are names that the table keeps (RFC 7541, section 6.2.1).
    for payload in [vec![], vec![0x82], [&[0x40, 1, b'a', 0x7f, 0x80, 0x7d][..], &[b'x'; 252]].concat().repeat(60)] {
        let (sent, closed) = flood(
            &relay,
            |n| match n {
                0 => get(1, "/healthz", END_STREAM),
                _ => frame(CONTINUATION, 0, 1, &payload),
            },
            LIMIT,
        )
        .await;
        assert!(closed && sent < BURST, "continuations of {} bytes: {sent}", payload.len());
    }
    // One byte a second keeps the connection for the time of a head, as over HTTP/1.1.
    let (mut connection, begun) = (relay.connect_http2(CLIENT, true, LINK), Instant::now());
    connection.write_all(&[PREFACE, &get(1, "/healthz", END_STREAM)].concat()).await.expect("the relay reads");
    let (mut answers, mut writer) = tokio::io::split(connection);
    let dripping = tokio::spawn(async move {
        while writer.write_all(&frame(CONTINUATION, 0, 1, &[])).await.is_ok() {
            sleep(Duration::from_secs(5)).await;
        }
    });
    read_to_end(&mut answers).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    dripping.abort();
    honest.assert_served();
}

#[tokio::test(start_paused = true)]
async fn head_over_the_limit_gets_431_and_the_connection_goes_on() {
    let relay = TestRelay::new(|_| {});
    let client = Http2Client::to(&relay).await;
    let long = |length| format!("x-long: {}", "y".repeat(length));
    let answer = client.ask("GET", "https://relay/healthz", &long(33_000)).await.expect("an answer");
    assert_eq!(answer.status(), 431);
    assert_eq!(client.get("/healthz", &long(30_000)).await.0, 200);
    let error = client.ask("GET", "https://relay/healthz", &long(200_000)).await.expect_err("it is much too long");
    assert!(error.is_go_away(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn head_that_grows_a_thousandfold_is_not_kept() {
    let relay = TestRelay::new(|_| {});
    let honest = Honest::start(&relay).await;
    // A line of 3000 bytes for the table, then the same line again and again, by one byte each (RFC 7541, section 6.1).
    let line = [&[0x40, 1, b'a', 0x7f, 0xb9, 0x16][..], &[b'x'; 3000], &[0xbe; 12_000]].concat();
    let bomb = |n: u32| {
        let head = get(2 * n + 1, "/healthz", END_STREAM | END_HEADERS);
        frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &[&head[9..], &line].concat())
    };
    let (mut answers, mut writer) = tokio::io::split(relay.connect_http2(CLIENT, true, LINK));
    writer.write_all(&[PREFACE, &bomb(0)].concat()).await.expect("the relay reads");
    let answer = read_to_end(&mut answers).await;
    assert!(answer.contains("header_list_way_too_large"), "{answer:?}");
    let (sent, closed) = flood(&relay, bomb, LIMIT).await;
    assert!(closed && sent < 2 * LINK, "{sent} bytes");
    honest.assert_served();
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_connection_are_limited() {
    let relay = TestRelay::new(|_| {});
    let honest = Honest::start(&relay).await;
    let (mut answers, mut writer) = tokio::io::split(relay.connect_http2(CLIENT, true, LINK));
    writer.write_all(PREFACE).await.expect("the relay reads");
    for n in 0..150 {
        writer.write_all(&get(2 * n + 1, "/api/events", END_STREAM | END_HEADERS)).await.expect("the relay reads");
    }
    let (mut opened, mut refused, mut head) = (0, 0, [0; 9]);
    while opened + refused < 150 {
        timeout(LIMIT, answers.read_exact(&mut head)).await.expect("a frame").expect("it is open");
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        answers.read_exact(&mut payload).await.expect("a payload");
        match head[3] {
            HEADERS => opened += 1,
            // REFUSED_STREAM: the client may ask again (RFC 9113, section 8.7).
            RST_STREAM => refused += usize::from(payload == [0, 0, 0, 7]),
            _ => {}
        }
    }
    assert_eq!((opened, refused), (100, 50));
    honest.assert_served();
}

/// Requests a long answer on a new connection and takes `piece` bytes each `interval` until its stream is reset. Returns the time
/// until then, and the connection.
async fn take(relay: &TestRelay, window: u32, piece: usize, interval: Duration) -> (Duration, Http2Client) {
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(window);
    let client = Http2Client::with(relay.connect_http2(CLIENT, true, LINK), &settings).await;
    let begun = Instant::now();
    let mut body = client.ask("GET", "https://relay/api/streams", "").await.expect("an answer").into_body();
    let mut held = 0;
    loop {
        tokio::select! {
            data = body.data() => match data.expect("the answer is not complete") {
                Ok(data) => held += data.len(),
                Err(error) => {
                    assert!(error.is_reset() && error.is_remote(), "only the stream ends: {error}");
                    return (begun.elapsed(), client);
                }
            },
            () = sleep(interval) => {
                let taken = held.min(piece);
                let _ = body.flow_control().release_capacity(taken);
                held -= taken;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answer_whose_window_stays_closed_is_reset_alone() {
    let relay = relay_with_a_long_catalogue();
    let honest = Honest::start(&relay).await;
    for (window, piece, seconds) in [(0, 0, 1), (1, 1, 1), (16_384, 0, 1), (65_535, 20_000, 14)] {
        let (took, client) = take(&relay, window, piece, Duration::from_secs(seconds)).await;
        assert!((60..180).contains(&took.as_secs()), "a window of {window}, {piece} bytes each {seconds} s: {took:?}");
        let answer = client.ask("GET", "https://relay/healthz", "").await.expect("the connection is open");
        assert_eq!(answer.status(), 200);
    }
    honest.assert_served();
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_not_read_costs_no_other_answer_of_its_connection() {
    let relay = relay_with_a_long_catalogue();
    // A browser's window of the connection has room for more than one answer.
    let mut settings = h2::client::Builder::new();
    settings.initial_connection_window_size(1 << 20);
    let client = Arc::new(Http2Client::with(relay.connect_http2(CLIENT, true, LINK), &settings).await);
    // Events come until the end, so that the connection is never idle.
    let events = client.ask("GET", "https://relay/api/events", "").await.expect("events");
    let events = tokio::spawn(super::http2::read_at(events, f64::INFINITY));
    let mut unread = client.ask("GET", "https://relay/api/streams", "").await.expect("an answer").into_body();
    // Eight others of a page with nine tiles, each read as a link of 100 kbit/s brings it.
    let mut tiles = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        tiles.spawn(async move {
            let answer = client.ask("GET", "https://relay/api/streams", "").await.expect("an answer");
            super::http2::read_at(answer, 12_500.0).await
        });
    }
    for bytes in tiles.join_all().await {
        assert!(bytes.ends_with(b"}"), "{} bytes", bytes.len());
    }
    sleep(Duration::from_secs(120)).await;
    let last = async { while unread.data().await.expect("an end").is_ok() {} };
    timeout(LIMIT, last).await.expect("the answer that was not read is reset");
    assert!(!client.connection.is_finished() && !events.is_finished(), "its connection stays");
    events.abort();
}
