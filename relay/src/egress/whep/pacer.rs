//! Paces bursts: the GOP at the start, and a repeated one.
//!
//! Sent at once, a burst would overflow the first buffer on the path, often the receiver's own of 200 KB (Linux default). A
//! frame is sent as a whole; a large one delays the next.

use std::time::Duration;

/// Bytes that may be sent at once, well below every receive buffer.
const BURST: f64 = 64.0 * 1024.0;
/// Bytes per second: 48 Mbit/s, more than any camera sends, so that live frames never wait.
const RATE: f64 = 6e6;

/// A token bucket. Times are since the session began.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Bytes that may be sent; negative after a large frame.
    tokens: f64,
    at: Duration,
}

impl Default for Pacer {
    fn default() -> Self {
        Self { tokens: BURST, at: Duration::ZERO }
    }
}

impl Pacer {
    /// Records that `bytes` are sent.
    pub(super) fn sent(&mut self, bytes: usize, now: Duration) {
        self.refill(now);
        self.tokens -= bytes as f64;
    }

    /// The delay of the next frame.
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
    fn burst_is_paced_and_live_frames_do_not_wait() {
        let mut pace = Pacer::default();
        let mut now = Duration::ZERO;
        // A GOP of 1.2 MB in frames of 24 KB.
        for _ in 0..50 {
            now += pace.wait(now);
            pace.sent(24_000, now);
        }
        assert!(now > Duration::from_millis(170) && now < Duration::from_millis(200), "{now:?}");
        // 20 Mbit/s at 25 frames per second.
        for _ in 0..50 {
            now += Duration::from_millis(40);
            assert_eq!(pace.wait(now), Duration::ZERO);
            pace.sent(100_000, now);
        }
    }

    #[test]
    fn idle_time_adds_no_credit() {
        let mut pace = Pacer::default();
        let now = Duration::from_secs(60);
        pace.sent(BURST as usize + 6_000, now);
        assert_eq!(pace.wait(now).as_micros(), 1000);
    }
}
