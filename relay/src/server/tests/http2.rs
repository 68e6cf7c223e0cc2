//! HTTP/2: the rules of the other routes and limits hold for it, too.

use axum::http::{Method, Request, Response};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Connection, SendRequest};
use tokio::time::{Instant, sleep};

use super::logins::{basic, locked, token};
use super::slow_readers::relay_with_a_long_catalogue;
use super::*;

/// Bytes between client and relay.
pub(super) const LINK: usize = 64 * 1024;

/// A client's connection, which runs until it is dropped or the relay ends it.
pub(super) struct Http2Client {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Http2Client {
    pub(super) async fn over(stream: DuplexStream) -> Self {
        Self::with(stream, &h2::client::Builder::new()).await
    }

    pub(super) async fn with(stream: DuplexStream, settings: &h2::client::Builder) -> Self {
        let (requests, connection): (_, Connection<_, Bytes>) = settings.handshake(stream).await.expect("HTTP/2");
        Self { requests, connection: tokio::spawn(connection) }
    }

    pub(super) async fn to(relay: &TestRelay) -> Self {
        Self::over(relay.connect_http2(CLIENT, true, LINK)).await
    }

    /// The head of the answer to a request. `headers` are header lines.
    pub(super) async fn ask(&self, method: &str, uri: &str, headers: &str) -> Result<Response<RecvStream>, h2::Error> {
        let request = request(method, uri, headers);
        let (answer, _) = self.requests.clone().ready().await?.send_request(request, true)?;
        answer.await
    }

    /// The status and the body of the answer.
    pub(super) async fn get(&self, path: &str, headers: &str) -> (u16, String) {
        let answer = self.ask("GET", &format!("https://relay{path}"), headers).await.expect("an answer");
        let status = answer.status().as_u16();
        (status, String::from_utf8_lossy(&read(answer.into_body()).await.expect("a body")).into_owned())
    }
}

pub(super) fn request(method: &str, uri: &str, headers: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(uri);
    let pairs = headers.lines().map(|line| line.split_once(": ").expect("a header line"));
    pairs.fold(request, |request, (name, value)| request.header(name, value)).body(()).expect("a request")
}

/// Reads the whole body, at once.
async fn read(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Reads the whole body at this rate, in bytes per second.
pub(super) async fn read_at(answer: Response<RecvStream>, rate: f64) -> Vec<u8> {
    let (mut body, mut bytes) = (answer.into_body(), Vec::new());
    while let Some(piece) = body.data().await {
        let piece = piece.expect("it goes on");
        sleep(Duration::from_secs_f64(piece.len() as f64 / rate)).await;
        body.flow_control().release_capacity(piece.len()).expect("it was received");
        bytes.extend_from_slice(&piece);
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn routes_answer_as_over_http_1() {
    let relay = locked();
    let client = Http2Client::to(&relay).await;
    for (path, credentials) in [
        ("/healthz", String::new()),
        ("/", String::new()),
        ("/api/streams", String::new()),
        ("/api/streams", basic()),
        ("/metrics", token(60)),
        ("/hls/cam0/index.m3u8", String::new()),
        ("/hls/cam1/index.m3u8", token(60)),
        ("/hls/..%2fcam0/index.m3u8", token(60)),
        ("/not/there", basic()),
    ] {
        let over_http_1 = relay.request("GET", path, &credentials).await;
        let (head, body) = over_http_1.split_once("\r\n\r\n").expect("a body");
        let (code, text) = client.get(path, &credentials).await;
        assert_eq!((code.to_string().as_str(), text.as_str()), (status(head), body), "{path}");
    }
    let answer = client.ask("POST", "https://relay/whep/cam0", &basic()).await.expect("an answer");
    assert_eq!(answer.status(), 404, "WebRTC is off");
}

#[tokio::test(start_paused = true)]
async fn one_host_is_required_by_every_version_of_http() {
    let relay = TestRelay::new(|_| {});
    let http2 = Http2Client::over(relay.connect_http2(CLIENT, false, LINK)).await;
    for (uri, headers, expected) in [
        ("https://relay/api/streams", "", 200),
        ("https://relay/api/streams", "host: RELAY", 200),
        ("https://relay/api/streams", "host: evil.example", 400),
        ("https://evil.example/api/streams", "host: relay", 400),
        ("https://evil.example/api/streams", "", 421),
        ("https://evil.example/healthz", "", 200),
        ("https://me@relay/api/streams", "", 400),
    ] {
        let answer = http2.ask("GET", uri, headers).await;
        let status = answer.map(|answer| answer.status().as_u16());
        // The library refuses user information itself.
        let refused = status.as_ref().is_err_and(|error| error.is_reset() && expected == 400);
        assert!(refused || status.as_ref().is_ok_and(|&status| status == expected), "{uri} {headers}: {status:?}");
    }
    for (target, host, expected) in [
        ("http://relay/api/streams", "relay", "200"),
        ("http://relay/api/streams", "evil.example", "400"),
        ("http://evil.example/api/streams", "relay", "400"),
        ("http://evil.example/api/streams", "evil.example", "421"),
        ("/api/streams", "me@relay", "400"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = relay.send(&request).await;
        assert_eq!(status(&answer), expected, "{target} {host}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_other_sites_are_refused_over_http_2() {
    let relay = locked();
    let client = Http2Client::to(&relay).await;
    for (origin, expected) in
        [("https://relay", 503), ("http://relay", 403), ("https://evil.example", 403), ("null", 403)]
    {
        let headers = format!("{}Origin: {origin}\r\n", basic());
        let answer = client.ask("GET", "https://relay/hls/cam0/index.m3u8", &headers).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected, "{origin}");
    }
}

#[tokio::test(start_paused = true)]
async fn websocket_is_not_offered_over_http_2() {
    let relay = locked();
    let mut client = Http2Client::to(&relay).await;
    assert!(client.get("/healthz", "").await.0 == 200 && !client.requests.is_extended_connect_protocol_enabled());
    // A client that tries all the same.
    let mut request = request("GET", "https://relay/ws/mse/cam0", &basic());
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let sent = client.requests.send_request(request, false);
    let refused = match sent {
        Ok((answer, _body)) => answer.await.is_err_and(|error| error.is_reset()),
        Err(_) => true,
    };
    assert!(refused);
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_and_a_silent_event_stream_is_not() {
    let relay = locked();
    let (idle, begun) = (Http2Client::to(&relay).await, Instant::now());
    assert_eq!(idle.get("/healthz", "").await.0, 200);
    idle.connection.await.expect("it ends").expect("in order");
    assert!((10..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());

    let watching = Http2Client::to(&relay).await;
    let events = watching.ask("GET", "https://relay/api/events", &basic()).await.expect("events");
    let mut body = events.into_body();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(600) {
        let piece = body.data().await.expect("it goes on").expect("no error");
        body.flow_control().release_capacity(piece.len()).expect("it was received");
    }
    assert!(!watching.connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn handshake_without_a_request_is_closed() {
    let relay = locked();
    // A preface and nothing else, or half of one.
    for sent in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"PRI * HT", b""] {
        let (mut connection, begun) = (relay.connect_http2(CLIENT, true, LINK), Instant::now());
        connection.write_all(sent).await.expect("the relay reads");
        read_to_end(&mut connection).await;
        assert!((10..=25).contains(&begun.elapsed().as_secs()), "{sent:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_the_answer_and_ends_the_connection() {
    let relay = relay_with_a_long_catalogue();
    let client = Http2Client::to(&relay).await;
    let answer = client.ask("GET", "https://relay/api/streams", "").await.expect("an answer");
    relay.shutdown.cancel();
    assert!(read(answer.into_body()).await.expect("all of it").ends_with(b"}"));
    timeout(LIMIT, client.connection).await.expect("it ends").expect("no panic").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn phone_of_100_kbit_per_second_gets_its_answer_over_http_2() {
    let relay = relay_with_a_long_catalogue();
    let client = Http2Client::to(&relay).await;
    let begun = Instant::now();
    let answer = client.ask("GET", "https://relay/api/streams", "").await.expect("an answer");
    let bytes = read_at(answer, 12_500.0).await;
    assert!(bytes.ends_with(b"}") && begun.elapsed() > Duration::from_secs(40), "{:?}", begun.elapsed());
}
