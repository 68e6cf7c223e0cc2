//! Limits viewers with a session, by WebSocket or WebRTC: in total, per stream and per client.
//!
//! HLS has no sessions; its viewers count as connections only.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use sightline_protocol::stream::StreamName;

use super::LiveLimits;
use super::permit::{Permit, Permits, Scope};
use crate::config::Limits;
use crate::net::client::{client_address, client_prefix};

/// See the [module](self). Clones share the permits.
#[derive(Debug, Clone)]
pub struct ViewerLimiter {
    limits: LiveLimits,
    permits: Permits,
}

/// Which limit is reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooManyViewers {
    /// `limits.viewers`.
    #[error("this relay has as many viewers as limits.viewers allows ({0}); try again later")]
    Total(usize),
    /// `limits.viewers_per_stream`.
    #[error("the stream {0} has as many viewers as limits.viewers_per_stream allows ({1}); try again later")]
    Stream(StreamName, usize),
    /// `limits.viewers_per_address`.
    #[error(
        "your address has as many viewers as limits.viewers_per_address allows ({0}); close some, or try again later"
    )]
    Client(usize),
}

impl ViewerLimiter {
    /// Limits by `limits.viewers`, `limits.viewers_per_stream` and `limits.viewers_per_address`.
    pub fn new(limits: LiveLimits) -> Self {
        Self { limits, permits: Permits::default() }
    }

    /// The limits as they are now.
    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits.now()
    }

    /// The address by which a request's client counts. `None` behind a proxy or tunnel that does not name its clients.
    pub(crate) fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        client_address(peer?, headers, &self.limits.now().trusted_proxies).map(client_prefix)
    }

    /// Takes a permit for one viewer of `stream`. A viewer without a `client` counts for no client.
    pub(crate) fn acquire(&self, stream: &StreamName, client: Option<IpAddr>) -> Result<Permit, TooManyViewers> {
        let limits = self.limits.now();
        let (total, per_stream, per_client) = (limits.viewers, limits.viewers_per_stream, limits.viewers_per_address);
        let scopes = [
            (Scope::Total, total, TooManyViewers::Total(total)),
            (Scope::Stream(stream.clone()), per_stream, TooManyViewers::Stream(stream.clone(), per_stream)),
        ];
        let client = client.map(|client| (Scope::Client(client), per_client, TooManyViewers::Client(per_client)));
        self.permits.acquire(scopes.into_iter().chain(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewers() -> ViewerLimiter {
        let limits = Limits { viewers: 4, viewers_per_stream: 3, viewers_per_address: 2, ..Limits::default() };
        ViewerLimiter::new(LiveLimits::new(limits))
    }

    #[test]
    fn reached_limit_is_named_and_a_returned_permit_is_reused() {
        let (viewers, yard): (_, StreamName) = (viewers(), "yard".parse().unwrap());
        let one = Some("192.0.2.1".parse().unwrap());
        let first = viewers.acquire(&yard, one).unwrap();
        let _second = viewers.acquire(&yard, one).unwrap();
        let refused = viewers.acquire(&yard, one).unwrap_err().to_string();
        assert!(refused.contains("limits.viewers_per_address allows (2)"), "{refused}");
        let _third = viewers.acquire(&yard, None).unwrap();
        let refused = viewers.acquire(&yard, None).unwrap_err().to_string();
        assert!(refused.contains("yard") && refused.contains("limits.viewers_per_stream allows (3)"), "{refused}");
        let gate: StreamName = "gate".parse().unwrap();
        let _fourth = viewers.acquire(&gate, None).unwrap();
        let refused = viewers.acquire(&gate, None).unwrap_err().to_string();
        assert!(refused.contains("limits.viewers allows (4)"), "{refused}");
        drop(first);
        assert!(viewers.acquire(&yard, one).is_ok());
    }

    #[test]
    fn tunnel_that_names_no_client_has_no_client_limit() {
        let (viewers, yard): (_, StreamName) = (viewers(), "yard".parse().unwrap());
        let client = viewers.client(Some("127.0.0.1".parse().unwrap()), &HeaderMap::new());
        let permits: Vec<_> = (0..3).map(|_| viewers.acquire(&yard, client)).collect();
        assert!(permits.iter().all(Result::is_ok), "{permits:?}");
    }
}
