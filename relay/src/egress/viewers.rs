//! Who watches, of whatever kind with a session of its own, and whether there is room for one more.
//!
//! HLS has no sessions: its viewers come and go with each request, and count as connections only.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use sightline_protocol::stream::StreamName;

use crate::config::{InForce, Limits};
use crate::counts::{Counts, household};
use crate::server::Reached;
use crate::server::forwarded;

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Viewers {
    limits: InForce,
    counts: Arc<Mutex<Watching>>,
}

#[derive(Debug, Default)]
struct Watching {
    all: usize,
    by_stream: Counts<StreamName>,
    by_address: Counts<IpAddr>,
}

/// Why there is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMany {
    /// In all.
    #[error("this relay has as many viewers as limits.viewers allows ({0}); try again later")]
    All(usize),
    /// Of one stream.
    #[error("the stream {0} has as many viewers as limits.viewers_per_stream allows ({1}); try again later")]
    Stream(StreamName, usize),
    /// Of one address.
    #[error(
        "your address has as many pictures open as limits.viewers_per_address allows ({0}); close some, or try again later"
    )]
    Address(usize),
}

impl Viewers {
    /// Nobody yet.
    pub fn new(limits: InForce) -> Self {
        Self { limits, counts: Arc::default() }
    }

    /// The limits as they are now.
    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits.now()
    }

    /// By which address a request counts; none where behind it may be anybody, as behind a tunnel that does not tell.
    pub(crate) fn address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        forwarded::client(peer?, headers, &self.limits.now().trusted_proxies).map(household)
    }

    /// A place for one more.
    pub(crate) fn admit(&self, stream: &StreamName, address: Option<IpAddr>) -> Result<Place, TooMany> {
        let (limits, mut counts) = (self.limits.now(), lock(&self.counts));
        if counts.all >= limits.viewers {
            return Err(TooMany::All(limits.viewers));
        }
        if counts.by_stream.of(stream) >= limits.viewers_per_stream {
            return Err(TooMany::Stream(stream.clone(), limits.viewers_per_stream));
        }
        if address.is_some_and(|address| counts.by_address.of(&address) >= limits.viewers_per_address) {
            return Err(TooMany::Address(limits.viewers_per_address));
        }
        counts.all += 1;
        counts.by_stream.add(stream.clone());
        if let Some(address) = address {
            counts.by_address.add(address);
        }
        Ok(Place { counts: self.counts.clone(), stream: stream.clone(), address })
    }
}

/// The address that a request's connection came from.
pub(crate) fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<Reached>>().map(|ConnectInfo(reached)| reached.peer)
}

/// A viewer's place, which it leaves when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it leaves the place"]
pub(crate) struct Place {
    counts: Arc<Mutex<Watching>>,
    stream: StreamName,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.all -= 1;
        counts.by_stream.remove(&self.stream);
        if let Some(address) = &self.address {
            counts.by_address.remove(address);
        }
    }
}

// A panic while the lock was held leaves at worst one who is counted and not there.
fn lock(counts: &Mutex<Watching>) -> MutexGuard<'_, Watching> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewers() -> Viewers {
        let limits = Limits { viewers: 4, viewers_per_stream: 3, viewers_per_address: 2, ..Limits::default() };
        Viewers::new(InForce::new(limits))
    }

    #[test]
    fn each_limit_is_named_and_a_place_is_free_again_when_it_is_left() {
        let (viewers, yard): (_, StreamName) = (viewers(), "yard".parse().unwrap());
        let one = Some("192.0.2.1".parse().unwrap());
        let first = viewers.admit(&yard, one).unwrap();
        let _second = viewers.admit(&yard, one).unwrap();
        let refused = viewers.admit(&yard, one).unwrap_err().to_string();
        assert!(refused.contains("limits.viewers_per_address allows (2)"), "{refused}");
        let _third = viewers.admit(&yard, None).unwrap();
        let refused = viewers.admit(&yard, None).unwrap_err().to_string();
        assert!(refused.contains("yard") && refused.contains("limits.viewers_per_stream allows (3)"), "{refused}");
        let gate: StreamName = "gate".parse().unwrap();
        let _fourth = viewers.admit(&gate, None).unwrap();
        let refused = viewers.admit(&gate, None).unwrap_err().to_string();
        assert!(refused.contains("limits.viewers allows (4)"), "{refused}");
        drop(first);
        assert!(viewers.admit(&yard, one).is_ok());
    }

    #[test]
    fn a_tunnel_that_does_not_tell_is_nobody_s_address() {
        let (viewers, yard): (_, StreamName) = (viewers(), "yard".parse().unwrap());
        let address = viewers.address(Some("127.0.0.1".parse().unwrap()), &HeaderMap::new());
        let places: Vec<_> = (0..3).map(|_| viewers.admit(&yard, address)).collect();
        assert!(places.iter().all(Result::is_ok), "{places:?}");
    }
}
