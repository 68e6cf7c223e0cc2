//! Limits connections to the HTTP port and by ICE-TCP: in total and per client.

use std::net::{IpAddr, SocketAddr};

use super::LiveLimits;
use super::permit::{Permit, Permits, Scope};
use crate::net::client::{client_prefix, contains};

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooManyConnections {
    /// `limits.connections`.
    #[error("this relay has as many connections as limits.connections allows ({0}); try again later")]
    Total(usize),
    /// `limits.connections_per_address`.
    #[error("your address has as many connections as limits.connections_per_address allows ({0}); close some")]
    Client(usize),
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimiter {
    limits: LiveLimits,
    permits: Permits,
    /// The most connections that the process has descriptors for.
    capacity: usize,
}

impl ConnectionLimiter {
    /// Limits by `limits.connections` and `limits.connections_per_address`, and to `capacity`.
    pub(crate) fn new(limits: LiveLimits, capacity: usize) -> Self {
        Self { limits, permits: Permits::default(), capacity }
    }

    /// The client of a connection. `None` for loopback peers and trusted proxies, which carry many clients.
    pub(crate) fn client(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        let is_shared = peer.is_loopback() || contains(&self.limits.now().trusted_proxies, peer);
        (!is_shared).then(|| client_prefix(peer))
    }

    /// Takes a permit for one connection. One without a [`client`](Self::client) counts in total only.
    pub(crate) fn acquire(&self, peer: SocketAddr) -> Result<Permit, TooManyConnections> {
        let limits = self.limits.now();
        let (total, per_client) = (limits.connections.min(self.capacity), limits.connections_per_address);
        let client = self
            .client(peer.ip())
            .map(|client| (Scope::Client(client), per_client, TooManyConnections::Client(per_client)));
        self.permits.acquire([(Scope::Total, total, TooManyConnections::Total(total))].into_iter().chain(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn limiter(connections: usize, connections_per_address: usize) -> ConnectionLimiter {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let limits = Limits { connections, connections_per_address, trusted_proxies, ..Limits::default() };
        ConnectionLimiter::new(LiveLimits::new(limits), usize::MAX)
    }

    #[test]
    fn fewer_descriptors_are_a_lower_limit() {
        let limiter = ConnectionLimiter { capacity: 2, ..limiter(8, 8) };
        let _held: Vec<_> = (1..3).map(|port| limiter.acquire(([192, 0, 2, 1], port).into()).unwrap()).collect();
        assert_eq!(limiter.acquire("192.0.2.2:1".parse().unwrap()).unwrap_err(), TooManyConnections::Total(2));
    }

    #[test]
    fn dropped_connection_returns_its_permit() {
        let (limiter, peer) = (limiter(3, 2), |ip: &str| SocketAddr::new(ip.parse().unwrap(), 1));
        let first = limiter.acquire(peer("192.0.2.1")).unwrap();
        let _second = limiter.acquire(peer("192.0.2.1")).unwrap();
        assert_eq!(limiter.acquire(peer("192.0.2.1")).unwrap_err(), TooManyConnections::Client(2));
        let _other = limiter.acquire(peer("192.0.2.2")).unwrap();
        assert_eq!(limiter.acquire(peer("192.0.2.3")).unwrap_err(), TooManyConnections::Total(3));
        drop(first);
        assert!(limiter.acquire(peer("192.0.2.1")).is_ok());
    }

    #[test]
    fn loopback_and_proxies_have_no_client_limit() {
        let limiter = limiter(3, 1);
        let peers = ["127.0.0.1:1", "[::ffff:127.0.0.1]:2", "[::1]:3"];
        let permits = peers.map(|peer| limiter.acquire(peer.parse().unwrap()).unwrap());
        assert_eq!(limiter.acquire("[::1]:4".parse().unwrap()).unwrap_err(), TooManyConnections::Total(3));
        drop(permits);
        assert_eq!(limiter.permits.count(&Scope::Total), 0);
        let proxy = ["10.0.0.1:1", "10.0.0.1:2"].map(|peer| limiter.acquire(peer.parse().unwrap()));
        assert!(proxy.iter().all(Result::is_ok), "{proxy:?}");
    }
}
