//! The one port of all viewers, UDP and TCP. A thin loop around [`Table`]: whose a packet is, is decided there.
//!
//! Packets that come wait in their session's inbox. When that is full they are dropped, as the network may drop any.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use socket2::SockRef;
use str0m::Candidate;
use str0m::net::{Protocol, TcpType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::address::{canonical, for_socket};
use super::table::Table;
use crate::config::Webrtc;

/// The largest packet that WebRTC sends, with room.
const PACKET_MAX: usize = 2048;
/// Packets that may wait for their session: a burst of reports from all that a viewer has.
const INBOX: usize = 128;
/// Packets that may wait for a TCP connection to take them, 300 KB. When full, the session waits and its cursor falls
/// behind.
const OUTBOX: usize = 256;
/// What the kernel holds of what comes in for all viewers, and of what goes out.
const KERNEL_BUFFER: usize = 1024 * 1024;
/// How often the system may choose a port.
const CHOICES: u32 = 20;
/// How long a TCP connection may take to say whose it is.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// TCP connections that have not said whose they are.
const STRANGERS_MAX: usize = 128;

/// What a session is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A packet for it came.
    Packet { protocol: Protocol, source: SocketAddr, bytes: Bytes },
    /// A TCP connection of its viewer, and how to send on it. It ends when either side lets go of its end.
    Connection(SocketAddr, mpsc::Sender<Bytes>),
    /// The viewer trickles a candidate.
    Candidate(Candidate),
    /// The viewer deletes the session.
    Delete,
}

/// How a session is reached.
pub(super) type Inbox = mpsc::Sender<Message>;

/// The sessions.
pub(super) type Sessions = Arc<Mutex<Table<Inbox>>>;

/// A session's own way to be reached.
pub(super) fn inbox() -> (Inbox, mpsc::Receiver<Message>) {
    mpsc::channel(INBOX)
}

// A panic while the lock was held leaves a session too many or too few: serving goes on.
pub(super) fn lock(sessions: &Sessions) -> MutexGuard<'_, Table<Inbox>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The port, taken.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) udp: Option<Arc<UdpSocket>>,
    tcp: Option<TcpListener>,
    /// Whether there is ICE-TCP.
    has_tcp: bool,
    /// What was taken; where the configuration says port 0, the port that the system chose.
    pub(super) address: SocketAddr,
}

impl Port {
    /// Takes `listen` for the protocols that the configuration has.
    pub(super) async fn bind(settings: &Webrtc, listen: SocketAddr) -> io::Result<Self> {
        // The port that the system chooses for the one protocol may be taken for the other.
        let mut tries = if listen.port() == 0 { CHOICES } else { 1 };
        loop {
            tries -= 1;
            match Self::take(settings, listen).await {
                Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                taken => return taken,
            }
        }
    }

    async fn take(settings: &Webrtc, listen: SocketAddr) -> io::Result<Self> {
        let mut address = listen;
        let mut udp = None;
        if settings.udp {
            let socket = UdpSocket::bind(address).await?;
            address = socket.local_addr()?;
            let buffers = SockRef::from(&socket);
            // A system that grants less grants its most.
            let _ = buffers.set_recv_buffer_size(KERNEL_BUFFER).and(buffers.set_send_buffer_size(KERNEL_BUFFER));
            udp = Some(Arc::new(socket));
        }
        let mut tcp = None;
        if settings.tcp {
            let listener = TcpListener::bind(address).await?;
            address = listener.local_addr()?;
            tcp = Some(listener);
        }
        Ok(Self { udp, has_tcp: tcp.is_some(), tcp, address })
    }

    /// What is to be run for ever.
    pub(super) fn serve(&mut self, sessions: &Sessions, tasks: &TaskTracker) -> Vec<BoxFuture<'static, ()>> {
        let udp = self.udp.clone().map(|socket| serve_udp(socket, sessions.clone()).boxed());
        let tcp = self.tcp.take().map(|listener| serve_tcp(listener, sessions.clone(), tasks.clone()).boxed());
        udp.into_iter().chain(tcp).collect()
    }

    /// The candidates of a session at these addresses, UDP first.
    pub(super) fn candidates(&self, addresses: &[SocketAddr]) -> Vec<Candidate> {
        let udp =
            addresses.iter().filter(|_| self.udp.is_some()).map(|&at| Candidate::builder().udp().host(at).build());
        let passive = |&at| Candidate::builder().tcp().host(at).tcptype(TcpType::Passive).build();
        let tcp = addresses.iter().filter(|_| self.has_tcp).map(passive);
        udp.chain(tcp).filter_map(Result::ok).collect()
    }
}

/// Gives every datagram to its session, for ever.
async fn serve_udp(socket: Arc<UdpSocket>, sessions: Sessions) {
    let mut buffer = [0; PACKET_MAX];
    loop {
        let (length, source) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // What the network says of a packet sent before (ICMP), above all.
                debug!(%error, "UDP");
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        let source = canonical(source);
        let inbox = lock(&sessions).route(source, &buffer[..length]);
        if let Some(inbox) = inbox {
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            let _ = inbox.try_send(Message::Packet { protocol: Protocol::Udp, source, bytes });
        }
    }
}

/// Sends a datagram; what the network makes of it is not known anyway.
pub(super) async fn send_udp(socket: &UdpSocket, destination: SocketAddr, datagram: &[u8]) {
    let local_is_v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
    if let Err(error) = socket.send_to(datagram, for_socket(destination, local_is_v6)).await {
        debug!(%error, %destination, "a datagram was not sent");
    }
}

/// Accepts ICE-TCP connections (RFC 6544), for ever.
async fn serve_tcp(listener: TcpListener, sessions: Sessions, tasks: TaskTracker) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                // Beyond the limit a connection is closed at once.
                let Ok(place) = strangers.clone().try_acquire_owned() else { continue };
                let (sessions, tasks) = (sessions.clone(), tasks.clone());
                tokio::spawn(async move {
                    let introduced = introduce(stream, canonical(source), &sessions, &tasks).await;
                    drop(place);
                    if let Some((reader, source, inbox)) = introduced {
                        read(reader, source, &inbox).await;
                    }
                });
            }
            Err(error) => {
                warn!(%error, "ICE-TCP: a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Finds out whose connection it is, and tells the session.
async fn introduce(
    stream: TcpStream,
    source: SocketAddr,
    sessions: &Sessions,
    tasks: &TaskTracker,
) -> Option<(OwnedReadHalf, SocketAddr, Inbox)> {
    crate::server::hurry(&stream);
    let (mut reader, writer) = stream.into_split();
    let first = timeout(INTRODUCTION, read_frame(&mut reader)).await.ok()?.ok()?;
    let inbox = lock(sessions).route_connection(&first)?;
    let (outbox, packets) = mpsc::channel(OUTBOX);
    inbox.send(Message::Connection(source, outbox)).await.ok()?;
    // The relay does not stop before the last words of its sessions have left.
    tasks.spawn(write(writer, packets));
    inbox.send(Message::Packet { protocol: Protocol::Tcp, source, bytes: first }).await.ok()?;
    Some((reader, source, inbox))
}

async fn read(mut reader: OwnedReadHalf, source: SocketAddr, inbox: &Inbox) {
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut reader) => frame,
            () = inbox.closed() => return,
        };
        let Ok(bytes) = frame else { return };
        if inbox.send(Message::Packet { protocol: Protocol::Tcp, source, bytes }).await.is_err() {
            return;
        }
    }
}

/// One packet behind its length (RFC 4571, section 2).
async fn read_frame(reader: &mut OwnedReadHalf) -> io::Result<Bytes> {
    let length = usize::from(reader.read_u16().await?);
    if length > PACKET_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame).await?;
    Ok(frame.into())
}

async fn write(mut writer: OwnedWriteHalf, mut packets: mpsc::Receiver<Bytes>) {
    while let Some(packet) = packets.recv().await {
        if writer.write_all(&packet).await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

/// A packet behind its length.
pub(super) fn frame(packet: &[u8]) -> Bytes {
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), packet].concat().into()
}
