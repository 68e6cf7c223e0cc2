//! The UDP and TCP port of all viewers: a thin loop around [`SessionDemux`], which finds the session of each packet.
//!
//! Received packets wait in their session's inbox. A full inbox drops datagrams, as a network may, and makes a TCP connection
//! wait.

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
use super::demux::SessionDemux;
use crate::config::Webrtc;
use crate::net::tcp;

/// The largest packet of WebRTC, with a margin.
const PACKET_MAX: usize = 2048;
/// Packets in an inbox: enough for a burst of reports from a viewer.
const INBOX: usize = 128;
/// Packets in the queue of a TCP connection, 300 KB. When full, the session waits and its cursor falls behind.
const OUTBOX: usize = 256;
/// Size of the kernel's receive and send buffers, shared by all viewers.
const KERNEL_BUFFER: usize = 1024 * 1024;
/// Attempts to let the system choose a port.
const PORT_ATTEMPTS: u32 = 20;
/// Time limit for a TCP connection's first packet, which identifies the session.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of TCP connections that have not been identified.
const UNIDENTIFIED_MAX: usize = 128;

/// A message to a session.
#[derive(Debug)]
pub(super) enum InboxMessage {
    /// A packet of the session.
    Packet { protocol: Protocol, source: SocketAddr, bytes: Bytes },
    /// A TCP connection of the viewer, with the sender of its packets. It ends when either side drops its end.
    Connection(SocketAddr, mpsc::Sender<Bytes>),
    /// The viewer trickled a candidate.
    Candidate(Candidate),
    /// The viewer deleted the session.
    Delete,
}

/// The sender of messages to a session.
pub(super) type Inbox = mpsc::Sender<InboxMessage>;

/// The sessions.
pub(super) type Sessions = Arc<Mutex<SessionDemux<Inbox>>>;

/// A session's inbox.
pub(super) fn inbox() -> (Inbox, mpsc::Receiver<InboxMessage>) {
    mpsc::channel(INBOX)
}

// A panic while the lock was held leaves at worst a session too many or too few, which does not disturb the others.
pub(super) fn lock(sessions: &Sessions) -> MutexGuard<'_, SessionDemux<Inbox>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bound port.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) udp: Option<Arc<UdpSocket>>,
    tcp: Option<TcpListener>,
    /// Whether ICE-TCP is offered.
    has_tcp: bool,
    /// The bound address. If the configuration has port 0, it contains the port that the system chose.
    pub(super) address: SocketAddr,
}

impl Port {
    /// Binds `listen` for the configured protocols.
    pub(super) async fn bind(settings: &Webrtc, listen: SocketAddr) -> io::Result<Self> {
        // A port that the system chooses for one protocol may be in use for the other.
        let mut tries = if listen.port() == 0 { PORT_ATTEMPTS } else { 1 };
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
            // A system with a lower maximum grants that.
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

    /// The tasks that serve the port; they never end.
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

/// Routes every datagram to its session. Never ends.
async fn serve_udp(socket: Arc<UdpSocket>, sessions: Sessions) {
    let mut buffer = [0; PACKET_MAX];
    loop {
        let (length, source) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // Mostly ICMP errors of earlier packets.
                debug!(%error, "UDP");
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        let source = canonical(source);
        let inbox = lock(&sessions).route(source, &buffer[..length]);
        if let Some(inbox) = inbox {
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            let _ = inbox.try_send(InboxMessage::Packet { protocol: Protocol::Udp, source, bytes });
        }
    }
}

/// Sends a datagram. Ignores errors, as the network may drop it too.
pub(super) async fn send_udp(socket: &UdpSocket, destination: SocketAddr, datagram: &[u8]) {
    let local_is_v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
    if let Err(error) = socket.send_to(datagram, for_socket(destination, local_is_v6)).await {
        debug!(%error, %destination, "a datagram was not sent");
    }
}

/// Accepts ICE-TCP connections (RFC 6544). Never ends.
async fn serve_tcp(listener: TcpListener, sessions: Sessions, tasks: TaskTracker) {
    let strangers = Arc::new(Semaphore::new(UNIDENTIFIED_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                // Beyond the limit, a connection is closed at once.
                let Ok(guard) = strangers.clone().try_acquire_owned() else { continue };
                let (sessions, tasks) = (sessions.clone(), tasks.clone());
                tokio::spawn(async move {
                    let introduced = identify(stream, canonical(source), &sessions, &tasks).await;
                    drop(guard);
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

/// Finds the session of a TCP connection by its first packet, and connects both.
async fn identify(
    stream: TcpStream,
    source: SocketAddr,
    sessions: &Sessions,
    tasks: &TaskTracker,
) -> Option<(OwnedReadHalf, SocketAddr, Inbox)> {
    tcp::set_nodelay(&stream);
    let (mut reader, writer) = stream.into_split();
    let first = timeout(IDENTIFY_TIMEOUT, read_frame(&mut reader)).await.ok()?.ok()?;
    let inbox = lock(sessions).route_connection(&first)?;
    let (outbox, packets) = mpsc::channel(OUTBOX);
    inbox.send(InboxMessage::Connection(source, outbox)).await.ok()?;
    // The relay waits for the final packets of its sessions before it stops.
    tasks.spawn(write(writer, packets));
    inbox.send(InboxMessage::Packet { protocol: Protocol::Tcp, source, bytes: first }).await.ok()?;
    Some((reader, source, inbox))
}

async fn read(mut reader: OwnedReadHalf, source: SocketAddr, inbox: &Inbox) {
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut reader) => frame,
            () = inbox.closed() => return,
        };
        let Ok(bytes) = frame else { return };
        if inbox.send(InboxMessage::Packet { protocol: Protocol::Tcp, source, bytes }).await.is_err() {
            return;
        }
    }
}

/// Reads a packet after its length (RFC 4571, section 2).
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

/// A packet after its length.
pub(super) fn frame(packet: &[u8]) -> Bytes {
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), packet].concat().into()
}
