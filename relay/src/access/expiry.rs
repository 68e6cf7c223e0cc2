//! The end of a request's permissions: a session that lasts longer than its token ends with it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Longer than any session.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The expiry of a token. Extension of a request that a token allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry(Instant);

impl Expiry {
    /// An expiry at `exp`, where the time is `now`; both in seconds since 1970. A step of the system's clock after that has no
    /// effect.
    pub(super) fn at(exp: u64, now: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(exp.saturating_sub(now)).min(FOREVER))
    }

    /// Waits for `expiry`; forever without one.
    pub(crate) async fn passed(expiry: Option<Self>) {
        match expiry {
            Some(Self(at)) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
