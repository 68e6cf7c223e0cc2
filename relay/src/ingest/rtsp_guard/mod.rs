//! Stands between the RTSP client (`retina`) and a camera: keeps byte and frame budgets, logs in, answers ignored keepalives.
//!
//! `retina` buffers what a camera sends without limits, and opens its connection itself. So it is given an address on the
//! loopback interface, where this passes on what comes from the camera; each packet is copied once more. The address holds a
//! random key, so that no other program of the machine takes the connection.
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
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use rand::RngExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};
use url::{Position, Url};

use budget::Budget;
use dialogue::{Dialogue, Forward};
use wire::Piece;

/// How long the reader may take to connect: it does so at once.
const READER_CONNECTS: Duration = Duration::from_secs(5);
/// How long a connection may take to send its first request: the reader needs no time, and another program must not stand in its
/// way.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
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
    /// The camera's challenge is none that the relay knows.
    #[error("the camera asks for a login that the relay does not know ({0})")]
    Challenge(String),
}

#[cfg(test)]
impl Refusal {
    /// One of each, without what a camera says.
    pub(super) fn examples() -> impl Iterator<Item = String> {
        [Self::Head, Self::Body, Self::AccessUnit, Self::FrameRate].into_iter().map(|refusal| refusal.to_string())
    }
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
    pub(super) async fn open(url: &Url, login: Option<(String, String)>) -> io::Result<Self> {
        let host =
            url.host_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no host in the address"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let camera = TcpStream::connect((host, url.port().unwrap_or(554))).await?;
        camera.set_nodelay(true)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let key: u128 = rand::rng().random();
        let local = format!("rtsp://{}/{key:032x}", listener.local_addr()?);
        let guarded = format!("{local}{}", &url[Position::BeforePath..]);
        let guarded = Url::parse(&guarded).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let refusal = Arc::new(OnceLock::new());
        let connection = Guarded {
            dialogue: Dialogue::new(local, url[..Position::BeforePath].to_owned(), login),
            budget: Budget::new(),
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
    refusal: Arc<OnceLock<Refusal>>,
}

impl Guarded {
    async fn run(mut self, listener: TcpListener, camera: TcpStream) {
        let Ok(Some((reader, from_reader))) = timeout(READER_CONNECTS, self.accept(&listener)).await else { return };
        drop(listener);
        // Either end closes, or a connection breaks: the reader learns it by the end of its own.
        let _ = self.forward(reader, from_reader, camera).await;
    }

    /// Waits for the reader. Returns its connection and its first bytes.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, BytesMut)> {
        loop {
            let (mut connection, _) = listener.accept().await.ok()?;
            connection.set_nodelay(true).ok()?;
            let mut buffer = BytesMut::with_capacity(READ);
            let begins_well = self.begins_well(&mut connection, &mut buffer);
            if timeout(FIRST_REQUEST, begins_well).await.is_ok_and(|begins_well| begins_well) {
                return Some((connection, buffer));
            }
        }
    }

    /// Reads the first request. Returns whether it has the key.
    async fn begins_well(&self, connection: &mut TcpStream, buffer: &mut BytesMut) -> bool {
        loop {
            match wire::next_piece(&mut buffer.clone()) {
                Ok(Some(Piece::Message(message))) => return self.dialogue.is_ours(&message),
                Ok(None) => {}
                Ok(Some(Piece::Packet(_))) | Err(_) => return false,
            }
            if !matches!(connection.read_buf(buffer).await, Ok(1..)) {
                return false;
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
                    let answer = self.dialogue.overdue();
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
        while let Some(piece) = wire::next_piece(up)? {
            match piece {
                Piece::Message(message) => passed.add(self.dialogue.request(message, now)),
                Piece::Packet(packet) => passed.camera.extend_from_slice(&packet),
            }
        }
        while let Some(piece) = wire::next_piece(down)? {
            match piece {
                Piece::Message(message) => passed.add(self.dialogue.take_camera(message)?),
                Piece::Packet(packet) => {
                    let (channel, content) = (packet[1], &packet[4..]);
                    if self.budget.is_dead(content, !self.dialogue.has_asked_to_play()) {
                        self.budget.dead_packet(content, now)?;
                        continue;
                    }
                    self.budget.packet(channel, content, now)?;
                    passed.reader.extend_from_slice(&packet);
                }
            }
        }
        Ok(())
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
            Forward::Nowhere => {}
        }
    }
}
