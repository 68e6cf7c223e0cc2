//! Many receivers at once, each with the least work that is still right: viewers of `sightline.v1` count messages and
//! acknowledge them, receivers of the floor only read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sightline_protocol::message::{Ack, ClientMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::frames::{self, FrameCounter};

/// After so many messages a viewer acknowledges: four times a second at 25 frames a second, as the client does.
const ACK_EVERY: u64 = 6;
/// What is read at a time.
const READ: usize = 16 * 1024;

/// What a receiver does with what comes.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A viewer of this stream.
    Viewer(&'static str),
    /// A receiver of the floor.
    Plain,
}

/// Receivers, which leave when this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    received: Arc<AtomicU64>,
    members: JoinSet<()>,
}

impl Crowd {
    /// Connects `size` receivers.
    pub(crate) async fn gather(address: SocketAddr, kind: &Kind, size: usize) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let mut members = JoinSet::new();
        for _ in 0..size {
            let mut connection = TcpStream::connect(address).await.expect("the server listens");
            if let Kind::Viewer(stream) = kind {
                upgrade(&mut connection, stream).await;
            }
            members.spawn(receive(connection, kind.clone(), received.clone()));
        }
        Self { received, members }
    }

    /// Bytes received by all of them.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many are still connected.
    pub(crate) fn present(&mut self) -> usize {
        while self.members.try_join_next().is_some() {}
        self.members.len()
    }
}

async fn upgrade(connection: &mut TcpStream, stream: &str) {
    let request = format!(
        "GET /ws/mse/{stream} HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {}\r\n\r\n",
        sightline_protocol::SUBPROTOCOL
    );
    connection.write_all(request.as_bytes()).await.expect("the relay reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(connection.read_u8().await.expect("the relay answers"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    // By name: where the machine is too slow it is to show, and not to be made good by a lighter picture.
    let play = frames::text(r#"{"type":"play","codecs":["avc1.640034"],"variant":"copy"}"#);
    connection.write_all(&play).await.expect("the relay reads");
}

async fn receive(mut connection: TcpStream, kind: Kind, received: Arc<AtomicU64>) {
    let mut buffer = vec![0; READ];
    let mut counter = FrameCounter::default();
    let (mut acknowledged, mut texts) = (0, 0);
    loop {
        let length = match connection.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        received.fetch_add(length as u64, Ordering::Relaxed);
        if matches!(kind, Kind::Plain) {
            continue;
        }
        counter.feed(&buffer[..length]);
        // A text may be a ping, which asks what has been received.
        if counter.messages >= acknowledged + ACK_EVERY || counter.texts > texts {
            (acknowledged, texts) = (counter.messages, counter.texts);
            let ack = ClientMessage::Ack(Ack { received: acknowledged, at: None, lag_ms: None });
            if connection.write_all(&frames::text(&ack.to_json())).await.is_err() {
                return;
            }
        }
    }
}
