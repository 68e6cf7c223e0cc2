//! The connections there are, in all and of each address, and whether there is room for one more.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::InForce;
use crate::counts::{Counts, household};

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("this relay has as many connections as limits.connections allows ({0}); try again later")]
    Full(usize),
    #[error("your address has as many connections as limits.connections_per_address allows ({0}); close some")]
    Address(usize),
}

/// The connections there are.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    limits: InForce,
    counts: Arc<Mutex<Connections>>,
}

#[derive(Debug, Default)]
struct Connections {
    all: usize,
    by_address: Counts<IpAddr>,
}

impl Ledger {
    pub(super) fn new(limits: InForce) -> Self {
        Self { limits, counts: Arc::default() }
    }

    /// A place for one more. A proxy or a tunnel brings everybody, and so has no limit of its own; whatever comes from
    /// this machine is one.
    pub(super) fn admit(&self, peer: SocketAddr) -> Result<Slot, Refused> {
        let limits = self.limits.now();
        let trusts = |ip| limits.trusted_proxies.iter().any(|network| network.contains(ip));
        let brings_everybody = |ip: IpAddr| ip.is_loopback() || trusts(ip);
        let address = Some(peer.ip().to_canonical()).filter(|&ip| !brings_everybody(ip)).map(household);
        let mut counts = lock(&self.counts);
        if counts.all >= limits.connections {
            return Err(Refused::Full(limits.connections));
        }
        if let Some(address) = address {
            if counts.by_address.of(&address) >= limits.connections_per_address {
                return Err(Refused::Address(limits.connections_per_address));
            }
            counts.by_address.add(address);
        }
        counts.all += 1;
        Ok(Slot { counts: self.counts.clone(), address })
    }
}

/// A connection's place, which it leaves when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    counts: Arc<Mutex<Connections>>,
    address: Option<IpAddr>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.all -= 1;
        if let Some(address) = &self.address {
            counts.by_address.remove(address);
        }
    }
}

// A panic while the lock was held leaves at worst one that is counted and not there.
fn lock(counts: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that has its place for as long as it is open, whoever holds it after an upgrade.
pub(super) struct Counted<S> {
    stream: S,
    _slot: Slot,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, slot: Slot) -> Self {
        Self { stream, _slot: slot }
    }

    pub(super) fn inner(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    // Head and body of an answer leave in one write.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn ledger(connections: usize, connections_per_address: usize) -> Ledger {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Ledger::new(InForce::new(Limits { connections, connections_per_address, trusted_proxies, ..Limits::default() }))
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_dropped() {
        let (ledger, peer) = (ledger(3, 2), |ip: &str| SocketAddr::new(ip.parse().unwrap(), 1));
        let first = ledger.admit(peer("192.0.2.1")).unwrap();
        let _second = ledger.admit(peer("192.0.2.1")).unwrap();
        assert_eq!(ledger.admit(peer("192.0.2.1")).unwrap_err(), Refused::Address(2));
        let _other = ledger.admit(peer("192.0.2.2")).unwrap();
        assert_eq!(ledger.admit(peer("192.0.2.3")).unwrap_err(), Refused::Full(3));
        drop(first);
        assert!(ledger.admit(peer("192.0.2.1")).is_ok());
    }

    #[test]
    fn connections_of_this_machine_and_of_proxies_bring_everybody() {
        let ledger = ledger(3, 1);
        let peers = ["127.0.0.1:1", "[::ffff:127.0.0.1]:2", "[::1]:3"];
        let slots = peers.map(|peer| ledger.admit(peer.parse().unwrap()).unwrap());
        assert_eq!(ledger.admit("[::1]:4".parse().unwrap()).unwrap_err(), Refused::Full(3));
        drop(slots);
        assert_eq!(lock(&ledger.counts).all, 0);
        let proxy = ["10.0.0.1:1", "10.0.0.1:2"].map(|peer| ledger.admit(peer.parse().unwrap()));
        assert!(proxy.iter().all(Result::is_ok), "{proxy:?}");
    }
}
