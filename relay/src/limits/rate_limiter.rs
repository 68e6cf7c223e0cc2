//! Limits what a client sends per second, in requests, messages or bytes, with a burst on top. Pure.

use std::time::Duration;

/// A token bucket.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    per_second: f64,
    burst: f64,
    left: f64,
    /// Time of the last update, since any fixed point.
    at: Duration,
}

impl RateLimiter {
    pub(crate) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, left: burst, at: Duration::ZERO }
    }

    /// Takes `count` tokens at `now`. False if there are fewer.
    pub(crate) fn allows(&mut self, count: f64, now: Duration) -> bool {
        self.earn(now);
        let allowed = self.left >= count;
        if allowed {
            self.left -= count;
        }
        allowed
    }

    /// Takes `count` tokens at `now`, on credit where there are fewer. Returns the time until the debt is earned.
    pub(crate) fn takes(&mut self, count: f64, now: Duration) -> Duration {
        self.earn(now);
        self.left -= count;
        Duration::from_secs_f64((-self.left).max(0.0) / self.per_second)
    }

    fn earn(&mut self, now: Duration) {
        let earned = now.saturating_sub(self.at).as_secs_f64() * self.per_second;
        self.left = (self.left + earned).min(self.burst);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn burst_passes_and_flood_is_refused() {
        let mut rate = RateLimiter::new(100.0, 200.0);
        assert_eq!((0..300).filter(|_| rate.allows(1.0, Duration::ZERO)).count(), 200);
        assert!(rate.allows(1.0, Duration::from_millis(11)));
    }

    #[test]
    fn tokens_on_credit_are_earned_before_the_next() {
        let mut rate = RateLimiter::new(100.0, 200.0);
        assert_eq!(rate.takes(200.0, Duration::ZERO), Duration::ZERO);
        assert_eq!(rate.takes(50.0, Duration::ZERO), Duration::from_millis(500));
        assert!(!rate.allows(1.0, Duration::from_millis(500)) && rate.allows(1.0, Duration::from_millis(511)));
    }

    proptest! {
        #[test]
        fn rate_and_one_burst_bound_the_passed_messages(waits in proptest::collection::vec(0u64..40, 1..500)) {
            let (mut rate, mut now, mut passed) = (RateLimiter::new(50.0, 100.0), Duration::ZERO, 0.0);
            for wait in waits {
                now += Duration::from_millis(wait);
                passed += f64::from(u8::from(rate.allows(1.0, now)));
                prop_assert!(passed <= 50.0 * now.as_secs_f64() + 100.0 + 1e-6);
            }
        }
    }
}
