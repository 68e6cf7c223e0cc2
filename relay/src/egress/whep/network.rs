//! The UDP and TCP port of all viewers: a thin loop around [`SessionDemux`](super::demux::SessionDemux), which finds the
//! session of each packet. [`ice_tcp`] serves the TCP listener.
//!
//! Received packets wait in their session's inbox. A full inbox drops datagrams, as a network may, and makes a TCP connection
//! wait.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use socket2::SockRef;
use str0m::Candidate;
use str0m::net::{Protocol, TcpType};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::address::{canonical, for_socket};
use super::ice_tcp::{self, ConnectionGate, PACKET_MAX};
use super::inbox::{InboxMessage, Sessions, lock};
use crate::config::Webrtc;

/// Size of the kernel's receive and send buffers, shared by all viewers.
const KERNEL_BUFFER: usize = 1024 * 1024;
/// Attempts to let the system choose a port.
const PORT_ATTEMPTS: u32 = 20;

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
    pub(super) fn serve(
        &mut self,
        connections: ConnectionGate,
        sessions: &Sessions,
        tasks: &TaskTracker,
    ) -> Vec<BoxFuture<'static, ()>> {
        let udp = self.udp.clone().map(|socket| serve_udp(socket, sessions.clone()).boxed());
        let tcp = self.tcp.take();
        let tcp = tcp.map(|listener| ice_tcp::serve(listener, connections, sessions.clone(), tasks.clone()).boxed());
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
