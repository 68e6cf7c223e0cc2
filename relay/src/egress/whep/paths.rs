//! The paths of one viewer: its ICE-TCP connections, and its UDP addresses with their [`Consent`].
//!
//! Packets from an address without consent do not reach str0m, with which they could move the media there. The relay answers
//! such a request with one request of its own, at most 20 bytes longer. The address gets nothing else until it answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use str0m::net::{Protocol, Transmit};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::consent::Consent;
use super::ice_tcp;
use super::inbox::SessionGuard;
use super::network;
use super::stun::{self, IceCredentials, PacketKind};
use super::timeout::{EndReason, TCP_WRITE_TIMEOUT};

/// Maximum number of TCP connections per viewer: it tries each candidate once.
const CONNECTIONS_MAX: usize = 8;

/// See the [module](self). Times are since the session began.
pub(super) struct Paths {
    pub(super) guard: SessionGuard,
    credentials: IceCredentials,
    udp: Option<Arc<UdpSocket>>,
    tcp: Vec<(SocketAddr, mpsc::Sender<Bytes>)>,
    consent: Consent,
}

impl Paths {
    /// The paths by the relay's socket `udp`, of the session of `guard`.
    pub(super) fn new(guard: SessionGuard, credentials: IceCredentials, udp: Option<Arc<UdpSocket>>) -> Self {
        Self { guard, credentials, udp, tcp: Vec::new(), consent: Consent::default() }
    }

    /// Checks a received packet. Returns the packet for str0m, if there is one.
    pub(super) async fn receive(
        &mut self,
        protocol: Protocol,
        source: SocketAddr,
        packet: Bytes,
        now: Duration,
    ) -> Option<Bytes> {
        match self.credentials.check(&packet) {
            PacketKind::Forged => None,
            PacketKind::Answer(transaction) => {
                // str0m has sent no request.
                if !self.consent.on_answer(source, transaction, now) {
                    return None;
                }
                self.guard.note(source);
                self.consent.take_held(source)
            }
            PacketKind::Request if protocol == Protocol::Udp && !self.consent.is_given(source, now) => {
                self.consent.hold(source, packet, now);
                self.ask(source, now).await;
                None
            }
            PacketKind::Request | PacketKind::Other => Some(packet),
        }
    }

    /// Adds a TCP connection if its first packet has the session's password. Returns whether it was added. The handshake of TCP
    /// has proved the address.
    pub(super) fn connect(&mut self, source: SocketAddr, outbox: mpsc::Sender<Bytes>, first: &[u8]) -> bool {
        self.tcp.retain(|(_, outbox)| !outbox.is_closed());
        let added = self.tcp.len() < CONNECTIONS_MAX && self.credentials.check(first) == PacketKind::Request;
        if added {
            self.tcp.push((source, outbox));
        }
        added
    }

    /// Sends a packet of str0m.
    pub(super) async fn send(&mut self, packet: Transmit, now: Duration) -> Result<(), EndReason> {
        match packet.proto {
            Protocol::Udp => {
                if !self.consent.is_given(packet.destination, now) {
                    return Err(EndReason::NoConsent);
                }
                if self.consent.is_check_due(packet.destination, now) {
                    self.ask(packet.destination, now).await;
                }
                if let Some(udp) = &self.udp {
                    network::send_udp(udp, packet.destination, &packet.contents).await;
                }
                Ok(())
            }
            _ => {
                let Some((_, outbox)) = self.tcp.iter().find(|(peer, _)| *peer == packet.destination) else {
                    return Ok(());
                };
                // A closed connection takes nothing. If the viewer has no other path, its silence ends the session.
                let sent = timeout(TCP_WRITE_TIMEOUT, outbox.send(ice_tcp::frame(&packet.contents))).await;
                sent.map(drop).map_err(|_| EndReason::Stuck)
            }
        }
    }

    /// Asks an address for its consent.
    async fn ask(&mut self, at: SocketAddr, now: Duration) {
        let transaction = stun::transaction_id();
        if let (Some(udp), Some(request)) = (&self.udp, self.credentials.request(transaction)) {
            self.guard.expect(transaction);
            self.consent.on_check(at, transaction, now);
            network::send_udp(udp, at, &request).await;
        }
    }
}
