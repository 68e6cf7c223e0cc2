//! Limits concurrent transcodes: in total and per client. One too many would delay all of them, so it is refused with a reason.
//!
//! A transcode counts for one client that watches it when it starts, until it ends. Others who watch it do not count. It counts
//! for no client if one of its viewers has no address: a viewer on this machine, or behind a proxy that does not name its
//! clients.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::LiveLimits;
use super::permit::{Permit, Permits, Scope};

/// See the [module](self). Clones share the permits.
#[derive(Debug, Clone)]
pub struct TranscodeLimiter {
    limits: LiveLimits,
    permits: Permits,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooManyTranscodes {
    /// `limits.transcodes`.
    #[error(
        "the relay runs as many transcodes as limits.transcodes allows ({0}); use a browser that plays the camera's own \
         codec"
    )]
    Total(usize),
    /// One client's share of it.
    #[error(
        "your address has as many transcodes as one may have ({share}, half of limits.transcodes = {total}); close some \
         streams, or use a browser that plays the camera's own codec"
    )]
    Client {
        /// The most for one client.
        share: usize,
        /// The most for all.
        total: usize,
    },
}

impl TranscodeLimiter {
    /// Limits by `limits.transcodes`.
    pub fn new(limits: LiveLimits) -> Self {
        Self { limits, permits: Permits::default() }
    }

    /// Takes a permit for one transcode that `clients` watch. It counts for the first of them with a part of its share left.
    pub(crate) fn acquire(&self, clients: &BTreeSet<Option<IpAddr>>) -> Result<Permit, TooManyTranscodes> {
        let total = self.limits.now().transcodes;
        let share = share(total);
        let in_total = (Scope::Total, total, TooManyTranscodes::Total(total));
        if clients.is_empty() || clients.contains(&None) {
            return self.permits.acquire([in_total]);
        }
        let mut refused = TooManyTranscodes::Total(total);
        for client in clients.iter().flatten() {
            let of_client = (Scope::Client(*client), share, TooManyTranscodes::Client { share, total });
            match self.permits.acquire([in_total.clone(), of_client]) {
                Ok(permit) => return Ok(permit),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

/// The most transcodes of one client: half, so that none keeps out the others.
fn share(total: usize) -> usize {
    total.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn limiter(transcodes: usize) -> (TranscodeLimiter, LiveLimits) {
        let limits = LiveLimits::new(Limits { transcodes, ..Limits::default() });
        (TranscodeLimiter::new(limits.clone()), limits)
    }

    /// Clients by the last byte of their address; 0 is one without an address.
    fn clients(last: &[u8]) -> BTreeSet<Option<IpAddr>> {
        let address = |&n: &u8| (n > 0).then(|| IpAddr::from([192, 0, 2, n]));
        last.iter().map(address).collect()
    }

    #[test]
    fn changed_limit_applies_to_the_next_transcode() {
        let (limiter, limits) = limiter(2);
        let acquire = || limiter.acquire(&clients(&[0]));
        let (first, _second) = (acquire().unwrap(), acquire().unwrap());
        assert_eq!(acquire().unwrap_err(), TooManyTranscodes::Total(2));
        drop(first);
        let _third = acquire().unwrap();
        limits.set(Limits { transcodes: 1, ..Limits::default() });
        assert_eq!(acquire().unwrap_err(), TooManyTranscodes::Total(1));
        limits.set(Limits { transcodes: 3, ..Limits::default() });
        assert!(acquire().is_ok());
    }

    #[test]
    fn one_client_gets_half() {
        let (limiter, _) = limiter(16);
        let mut held: Vec<_> = (0..8).map(|_| limiter.acquire(&clients(&[1])).unwrap()).collect();
        let refused = limiter.acquire(&clients(&[1])).unwrap_err();
        assert_eq!(refused, TooManyTranscodes::Client { share: 8, total: 16 });
        let text = refused.to_string();
        assert!(text.contains("your address") && text.contains("limits.transcodes"), "{text}");
        let of_other = limiter.acquire(&clients(&[1, 2]));
        assert!(of_other.is_ok(), "another client that watches it has its own share");
        held.pop();
        assert!(limiter.acquire(&clients(&[1])).is_ok());
    }

    #[test]
    fn client_without_an_address_has_no_share() {
        let (limiter, _) = limiter(16);
        let held: Vec<_> = (0..16).map(|_| limiter.acquire(&clients(&[0, 1])).unwrap()).collect();
        assert_eq!(limiter.acquire(&clients(&[1])).unwrap_err(), TooManyTranscodes::Total(16));
        drop(held);
        let held: Vec<_> = (0..8).map(|_| limiter.acquire(&clients(&[1])).unwrap()).collect();
        assert_eq!(held.len(), 8, "none of the others counted for it");
    }

    #[test]
    fn smallest_limit_leaves_each_client_one() {
        for (total, expected) in [(1, 1), (2, 1), (3, 2), (16, 8)] {
            assert_eq!(share(total), expected);
        }
    }
}
