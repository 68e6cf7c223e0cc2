//! How often a viewer may say something: so many messages a second, and what two seconds have at once. Pure.

use std::time::Duration;

/// Of the messages of how many seconds may come at once: a link that stood still lets go of what waited.
const BURST_SECONDS: f64 = 2.0;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    left: f64,
    /// Since the socket opened.
    at: Duration,
}

impl Rate {
    pub(super) fn new(per_second: usize) -> Self {
        let per_second = per_second as f64;
        Self { per_second, left: per_second * BURST_SECONDS, at: Duration::ZERO }
    }

    /// Whether one more may come at the time `now`.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        let earned = now.saturating_sub(self.at).as_secs_f64() * self.per_second;
        self.left = (self.left + earned).min(self.per_second * BURST_SECONDS);
        self.at = now;
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let mut rate = Rate::new(100);
        assert_eq!((0..300).filter(|_| rate.allows(Duration::ZERO)).count(), 200);
        assert!(rate.allows(Duration::from_millis(11)));
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_one_burst_pass(waits in proptest::collection::vec(0u64..40, 1..500)) {
            let (mut rate, mut now, mut passed) = (Rate::new(50), Duration::ZERO, 0.0);
            for wait in waits {
                now += Duration::from_millis(wait);
                passed += f64::from(u8::from(rate.allows(now)));
                prop_assert!(passed <= 50.0 * (now.as_secs_f64() + BURST_SECONDS) + 1e-6);
            }
        }
    }
}
