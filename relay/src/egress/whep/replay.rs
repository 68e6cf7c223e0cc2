//! Whether a viewer that asks for a key frame (PLI, RFC 4585, section 6.3.1; FIR, RFC 5104, section 4.3.1) is sent the
//! current GOP again.
//!
//! A camera cannot be asked for a key frame through FFmpeg. The GOP so far is one and what followed, and repairs the
//! picture at once; but a viewer that cannot decode what it gets asks without end, twenty times a second.

use std::time::Duration;

/// The least time between two replays: longer than the GOP of most cameras, so that the next key frame, which costs
/// nothing, is what usually repairs the second loss.
const INTERVAL: Duration = Duration::from_secs(2);

/// See the [module](self). Times are since the session began.
#[derive(Debug, Default)]
pub(super) struct ReplayLimiter {
    last: Option<Duration>,
}

impl ReplayLimiter {
    /// A GOP is sent from its key frame on, for whatever reason.
    pub(super) fn began(&mut self, now: Duration) {
        self.last = Some(now);
    }

    /// Whether the GOP, which lasts `gop` so far, may be sent again. It may after half of that time: the times between
    /// replays of one GOP double, and all of them together are at most twice the stream.
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
    fn a_viewer_that_asks_without_end_is_sent_no_more_than_twice_the_stream_again() {
        let mut limiter = ReplayLimiter::default();
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
    fn the_first_loss_is_repaired_at_once() {
        let mut limiter = ReplayLimiter::default();
        limiter.began(ms(0));
        assert!(!limiter.allows(ms(500), ms(500)), "it has just been sent");
        assert!(limiter.allows(ms(2100), ms(2100)));
        limiter.began(ms(2100));
        assert!(!limiter.allows(ms(6000), ms(4500)), "half as long as it lasts");
        assert!(limiter.allows(ms(6000), ms(5100)));
    }
}
