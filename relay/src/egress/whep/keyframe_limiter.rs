//! Limits how often the current GOP is repeated for a viewer that requests a key frame (PLI, RFC 4585, section 6.3.1; FIR, RFC
//! 5104, section 4.3.1).
//!
//! FFmpeg cannot request a key frame from a camera. Repeating the GOP from its key frame repairs the video at once. But a
//! viewer that cannot decode the stream would request one twenty times per second without end.

use std::time::Duration;

/// Minimum time between two replays. Longer than the GOP of most cameras, so that the next key frame usually repairs a second
/// loss at no cost.
const INTERVAL: Duration = Duration::from_secs(2);

/// See the [module](self). Times are since the session began.
#[derive(Debug, Default)]
pub(super) struct KeyframeLimiter {
    last: Option<Duration>,
}

impl KeyframeLimiter {
    /// Records that a GOP is sent from its key frame, for any reason.
    pub(super) fn began(&mut self, now: Duration) {
        self.last = Some(now);
    }

    /// Whether the GOP, which lasts `gop` so far, may be repeated. The minimum delay is half of `gop`: the intervals between
    /// replays of one GOP double, and all replays add at most twice the stream.
    pub(super) fn allows(&self, gop: Duration, now: Duration) -> bool {
        self.last.is_none_or(|last| now.saturating_sub(last) >= INTERVAL.max(gop / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn endless_plis_replay_at_most_twice_the_stream() {
        let mut limiter = KeyframeLimiter::default();
        limiter.began(ms(0));
        let mut replayed = Duration::ZERO;
        // Key frames every 10 s; a PLI every 50 ms for 100 s.
        for now in (50..100_000).step_by(50) {
            if now % 10_000 == 0 {
                limiter.began(ms(now));
            }
            let gop = ms(now % 10_000);
            if limiter.allows(gop, ms(now)) {
                limiter.began(ms(now));
                replayed += gop;
            }
        }
        assert!(replayed > ms(100_000) && replayed <= ms(200_000), "{replayed:?}");
    }

    #[test]
    fn first_loss_is_repaired_at_once() {
        let mut limiter = KeyframeLimiter::default();
        limiter.began(ms(0));
        assert!(!limiter.allows(ms(500), ms(500)), "it has just been sent");
        assert!(limiter.allows(ms(2100), ms(2100)));
        limiter.began(ms(2100));
        assert!(!limiter.allows(ms(6000), ms(4500)), "half as long as it lasts");
        assert!(limiter.allows(ms(6000), ms(5100)));
    }
}
