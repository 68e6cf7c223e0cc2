//! A viewer without a browser: both dialects of `/ws/mse/{stream}`, the API of go2rtc, and misbehaviour that browsers cannot produce.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use sightline_protocol::SUBPROTOCOL;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{Ack, ClientMessage, Play, Pong, Ready, ServerMessage, Size, TrackKind};
use sightline_protocol::stream::{StreamName, VariantChoice};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::http::ANSWER;
use crate::relay::Relay;
use crate::tls::Connection;

/// The codecs of a browser with H.265.
pub const PLAYS_BOTH: [&str; 2] = ["hvc1.1.6.L186.B0", "avc1.640034"];
/// The codecs of Chromium on Linux.
pub const PLAYS_H264: [&str; 1] = ["avc1.640034"];

/// The delay between a binary message and its acknowledgement: four per second, as the client sends them.
const ACK_PERIOD: Duration = Duration::from_millis(250);

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(86_400);

/// The smallest receive buffer that the system permits, so that the socket of a viewer that never reads fills soon.
const TINY_BUFFER: u32 = 4096;

/// An event of the session.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message of `sightline.v1`.
    Message(ServerMessage),
    /// A text of the plain dialect.
    Text(String),
    /// A binary message: an init segment or a fragment.
    Media(Bytes),
    /// The end of the session. No code if the connection broke.
    Closed(Option<u16>, String),
}

/// Whether a viewer acknowledges received messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// As the client does.
    Sent,
    /// Never, though it reads everything.
    Withheld,
    /// The caller acknowledges and answers pings.
    ByHand,
}

/// One open socket.
#[derive(Debug)]
pub struct Viewer {
    socket: WebSocketStream<Box<dyn Connection>>,
    v1: bool,
    acks: Acks,
    received: u64,
    /// The arrival time of the newest binary message, by the wire's clock.
    arrived: Option<f64>,
    /// The last acknowledged count, and its time.
    acknowledged: (u64, Instant),
}

impl Viewer {
    /// Opens a session of the plain dialect.
    pub async fn plain(relay: &Relay, stream: &str) -> Self {
        let connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
        Self::open(connection, relay, stream, false).await
    }

    /// Opens a session of go2rtc's API with this query.
    pub async fn go2rtc(relay: &Relay, query: &str) -> Self {
        let connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
        Self::open_at(connection, relay, &format!("/go2rtc/api/ws?{query}"), None, None).await
    }

    /// As [`Self::plain`], over an existing connection.
    pub async fn plain_over(connection: impl Connection + 'static, relay: &Relay, stream: &str) -> Self {
        Self::open(connection, relay, stream, false).await
    }

    /// Opens a session of `sightline.v1` without sending a message.
    pub async fn v1(relay: &Relay, stream: &str) -> Self {
        let connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
        Self::open(connection, relay, stream, true).await
    }

    /// Opens a session of `sightline.v1` and sends `play` as a browser with these codecs does.
    pub async fn playing(relay: &Relay, stream: &str, codecs: &[&str]) -> Self {
        let mut viewer = Self::v1(relay, stream).await;
        viewer.play(codecs, VariantChoice::Auto).await;
        viewer
    }

    /// As [`Self::plain`], with the smallest receive buffer, for a viewer that will not read.
    pub async fn plain_with_tiny_buffer(relay: &Relay, stream: &str) -> Self {
        Self::open(tiny_connection(relay).await, relay, stream, false).await
    }

    /// As [`Self::playing`], with the smallest receive buffer, for a viewer that will not read.
    pub async fn playing_with_tiny_buffer(relay: &Relay, stream: &str, codecs: &[&str]) -> Self {
        let mut viewer = Self::open(tiny_connection(relay).await, relay, stream, true).await;
        viewer.play(codecs, VariantChoice::Auto).await;
        viewer
    }

    /// Opens a session of the plain dialect as a page of this origin does.
    pub async fn from_origin(relay: &Relay, stream: &str, origin: &str) -> Self {
        let connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
        Self::open_with(connection, relay, stream, false, Some(("Origin", origin))).await
    }

    /// As [`Self::playing`], through a proxy that forwards for this address.
    pub async fn playing_through_proxy(relay: &Relay, stream: &str, codecs: &[&str], address: &str) -> Self {
        let connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
        let mut viewer = Self::open_with(connection, relay, stream, true, Some(("X-Forwarded-For", address))).await;
        viewer.play(codecs, VariantChoice::Auto).await;
        viewer
    }

    /// As [`Self::v1`], with an access token among the offered subprotocols. The relay must not return it.
    pub async fn with_token(relay: &Relay, stream: &str, token: &str) -> Self {
        let connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
        let protocols = format!("{SUBPROTOCOL}, sightline.token.{token}");
        Self::open_offering(connection, relay, stream, Some(&protocols), None).await
    }

    /// Opens a session over an existing connection with an additional header field, and with these subprotocols, of which the
    /// relay must select `sightline.v1`. Without any it is one of the plain dialect.
    pub async fn offering(
        connection: impl Connection + 'static,
        relay: &Relay,
        stream: &str,
        protocols: Option<&str>,
        header: (&'static str, &str),
    ) -> Self {
        Self::open_offering(connection, relay, stream, protocols, Some(header)).await
    }

    /// As [`Self::v1`], with an additional header field of a proxy or browser.
    pub async fn with_header(relay: &Relay, stream: &str, name: &'static str, value: &str) -> Self {
        let connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
        Self::open_with(connection, relay, stream, true, Some((name, value))).await
    }

    /// As [`Self::playing`], over an existing connection.
    pub async fn playing_over(
        connection: impl Connection + 'static,
        relay: &Relay,
        stream: &str,
        codecs: &[&str],
    ) -> Self {
        let mut viewer = Self::open(connection, relay, stream, true).await;
        viewer.play(codecs, VariantChoice::Auto).await;
        viewer
    }

    async fn open(connection: impl Connection + 'static, relay: &Relay, stream: &str, v1: bool) -> Self {
        Self::open_with(connection, relay, stream, v1, None).await
    }

    async fn open_with(
        connection: impl Connection + 'static,
        relay: &Relay,
        stream: &str,
        v1: bool,
        header: Option<(&'static str, &str)>,
    ) -> Self {
        Self::open_offering(connection, relay, stream, v1.then_some(SUBPROTOCOL), header).await
    }

    async fn open_offering(
        connection: impl Connection + 'static,
        relay: &Relay,
        stream: &str,
        protocols: Option<&str>,
        header: Option<(&'static str, &str)>,
    ) -> Self {
        // An invalid name is sent unchanged.
        let path = stream.parse::<StreamName>().map_or(stream.to_owned(), |name| name.to_path().into_owned());
        Self::open_at(connection, relay, &format!("/ws/mse/{path}"), protocols, header).await
    }

    /// As [`Self::v1`] or [`Self::plain`], with this query in the address.
    pub async fn with_query(relay: &Relay, stream: &str, v1: bool, query: &str) -> Self {
        let connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
        Self::open_at(connection, relay, &format!("/ws/mse/{stream}?{query}"), v1.then_some(SUBPROTOCOL), None).await
    }

    /// Opens a session at a path and query.
    async fn open_at(
        connection: impl Connection + 'static,
        relay: &Relay,
        path: &str,
        protocols: Option<&str>,
        header: Option<(&'static str, &str)>,
    ) -> Self {
        let address = format!("ws://{}{path}", relay.address());
        let mut request = address.into_client_request().expect("an address");
        let protocols_header = protocols.map(|protocols| ("Sec-WebSocket-Protocol", protocols));
        for (name, value) in protocols_header.into_iter().chain(header) {
            request.headers_mut().insert(name, value.parse().expect("a header"));
        }
        let connection: Box<dyn Connection> = Box::new(connection);
        let upgraded = tokio::time::timeout(ANSWER, tokio_tungstenite::client_async(request, connection)).await;
        let upgraded = upgraded.unwrap_or_else(|_| panic!("no answer to the upgrade of {path} within {ANSWER:?}"));
        let (socket, response) = upgraded.expect("the upgrade succeeds");
        let agreed = response.headers().get("Sec-WebSocket-Protocol").map(|agreed| agreed.as_bytes());
        assert_eq!(agreed, protocols.map(|_| SUBPROTOCOL.as_bytes()), "the subprotocol that was agreed on");
        let v1 = protocols.is_some();
        Self { socket, v1, acks: Acks::Sent, received: 0, arrived: None, acknowledged: (0, Instant::now()) }
    }

    /// Sets whether to acknowledge from now on.
    pub fn set_acks(&mut self, acks: Acks) {
        self.acks = acks;
    }

    /// The number of received binary messages.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Sends `play` for video.
    pub async fn play(&mut self, codecs: &[&str], variant: VariantChoice) {
        self.send(&play(codecs, variant, &[TrackKind::Video], None)).await;
    }

    /// Sends `play` for video and audio, in a tile of this size.
    pub async fn play_with_sound(&mut self, codecs: &[&str], size: Option<Size>) {
        self.send(&play(codecs, VariantChoice::Auto, &[TrackKind::Video, TrackKind::Audio], size)).await;
    }

    /// Sends a message of `sightline.v1`.
    pub async fn send(&mut self, message: &ClientMessage) {
        self.send_text(&message.to_json()).await;
    }

    /// Sends any text. Ignores a closed connection, which [`Self::next`] reports.
    pub async fn send_text(&mut self, text: &str) {
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        let _ = self.socket.send(Message::binary(bytes)).await;
    }

    /// Sends pings of the WebSocket protocol without reading pongs, until `bytes` are sent or a write takes longer than
    /// `patience`. Returns the number of bytes sent.
    pub async fn flood_with_pings(&mut self, bytes: usize, patience: Duration) -> usize {
        // A masked ping of 125 zeros (RFC 6455, section 5.5.2), 500 per write.
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[0; 125]].concat();
        let block = ping.repeat(500);
        let mut taken = 0;
        while taken < bytes {
            match tokio::time::timeout(patience, self.socket.get_mut().write_all(&block)).await {
                Ok(Ok(())) => taken += block.len(),
                _ => break,
            }
        }
        taken
    }

    /// Closes as a browser does.
    pub async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        let _ = self.socket.send(Message::Close(Some(frame))).await;
    }

    /// Acknowledges all received messages.
    pub async fn acknowledge(&mut self) {
        self.acknowledged = (self.received, Instant::now());
        self.send(&ClientMessage::Ack(Ack { received: self.received, at: self.arrived, lag_ms: Some(60.0) })).await;
    }

    /// The next event. Answers pings and sends acknowledgements meanwhile.
    ///
    /// # Panics
    /// When nothing arrives within `limit`, or a message is not of the dialect.
    pub async fn next(&mut self, limit: Duration) -> Event {
        let event = tokio::time::timeout(limit, self.receive()).await;
        event.unwrap_or_else(|_| panic!("waited {limit:?} for anything from the relay"))
    }

    /// The next event, if it arrives within `limit`.
    pub async fn next_within(&mut self, limit: Duration) -> Option<Event> {
        tokio::time::timeout(limit, self.receive()).await.ok()
    }

    async fn receive(&mut self) -> Event {
        loop {
            let message = match tokio::time::timeout_at(self.ack_due().into(), self.socket.next()).await {
                Ok(message) => message,
                Err(_) => {
                    self.acknowledge().await;
                    continue;
                }
            };
            let event = match message {
                Some(Ok(Message::Text(text))) => self.text(&text),
                Some(Ok(Message::Binary(bytes))) => {
                    self.received += 1;
                    self.arrived = Some(unix_ms());
                    Event::Media(bytes)
                }
                Some(Ok(Message::Close(frame))) => closed(frame),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(Error::ConnectionClosed)) | None => Event::Closed(None, "the connection ended".to_owned()),
                Some(Err(error)) => Event::Closed(None, error.to_string()),
            };
            if let Event::Message(ServerMessage::Ping(ping)) = &event
                && self.acks != Acks::ByHand
            {
                let received = (self.acks == Acks::Sent).then_some(self.received);
                self.send(&ClientMessage::Pong(Pong { sent: ping.sent, at: unix_ms(), received })).await;
                continue;
            }
            return event;
        }
    }

    /// The time of the next acknowledgement, in the far future if none is due.
    fn ack_due(&self) -> Instant {
        let (acknowledged, at) = self.acknowledged;
        let pending = self.v1 && self.acks == Acks::Sent && acknowledged < self.received;
        at + if pending { ACK_PERIOD } else { FOREVER }
    }

    fn text(&self, text: &str) -> Event {
        if self.v1 {
            let message =
                serde_json::from_str(text).unwrap_or_else(|e| panic!("{text:?} is not of {SUBPROTOCOL}: {e}"));
            Event::Message(message)
        } else {
            Event::Text(text.to_owned())
        }
    }

    /// Waits for the first event for which `take` returns something.
    ///
    /// # Panics
    /// After `limit`, or when the session ends before.
    pub async fn wait_for<T>(&mut self, what: &str, limit: Duration, mut take: impl FnMut(&Event) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.receive().await;
                if let Some(found) = take(&event) {
                    return found;
                }
                assert!(!matches!(event, Event::Closed(..)), "{event:?} while waiting for {what}");
            }
        };
        let found = tokio::time::timeout(limit, search).await;
        found.unwrap_or_else(|_| panic!("waited {limit:?} for {what}"))
    }

    /// Waits for `ready`.
    pub async fn wait_ready(&mut self, limit: Duration) -> Ready {
        let take = |event: &Event| match event {
            Event::Message(ServerMessage::Ready(ready)) => Some(ready.clone()),
            _ => None,
        };
        self.wait_for("ready", limit, take).await
    }

    /// Waits for the end of the session: the last text before it, the code, the reason.
    pub async fn wait_closed(&mut self, limit: Duration) -> (String, Option<u16>, String) {
        let mut last = String::new();
        let take = |event: &Event| match event {
            Event::Closed(code, reason) => Some((*code, reason.clone())),
            Event::Text(text) => {
                last.clone_from(text);
                None
            }
            Event::Message(message) => {
                last = message.to_json();
                None
            }
            Event::Media(_) => None,
        };
        let (code, reason) = self.wait_for("the relay to close the session", limit, take).await;
        (last, code, reason)
    }

    /// Takes the init segment and `count` fragments.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn take_media(&mut self, count: usize, limit: Duration) -> (Bytes, Vec<Bytes>) {
        let mut media = Vec::new();
        let take = |event: &Event| {
            if let Event::Media(bytes) = event {
                media.push(bytes.clone());
            }
            (media.len() > count).then_some(())
        };
        self.wait_for(&format!("an init segment and {count} fragments"), limit, take).await;
        let fragments = media.split_off(1);
        (media.remove(0), fragments)
    }

    /// Continues to watch in a background task.
    pub fn watch(mut self) -> BackgroundViewer {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let notes = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let event = self.receive().await;
                notes.lock().unwrap_or_else(PoisonError::into_inner).note(&event);
                if matches!(event, Event::Closed(..)) {
                    return;
                }
            }
        });
        BackgroundViewer { seen, task }
    }
}

/// A viewer in a background task, aborted on drop.
#[derive(Debug)]
pub struct BackgroundViewer {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl BackgroundViewer {
    /// Its observations so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for BackgroundViewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The observations of a watching viewer.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Fragments received.
    pub fragments: u64,
    /// The newest `ready`.
    pub ready: Option<Ready>,
    /// Irregularities as text: an announced gap, a fragment that does not begin at the end of its predecessor, an error. After
    /// a `ready` the first fragment may begin anywhere.
    pub losses: Vec<String>,
    /// The close code, once the session has ended.
    pub closed: Option<Option<u16>>,
    next_decode_time: Option<u64>,
}

impl Seen {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Message(ServerMessage::Ready(ready)) => {
                self.ready = Some(ready.clone());
                self.next_decode_time = None;
            }
            Event::Message(message @ (ServerMessage::Gap { .. } | ServerMessage::Error { .. })) => {
                self.losses.push(message.to_json());
            }
            Event::Text(text) if text.starts_with("error:") => self.losses.push(text.clone()),
            Event::Message(_) | Event::Text(_) => {}
            Event::Media(bytes) if is_init(bytes) => self.next_decode_time = None,
            Event::Media(bytes) => self.fragment(bytes),
            Event::Closed(code, reason) => {
                self.losses.push(format!("closed with {code:?}: {reason}"));
                self.closed = Some(*code);
            }
        }
    }

    fn fragment(&mut self, bytes: &[u8]) {
        self.fragments += 1;
        match FragmentHead::read(bytes) {
            Ok(head) => {
                let expected = self.next_decode_time.replace(head.decode_time + head.duration);
                if let Some(expected) = expected.filter(|&expected| expected != head.decode_time) {
                    self.losses.push(format!("decode time {} where {expected} was due", head.decode_time));
                }
            }
            Err(error) => self.losses.push(format!("no fragment: {error}")),
        }
    }
}

/// The message `play`.
pub fn play(codecs: &[&str], variant: VariantChoice, tracks: &[TrackKind], size: Option<Size>) -> ClientMessage {
    let codecs = codecs.iter().map(|&codec| codec.to_owned()).collect();
    ClientMessage::Play(Play { codecs, variant, tracks: tracks.to_vec(), size, quality: None })
}

/// Whether a binary message is an init segment: it begins with `ftyp` (ISO/IEC 14496-12, section 4.3).
pub fn is_init(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"ftyp")
}

/// The wire's clock: milliseconds since the Unix epoch.
pub fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1e3
}

fn closed(frame: Option<CloseFrame>) -> Event {
    match frame {
        Some(frame) => Event::Closed(Some(frame.code.into()), frame.reason.to_string()),
        None => Event::Closed(None, String::new()),
    }
}

async fn tiny_connection(relay: &Relay) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(TINY_BUFFER).expect("a small buffer");
    socket.connect(relay.address()).await.expect("the relay listens")
}
