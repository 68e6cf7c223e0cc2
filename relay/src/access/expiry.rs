//! The end of a request's permissions: a session that lasts longer than its credential ends with it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::credential::Credential;
use super::sessions::SessionGrant;

/// Longer than any session.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// When the credential of a request ends: at its expiry, when it is revoked, or when it no longer permits what the request shows.
/// Extension of an admitted request.
#[derive(Clone)]
pub(crate) struct Expiry {
    /// Absent without an expiry.
    at: Option<Instant>,
    grant: SessionGrant,
    shared: Arc<Shared>,
}

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expiry").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Expiry {
    /// The expiry of `grant` at `exp`, where the time is `now`; both in seconds since 1970. A step of the system's clock
    /// after that has no effect.
    pub(super) fn new(grant: SessionGrant, exp: Option<u64>, now: u64, shared: Arc<Shared>) -> Self {
        let at = exp.map(|exp| Instant::now() + Duration::from_secs(exp.saturating_sub(now)).min(FOREVER));
        Self { at, grant, shared }
    }

    /// The credential.
    pub(crate) fn credential(&self) -> &Credential {
        &self.grant.credential
    }

    /// Waits until the credential has expired or is no longer valid for the request; forever without one.
    pub(crate) async fn passed(expiry: Option<Self>) {
        let Some(Self { at, grant, shared }) = expiry else { return std::future::pending().await };
        let session = shared.sessions.add(grant.clone());
        // It may have been revoked between the request's admission and now.
        if !shared.configured().is_valid(&grant) {
            return;
        }
        let expired = async {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => {}
            () = session.revoked() => {}
        }
    }
}
