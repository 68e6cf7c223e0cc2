//! Limits the requests of one client per second, over all its connections and on every route.
//!
//! A client without an address has no limit: it may be every client of a proxy.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::LiveLimits;
use super::rate_limiter::RateLimiter;
use crate::net::client::client_prefix;

/// Requests at once, in seconds of their rate. A client that has sent nothing for as long is forgotten.
const BURST_SECONDS: f64 = 2.0;
/// Remembered clients, 100 bytes each. Beyond it the relay forgets all, and each starts with a new burst.
const CLIENTS: usize = 16 * 1024;

/// See the [module](self). Clones share the clients.
#[derive(Debug, Clone)]
pub(crate) struct RequestLimiter {
    limits: LiveLimits,
    begun: Instant,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    /// The rate of their limiters.
    rate: usize,
    /// Limiters, and the time of the newest request since the start.
    limiters: HashMap<IpAddr, (RateLimiter, Duration)>,
}

/// `limits.requests_per_address` is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("your address sends more requests than limits.requests_per_address allows ({0} a second); try again later")]
pub(crate) struct TooManyRequests(usize);

impl RequestLimiter {
    /// Limits by `limits.requests_per_address`.
    pub(crate) fn new(limits: LiveLimits) -> Self {
        Self { limits, begun: Instant::now(), clients: Arc::default() }
    }

    /// Counts one request, as `weight` requests.
    pub(crate) fn count(&self, client: Option<IpAddr>, weight: u16) -> Result<(), TooManyRequests> {
        let Some(client) = client.map(client_prefix) else { return Ok(()) };
        let (rate, now) = (self.limits.now().requests_per_address, self.begun.elapsed());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.limiter(client, rate, now).allows(weight.into(), now) { Ok(()) } else { Err(TooManyRequests(rate)) }
    }
}

impl Clients {
    fn limiter(&mut self, client: IpAddr, rate: usize, now: Duration) -> &mut RateLimiter {
        if self.rate != rate {
            (self.rate, self.limiters) = (rate, HashMap::new());
        }
        if self.limiters.len() >= CLIENTS && !self.limiters.contains_key(&client) {
            let forgotten = Duration::from_secs_f64(BURST_SECONDS);
            self.limiters.retain(|_, (_, seen)| now - *seen < forgotten);
            if self.limiters.len() >= CLIENTS {
                self.limiters.clear();
            }
        }
        let rate = rate as f64;
        let (limiter, seen) =
            self.limiters.entry(client).or_insert_with(|| (RateLimiter::new(rate, rate * BURST_SECONDS), now));
        *seen = now;
        limiter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn limiter(requests_per_address: usize) -> (RequestLimiter, LiveLimits) {
        let limits = LiveLimits::new(Limits { requests_per_address, ..Limits::default() });
        (RequestLimiter::new(limits.clone()), limits)
    }

    fn client(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn client_over_its_rate_is_refused_and_another_is_not() {
        let (limiter, limits) = limiter(10);
        assert_eq!((0..100).filter(|_| limiter.count(client(1), 1).is_ok()).count(), 20);
        assert!(limiter.count(client(2), 1).is_ok());
        assert!((0..100).all(|_| limiter.count(None, 1).is_ok()), "the clients of a proxy");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((0..100).filter(|_| limiter.count(client(1), 1).is_ok()).count(), 10);
        let text = limiter.count(client(1), 1).unwrap_err().to_string();
        assert!(text.contains("limits.requests_per_address allows (10 a second)"), "{text}");
        assert!(limiter.count(client(3), 15).is_ok() && limiter.count(client(3), 15).is_err());
        limits.set(Limits { requests_per_address: 50, ..Limits::default() });
        assert_eq!((0..200).filter(|_| limiter.count(client(1), 1).is_ok()).count(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn remembered_clients_are_bounded() {
        let (limiter, _) = limiter(10);
        for n in 0..100_000 {
            assert!(limiter.count(client(n), 1).is_ok());
            assert!(limiter.clients.lock().unwrap().limiters.len() <= CLIENTS);
        }
    }
}
