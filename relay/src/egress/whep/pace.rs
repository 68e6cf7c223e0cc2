//! How fast a burst leaves: the GOP at the start, and one that is sent again.
//!
//! All at once it would be dropped by the first buffer on its way, often the receiver's own, of 200 KB by default on
//! Linux. A frame is sent as a whole; a large one is paid for before the next.

use std::time::Duration;

/// What may leave at once: well within every receive buffer.
const BURST: f64 = 64.0 * 1024.0;
/// Bytes a second: 48 Mbit/s, more than any camera sends, so that live pictures never wait.
const RATE: f64 = 6e6;

/// A token bucket. Times are since the session began.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes that may leave; what was sent above that is below zero.
    tokens: f64,
    at: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { tokens: BURST, at: Duration::ZERO }
    }
}

impl Pace {
    /// So many bytes leave.
    pub(super) fn sent(&mut self, bytes: usize, now: Duration) {
        self.refill(now);
        self.tokens -= bytes as f64;
    }

    /// How long the next frame has to wait.
    pub(super) fn wait(&mut self, now: Duration) -> Duration {
        self.refill(now);
        Duration::from_secs_f64((-self.tokens).max(0.0) / RATE)
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens, self.at) = ((self.tokens + passed * RATE).min(BURST), now.max(self.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_at_the_rate_and_live_pictures_never_wait() {
        let mut pace = Pace::default();
        let mut now = Duration::ZERO;
        // A GOP of 1.2 MB, in frames of 24 KB.
        for _ in 0..50 {
            now += pace.wait(now);
            pace.sent(24_000, now);
        }
        assert!(now > Duration::from_millis(170) && now < Duration::from_millis(200), "{now:?}");
        // 20 Mbit/s at 25 frames a second.
        for _ in 0..50 {
            now += Duration::from_millis(40);
            assert_eq!(pace.wait(now), Duration::ZERO);
            pace.sent(100_000, now);
        }
    }

    #[test]
    fn rest_is_not_saved_up() {
        let mut pace = Pace::default();
        let now = Duration::from_secs(60);
        pace.sent(BURST as usize + 6_000, now);
        assert_eq!(pace.wait(now).as_micros(), 1000);
    }
}
