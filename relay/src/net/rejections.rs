//! Counts rejected requests and failed logins, for the metrics. The log has one line a minute for each status code.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use tracing::{info, warn};

use super::log_interval::LogInterval;

/// See the [module](self). Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Rejections(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    codes: BTreeMap<u16, Rejected>,
    logins: [u64; LoginMethod::ALL.len()],
}

/// The rejections with one status code.
#[derive(Debug, Default)]
struct Rejected {
    total: u64,
    unlogged: u64,
    logged: LogInterval,
}

/// Where a request had its password or token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LoginMethod {
    /// The login form.
    Form,
    /// `Authorization: Basic`.
    Basic,
    /// `Authorization: Bearer`.
    Bearer,
}

impl LoginMethod {
    pub(crate) const ALL: [Self; 3] = [Self::Form, Self::Basic, Self::Bearer];

    /// The name in the log and in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Basic => "basic",
            Self::Bearer => "bearer",
        }
    }
}

impl Rejections {
    /// Counts a request of `client` that was rejected with `code`, an HTTP status or a WebSocket close code. Codes are the
    /// relay's own, so their number is bounded.
    pub(crate) fn count(&self, code: u16, client: Option<IpAddr>) {
        let count = {
            let mut counts = self.lock();
            let rejected = counts.codes.entry(code).or_default();
            rejected.total += 1;
            rejected.unlogged += 1;
            if !rejected.logged.is_due(Instant::now()) {
                return;
            }
            std::mem::take(&mut rejected.unlogged)
        };
        info!(code, count, client = %Client(client), "requests rejected");
    }

    /// Counts a wrong password or token of `client`. Each has a log line with the address, which the throttle of logins bounds.
    pub(crate) fn failed_login(&self, method: LoginMethod, client: Option<IpAddr>) {
        self.lock().logins[method as usize] += 1;
        warn!(client = %Client(client), method = %method.name(), "login failed");
    }

    /// Counts a wrong password that this client has just sent before, without a log line.
    pub(crate) fn repeated_login(&self, method: LoginMethod) {
        self.lock().logins[method as usize] += 1;
    }

    /// The number of rejections by status code.
    pub(crate) fn codes(&self) -> Vec<(u16, u64)> {
        self.lock().codes.iter().map(|(&code, rejected)| (code, rejected.total)).collect()
    }

    /// The number of failed logins by method.
    pub(crate) fn failed_logins(&self) -> [(LoginMethod, u64); LoginMethod::ALL.len()] {
        let counts = self.lock();
        LoginMethod::ALL.map(|method| (method, counts.logins[method as usize]))
    }

    // A panic while the lock was held leaves at worst one count missing.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's address in the log. `unknown` behind a proxy that does not name its clients: banning the proxy's address would
/// ban every client.
pub(crate) struct Client(pub(crate) Option<IpAddr>);

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::log_interval::LOG_INTERVAL;

    #[tokio::test(start_paused = true)]
    async fn each_code_is_logged_once_a_minute() {
        let rejections = Rejections::default();
        let unlogged = |code| rejections.lock().codes[&code].unlogged;
        for _ in 0..1000 {
            rejections.count(429, None);
        }
        rejections.count(403, None);
        assert_eq!((unlogged(429), unlogged(403)), (999, 0));
        tokio::time::advance(LOG_INTERVAL).await;
        rejections.count(429, None);
        assert_eq!((unlogged(429), rejections.codes()), (0, vec![(403, 1), (429, 1001)]));
    }
}
