//! Accepts ICE-TCP connections (RFC 6544), finds the session of each by its first packet, and carries packets both ways.
//!
//! | limit | beyond |
//! | --- | --- |
//! | `limits.connections` and `limits.connections_per_address`, together with the HTTP port | closed at once, counted as 429 |
//! | connections without a first packet, in total and per client | the same |
//! | time for that packet | closed |
//! | connections of one session, and a first packet without its password | closed by the session |
//!
//! A connection ends when the peer closes it or the session drops its sender. Until then it holds its permit.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use str0m::net::Protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::address::canonical;
use super::inbox::{Inbox, InboxMessage, Sessions, lock};
use crate::limits::connections::ConnectionLimiter;
use crate::limits::permit::{Permit, Permits, Scope};
use crate::net::acceptor::Acceptor;
use crate::net::rejections::Rejections;
use crate::net::tcp;

/// The largest packet of WebRTC, with a margin.
pub(super) const PACKET_MAX: usize = 2048;
/// Packets in the queue of a connection, 300 KB. When full, the session waits and its cursor falls behind.
const OUTBOX: usize = 256;
/// Time limit for a connection's first packet, which identifies the session.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of connections that have not been identified.
const UNIDENTIFIED_MAX: usize = 256;
/// The same from one client: more than the tiles of a page open at once.
const UNIDENTIFIED_PER_CLIENT: usize = 64;
/// Time limit to write the last packets after the session has ended.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Counts a refused connection as a request that gets 429 (RFC 6585, section 4).
const TOO_MANY: u16 = 429;

/// The limits of connections, and the count of the refused ones.
#[derive(Debug)]
pub(crate) struct ConnectionGate {
    limiter: ConnectionLimiter,
    unidentified: Permits,
    rejections: Rejections,
}

/// The permits of a connection.
#[derive(Debug)]
struct Admitted {
    connection: Permit,
    /// Returned when the session is known.
    unidentified: Permit,
}

impl ConnectionGate {
    /// Takes permits of `limiter`, which also counts the connections to the HTTP port.
    pub(crate) fn new(limiter: ConnectionLimiter, rejections: Rejections) -> Self {
        Self { limiter, unidentified: Permits::default(), rejections }
    }

    /// For endpoints in tests, with the default limits.
    #[cfg(any(test, fuzzing))]
    pub(super) fn default_limits() -> Self {
        let limits = crate::limits::LiveLimits::new(crate::config::Limits::default());
        Self::new(ConnectionLimiter::new(limits, usize::MAX), Rejections::default())
    }

    /// The permits of a connection from `source`. Counts a refusal, which the log repeats once a minute.
    fn admit(&self, source: SocketAddr) -> Option<Admitted> {
        let client = self.limiter.client(source.ip());
        let admitted = self.limiter.acquire(source).map_err(|refused| refused.to_string()).and_then(|connection| {
            let total = (Scope::Total, UNIDENTIFIED_MAX, "too many connections have sent no packet");
            let own = client.map(|client| (Scope::Client(client), UNIDENTIFIED_PER_CLIENT, total.2));
            let unidentified = self.unidentified.acquire([total].into_iter().chain(own))?;
            Ok(Admitted { connection, unidentified })
        });
        if let Err(refused) = &admitted {
            debug!(%source, "ICE-TCP: {refused}");
            self.rejections.count(TOO_MANY, client);
        }
        admitted.ok()
    }
}

/// Accepts connections. Never ends.
pub(super) async fn serve(listener: TcpListener, gate: ConnectionGate, sessions: Sessions, tasks: TaskTracker) {
    let mut acceptor = Acceptor::new(listener, "ICE-TCP connections");
    loop {
        let (stream, source) = acceptor.accept().await;
        let source = canonical(source);
        // A refused connection is dropped, which closes it.
        if let Some(admitted) = gate.admit(source) {
            tokio::spawn(identify(stream, source, admitted, sessions.clone(), tasks.clone()));
        }
    }
}

/// Finds the session by the first packet, and offers it the connection.
async fn identify(
    mut stream: TcpStream,
    source: SocketAddr,
    admitted: Admitted,
    sessions: Sessions,
    tasks: TaskTracker,
) {
    tcp::set_nodelay(&stream);
    let Ok(Ok(first)) = timeout(IDENTIFY_TIMEOUT, read_frame(&mut stream)).await else { return };
    let Some(inbox) = lock(&sessions).route_connection(&first) else { return };
    let (outbox, packets) = mpsc::channel(OUTBOX);
    if inbox.send(InboxMessage::Connection { source, outbox, first }).await.is_ok() {
        let permit = admitted.connection;
        drop(admitted.unidentified);
        // The relay waits for the last packets of its sessions before it stops.
        tasks.spawn(async move {
            carry(stream, source, &inbox, packets).await;
            drop(permit);
        });
    }
}

/// Carries packets until the peer closes the connection, or the session drops its sender.
async fn carry(stream: TcpStream, source: SocketAddr, inbox: &Inbox, packets: mpsc::Receiver<Bytes>) {
    let (reader, writer) = stream.into_split();
    let session_ended = async {
        inbox.closed().await;
        sleep(FLUSH_TIMEOUT).await;
    };
    tokio::select! {
        () = write(writer, packets) => {}
        () = read(reader, source, inbox) => {}
        () = session_ended => {}
    }
}

async fn read(mut reader: OwnedReadHalf, source: SocketAddr, inbox: &Inbox) {
    while let Ok(bytes) = read_frame(&mut reader).await {
        if inbox.send(InboxMessage::Packet { protocol: Protocol::Tcp, source, bytes }).await.is_err() {
            // The session has ended. Its last packets are still being written.
            return std::future::pending().await;
        }
    }
}

/// Reads a packet after its length (RFC 4571, section 2).
async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::limits::LiveLimits;

    fn gate(connections: usize, connections_per_address: usize) -> ConnectionGate {
        let limits = Limits { connections, connections_per_address, ..Limits::default() };
        ConnectionGate::new(ConnectionLimiter::new(LiveLimits::new(limits), usize::MAX), Rejections::default())
    }

    fn from(client: u8) -> SocketAddr {
        ([192, 0, 2, client], 5).into()
    }

    #[test]
    fn ice_tcp_and_http_connections_share_their_limits() {
        let gate = gate(3, 2);
        let http = gate.limiter.acquire(from(1)).unwrap();
        let _own = gate.admit(from(1)).unwrap();
        assert!(gate.admit(from(1)).is_none(), "its third");
        let _other = gate.admit(from(2)).unwrap();
        assert!(gate.admit(from(3)).is_none(), "the fourth of all");
        assert_eq!(gate.rejections.codes(), [(TOO_MANY, 2)]);
        drop(http);
        assert!(gate.admit(from(3)).is_some());
    }

    #[test]
    fn connections_without_a_packet_have_a_share_per_client() {
        let gate = gate(8192, 8192);
        let held: Vec<_> = (0..UNIDENTIFIED_PER_CLIENT).map(|_| gate.admit(from(1)).unwrap()).collect();
        assert!(gate.admit(from(1)).is_none());
        assert!(gate.admit(from(2)).is_some());
        let identified: Vec<Permit> = held.into_iter().map(|admitted| admitted.connection).collect();
        assert!(gate.admit(from(1)).is_some());
        drop(identified);
        assert_eq!(gate.rejections.codes(), [(TOO_MANY, 1)]);
    }
}
