//! Limits concurrent transcodes. One too many would delay all of them, so it is refused with a reason.

use super::LiveLimits;
use super::permit::{Permit, Permits, Scope};

/// See the [module](self). Clones share the permits.
#[derive(Debug, Clone)]
pub struct TranscodeLimiter {
    limits: LiveLimits,
    permits: Permits,
}

/// The limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the relay makes as many transcodes at once as limits.transcodes allows ({0}); a browser that plays the camera's own \
     codec needs none"
)]
pub(crate) struct TooManyTranscodes(usize);

impl TranscodeLimiter {
    /// Limits by `limits.transcodes`.
    pub fn new(limits: LiveLimits) -> Self {
        Self { limits, permits: Permits::default() }
    }

    /// Takes a permit for one transcode.
    pub(crate) fn acquire(&self) -> Result<Permit, TooManyTranscodes> {
        let limit = self.limits.now().transcodes;
        self.permits.acquire([(Scope::Total, limit, TooManyTranscodes(limit))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn changed_limit_applies_to_the_next_transcode() {
        let limits = LiveLimits::new(Limits { transcodes: 2, ..Limits::default() });
        let limiter = TranscodeLimiter::new(limits.clone());
        let (first, _second) = (limiter.acquire().unwrap(), limiter.acquire().unwrap());
        assert_eq!(limiter.acquire().unwrap_err(), TooManyTranscodes(2));
        drop(first);
        let _third = limiter.acquire().unwrap();
        limits.set(Limits { transcodes: 1, ..Limits::default() });
        assert_eq!(limiter.acquire().unwrap_err(), TooManyTranscodes(1));
        limits.set(Limits { transcodes: 3, ..Limits::default() });
        assert!(limiter.acquire().is_ok());
    }
}
