//! Many receivers with minimal work each: viewers of `sightline.v1` count and acknowledge messages, the others only read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sightline_protocol::SUBPROTOCOL;
use sightline_protocol::message::{Ack, ClientMessage};
use sightline_tests::peer::Peer;
use str0m::format::Codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::delay::Arrivals;
use crate::frames::{self, FrameCounter};
use crate::hls_receiver;

/// Messages per acknowledgement: about four acknowledgements per second at 25 frames per second, as the client sends.
const ACK_EVERY: u64 = 6;
/// The size of a read.
const READ: usize = 16 * 1024;
/// Requests the variant by name: on a machine that is too slow, the relay must not switch to `low` and hide it.
const PLAY: &str = r#"{"type":"play","codecs":["avc1.640034"],"variant":"copy"}"#;
const PAUSE: &str = r#"{"type":"pause"}"#;
/// The codec message of a browser without H.265 to go2rtc.
const GO2RTC_PLAY: &str = r#"{"type":"mse","value":"avc1.640029,avc1.64002A,avc1.640033,mp4a.40.2"}"#;

/// A receiver's server and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A WebSocket viewer of this stream of the relay.
    Viewer(&'static str),
    /// The same, paused.
    Paused(&'static str),
    /// A viewer of this stream of the relay in the plain dialect.
    PlainViewer(&'static str),
    /// A receiver of the raw TCP server.
    Plain,
    /// An LL-HLS viewer of this stream of the relay, part by part.
    Hls(&'static str),
    /// A WebRTC viewer of this stream of the relay.
    Whep(&'static str),
    /// A viewer of this stream of go2rtc, by the MSE protocol of its page.
    Go2rtc(&'static str),
    /// A viewer of this stream of the baseline.
    Original(&'static str),
}

impl Kind {
    /// For a WebSocket receiver: the path, the subprotocol and the first messages.
    fn opening(self) -> Option<(String, &'static str, &'static [&'static str])> {
        match self {
            Self::Viewer(stream) => Some((format!("/ws/mse/{stream}"), SUBPROTOCOL, &[PLAY])),
            Self::Paused(stream) => Some((format!("/ws/mse/{stream}"), SUBPROTOCOL, &[PLAY, PAUSE])),
            Self::PlainViewer(stream) => Some((format!("/ws/mse/{stream}"), "", &[])),
            Self::Go2rtc(stream) => Some((format!("/api/ws?src={stream}"), "", &[GO2RTC_PLAY])),
            Self::Original(stream) => Some((format!("/ws/{stream}"), "", &[])),
            Self::Plain | Self::Hls(_) | Self::Whep(_) => None,
        }
    }
}

/// Receivers, disconnected on drop.
#[derive(Debug)]
pub(crate) struct Receivers {
    address: SocketAddr,
    kind: Kind,
    received: Arc<AtomicU64>,
    members: JoinSet<()>,
}

impl Receivers {
    pub(crate) async fn gather(address: SocketAddr, kind: Kind, size: usize) -> Self {
        let mut receivers = Self { address, kind, received: Arc::default(), members: JoinSet::new() };
        for _ in 0..size {
            receivers.add(None).await;
        }
        receivers
    }

    /// Connects one more, which records arrival times.
    pub(crate) async fn add(&mut self, arrivals: Option<Arrivals>) {
        let received = self.received.clone();
        match self.kind {
            Kind::Hls(stream) => {
                self.members.spawn(hls_receiver::receive(self.address, stream, received, arrivals));
                return;
            }
            Kind::Whep(stream) => {
                let peer = Peer::watch_at(self.address, &format!("/whep/{stream}"), &[Codec::H264]).await;
                self.members.spawn(receive_pictures(peer, received, arrivals));
                return;
            }
            Kind::Viewer(_)
            | Kind::Paused(_)
            | Kind::PlainViewer(_)
            | Kind::Plain
            | Kind::Go2rtc(_)
            | Kind::Original(_) => {}
        }
        let mut connection = TcpStream::connect(self.address).await.expect("the server listens");
        if let Some((path, protocol, words)) = self.kind.opening() {
            upgrade(&mut connection, &path, protocol).await;
            for word in words {
                connection.write_all(&frames::text(word)).await.expect("the server reads");
            }
        }
        self.members.spawn(receive(connection, self.kind, received, arrivals));
    }

    /// Bytes received by all of them.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The number of receivers still connected.
    pub(crate) fn present(&mut self) -> usize {
        while self.members.try_join_next().is_some() {}
        self.members.len()
    }
}

async fn upgrade(connection: &mut TcpStream, path: &str, protocol: &str) {
    let offer = if protocol.is_empty() { String::new() } else { format!("Sec-WebSocket-Protocol: {protocol}\r\n") };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
    );
    connection.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(connection.read_u8().await.expect("the server answers"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
}

async fn receive(mut connection: TcpStream, kind: Kind, received: Arc<AtomicU64>, mut arrivals: Option<Arrivals>) {
    let mut buffer = vec![0; READ];
    let mut counter = FrameCounter::default();
    let (mut acknowledged, mut texts) = (0, 0);
    loop {
        let length = match connection.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        received.fetch_add(length as u64, Ordering::Relaxed);
        let bytes = &buffer[..length];
        match (&mut arrivals, kind) {
            (None, Kind::Viewer(_) | Kind::Paused(_)) => counter.feed(bytes, |_| {}),
            (None, _) => continue,
            (Some(arrivals), Kind::Plain) => arrivals.feed(bytes),
            (Some(arrivals), _) => counter.feed(bytes, |media| arrivals.feed(media)),
        }
        // A text may be a ping, which expects an acknowledgement.
        let due = counter.messages >= acknowledged + ACK_EVERY || counter.texts > texts;
        if matches!(kind, Kind::Viewer(_) | Kind::Paused(_)) && due {
            (acknowledged, texts) = (counter.messages, counter.texts);
            let ack = ClientMessage::Ack(Ack { received: acknowledged, at: None, lag_ms: None });
            if connection.write_all(&frames::text(&ack.to_json())).await.is_err() {
                return;
            }
        }
    }
}

async fn receive_pictures(mut peer: Peer, received: Arc<AtomicU64>, arrivals: Option<Arrivals>) {
    let take = move |_, peer: &mut Peer| {
        for picture in peer.pictures.drain(..) {
            received.fetch_add(picture.bytes.len() as u64, Ordering::Relaxed);
            if let Some(arrivals) = &arrivals {
                arrivals.note(&picture.bytes);
            }
        }
        true
    };
    peer.run(Duration::MAX, take).await;
}
