//! Stands between the RTSP client (`retina` or FFmpeg) and a camera: keeps budgets, logs in, follows no redirect, answers ignored
//! keepalives.
//!
//! `retina` buffers what a camera sends without limits, and opens its connection itself. So it is given an address on the
//! loopback interface, where this passes on what comes from the camera; each packet is copied once more. The address holds a
//! random key, so that no other program of the machine takes the connection. FFmpeg gets such an address as well: without the
//! camera's password, and with the same bounds for messages.
//!
//! | module | task |
//! | --- | --- |
//! | [`wire`] | splits the connection into messages and packets |
//! | [`dialogue`] | messages |
//! | [`budget`] | packets |

mod budget;
mod dialogue;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod wire;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use rand::RngExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use url::{Position, Url};

use super::diagnosis::REDIRECT;
use crate::net::acceptor::Acceptor;
use budget::Budget;
use dialogue::{Dialogue, Forward};
use wire::{Message, RtspItem};

/// How long the reader may take to connect: FFmpeg has to start first, on a busy machine.
const READER_CONNECTS: Duration = Duration::from_secs(20);
/// How long a connection may take to send its first request: the reader sends it at once, and another program must not stand in
/// its way.
const FIRST_REQUEST: Duration = Duration::from_secs(2);
/// Connections that may be without a first request at a time. A full queue of the system (1024) passes before the reader's time is
/// over.
const WAITING: usize = 128;
/// Read at a time.
const READ: usize = 64 * 1024;

/// Why the guard ended the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The head of a message is too long.
    #[error("the camera sent an RTSP header of more than 64 KiB; check that the address is a camera's")]
    Head,
    /// A body is too long.
    #[error("the camera sent a session description of more than 256 KiB; check that the address is a camera's")]
    Body,
    /// An access unit is too large.
    #[error("the camera sent a frame of more than 8 MiB; lower its bit rate or resolution")]
    AccessUnit,
    /// There are too many frames.
    #[error("the camera sends more than 240 frames a second; lower its frame rate")]
    FrameRate,
    /// The camera leads to another address.
    #[error("{}", REDIRECT)]
    Redirect,
    /// The session description has too many media.
    #[error("the camera describes more than 64 media; check that the address is a camera's")]
    Media,
    /// The camera's challenge is none that the relay knows.
    #[error("the camera asks for a login that the relay does not know ({0})")]
    Challenge(String),
}

#[cfg(test)]
impl Refusal {
    /// One of each, without what a camera says.
    pub(super) fn examples() -> impl Iterator<Item = String> {
        [Self::Head, Self::Body, Self::AccessUnit, Self::FrameRate, Self::Redirect, Self::Media]
            .into_iter()
            .map(|refusal| refusal.to_string())
    }
}

/// Whether media has budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaBudget {
    /// For a reader in this process.
    Enforced,
    /// For FFmpeg, which has limits of its own, and for media that the budgets do not know, such as MPEG-TS.
    Counted,
}

/// A guarded connection. It ends when the reader closes its own.
#[derive(Debug)]
pub(super) struct RtspGuard {
    url: Url,
    refusal: Arc<OnceLock<Refusal>>,
}

impl RtspGuard {
    /// Connects to the camera at `url`.
    ///
    /// # Errors
    /// The camera cannot be reached, or there is no loopback interface.
    pub(super) async fn open(url: &Url, login: Option<(String, String)>, media: MediaBudget) -> io::Result<Self> {
        let host =
            url.host_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no host in the address"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let camera = TcpStream::connect((host, url.port().unwrap_or(554))).await?;
        camera.set_nodelay(true)?;
        let camera_ip = camera.peer_addr()?.ip().to_canonical();
        // FFmpeg takes media by UDP from the family of this address.
        let loopback = if camera_ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let listener = TcpListener::bind(SocketAddr::new(loopback, 0)).await?;
        let key: u128 = rand::rng().random();
        let local = format!("rtsp://{}/{key:032x}", listener.local_addr()?);
        let guarded = format!("{local}{}", &url[Position::BeforePath..]);
        let guarded = Url::parse(&guarded).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let refusal = Arc::new(OnceLock::new());
        let connection = Guarded {
            dialogue: Dialogue::new(local, url[..Position::BeforePath].to_owned(), login).with_camera_ip(camera_ip),
            budget: Budget::new(),
            media,
            refusal: refusal.clone(),
        };
        tokio::spawn(connection.run(listener, camera));
        Ok(Self { url: guarded, refusal })
    }

    /// The address for the reader.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Why the guard ended the connection, if it did.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.get().cloned()
    }
}

/// The task behind [`RtspGuard`].
struct Guarded {
    dialogue: Dialogue,
    budget: Budget,
    media: MediaBudget,
    refusal: Arc<OnceLock<Refusal>>,
}

impl Guarded {
    async fn run(mut self, listener: TcpListener, camera: TcpStream) {
        let Ok(Some((reader, from_reader))) = timeout(READER_CONNECTS, self.accept(listener)).await else { return };
        // Either end closes, or a connection breaks: the reader learns it by the end of its own.
        let _ = self.forward(reader, from_reader, camera).await;
    }

    /// Waits for the reader, and then closes the listener. Returns the reader's connection and its first bytes. Connections of other
    /// programs delay it by nothing.
    async fn accept(&self, listener: TcpListener) -> Option<(TcpStream, BytesMut)> {
        let mut acceptor = Acceptor::new(listener, "connections of a camera's reader");
        let mut waiting = JoinSet::new();
        loop {
            tokio::select! {
                (connection, _) = acceptor.accept(), if waiting.len() < WAITING => {
                    waiting.spawn(timeout(FIRST_REQUEST, first_request(connection)));
                }
                Some(begun) = waiting.join_next() => {
                    if let Ok(Ok(Some((connection, buffer, request)))) = begun
                        && self.dialogue.is_ours(&request)
                    {
                        return Some((connection, buffer));
                    }
                }
            }
        }
    }

    async fn forward(&mut self, mut reader: TcpStream, mut up: BytesMut, mut camera: TcpStream) -> io::Result<()> {
        let (mut from_reader, mut to_reader) = reader.split();
        let (mut from_camera, mut to_camera) = camera.split();
        let mut down = BytesMut::with_capacity(READ);
        let mut passed = Passed::default();
        loop {
            passed.clear();
            if let Err(refusal) = self.pass(&mut up, &mut down, &mut passed, Instant::now()) {
                let _ = self.refusal.set(refusal);
                return Ok(());
            }
            to_camera.write_all(&passed.camera).await?;
            to_reader.write_all(&passed.reader).await?;
            if self.budget.has_ended() {
                return Ok(());
            }
            down.reserve(READ);
            let due = self.dialogue.due();
            tokio::select! {
                read = from_camera.read_buf(&mut down) => if read? == 0 { return Ok(()) },
                read = from_reader.read_buf(&mut up) => if read? == 0 { return Ok(()) },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let answer = self.dialogue.keepalive_response();
                    to_reader.write_all(&answer).await?;
                }
            }
        }
    }

    /// Moves what is complete from the buffers of both directions to `passed`.
    fn pass(
        &mut self,
        up: &mut BytesMut,
        down: &mut BytesMut,
        passed: &mut Passed,
        now: Instant,
    ) -> Result<(), Refusal> {
        while let Some(item) = wire::next_item(up)? {
            match item {
                RtspItem::Message(message) => passed.add(self.dialogue.request(message, now)),
                RtspItem::Packet(packet) => passed.camera.extend_from_slice(&packet),
            }
        }
        while let Some(item) = wire::next_item(down)? {
            match item {
                RtspItem::Message(message) => passed.add(self.dialogue.take_camera(message)?),
                RtspItem::Packet(packet) => {
                    let (channel, content) = (packet[1], &packet[4..]);
                    if self.budget.is_dead(content, !self.dialogue.has_asked_to_play(), now) {
                        self.budget.dead_packet(content, now)?;
                        continue;
                    }
                    let counted = self.budget.packet(channel, content, now);
                    if self.media == MediaBudget::Enforced {
                        counted?;
                    }
                    passed.reader.extend_from_slice(&packet);
                }
            }
        }
        Ok(())
    }
}

/// Reads the first request of a connection. Returns all bytes that were read, too.
async fn first_request(mut connection: TcpStream) -> Option<(TcpStream, BytesMut, Message)> {
    connection.set_nodelay(true).ok()?;
    let mut buffer = BytesMut::with_capacity(READ);
    loop {
        match wire::next_item(&mut buffer.clone()).ok()? {
            Some(RtspItem::Message(message)) => return Some((connection, buffer, message)),
            Some(RtspItem::Packet(_)) => return None,
            None => {}
        }
        if connection.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// What is to be sent.
#[derive(Debug, Default)]
struct Passed {
    camera: Vec<u8>,
    reader: Vec<u8>,
}

impl Passed {
    /// Keeps the memory: packets come many times a second.
    fn clear(&mut self) {
        self.camera.clear();
        self.reader.clear();
    }

    fn add(&mut self, forward: Forward) {
        match forward {
            Forward::Camera(bytes) => self.camera.extend(bytes),
            Forward::Reader(bytes) => self.reader.extend(bytes),
            Forward::Drop => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_connections_of_other_programs_do_not_delay_the_reader() {
        let camera = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = camera.local_addr().unwrap();
        let guard = RtspGuard::open(&Url::parse(&format!("rtsp://{address}/a")).unwrap(), None, MediaBudget::Enforced)
            .await
            .unwrap();
        let local = ("127.0.0.1", guard.url().port().unwrap());
        let mut others = Vec::new();
        // One after another they would take twice the reader's time.
        for _ in 0..20 {
            others.push(TcpStream::connect(local).await.unwrap());
        }
        others[0].write_all(b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n").await.unwrap();
        let mut reader = TcpStream::connect(local).await.unwrap();
        let request = format!("OPTIONS {} RTSP/1.0\r\nCSeq: 1\r\n\r\n", guard.url());
        reader.write_all(request.as_bytes()).await.unwrap();
        let (mut camera, _) = camera.accept().await.unwrap();
        let mut received = vec![0; 1024];
        let length = camera.read(&mut received).await.unwrap();
        let expected = format!("OPTIONS rtsp://{address}/a RTSP/1.0\r\n");
        assert!(
            received[..length].starts_with(expected.as_bytes()),
            "{}",
            String::from_utf8_lossy(&received[..length])
        );
    }
}
