//! Delays between attempts at something that may be down: doubling, capped and jittered, so that clients do not return in step.
//! Pure.

use std::time::Duration;

/// How the delays of a [`Backoff`] grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffPolicy {
    /// Whether the first attempt after a success is immediate.
    pub immediate: bool,
    /// The first delay.
    pub first: Duration,
    /// The longest delay, before jitter.
    pub max: Duration,
    /// The smallest and the largest factor of a delay.
    pub jitter: (f64, f64),
    /// An attempt that worked this long counts as a success.
    pub healthy: Duration,
}

/// Counts failures and computes the next delay.
#[derive(Debug, Clone)]
pub struct Backoff {
    policy: BackoffPolicy,
    failures: u32,
}

impl Backoff {
    /// A backoff without failures.
    pub const fn new(policy: BackoffPolicy) -> Self {
        Self { policy, failures: 0 }
    }

    /// Forgets all failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The delay after an attempt that worked for `worked`. `random` is uniform in `[0, 1]`.
    pub fn after(&mut self, worked: Duration, random: f64) -> Duration {
        let BackoffPolicy { immediate, first, max, jitter: (least, most), healthy } = self.policy;
        if worked >= healthy {
            self.failures = 0;
        }
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        let Some(doublings) = failures.checked_sub(immediate.into()) else {
            return Duration::ZERO;
        };
        let full = first.saturating_mul(2u32.saturating_pow(doublings)).min(max);
        full.mul_f64(least + (most - least) * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEALTHY: Duration = Duration::from_secs(5);
    const POLICY: BackoffPolicy = BackoffPolicy {
        immediate: false,
        first: Duration::from_millis(500),
        max: Duration::from_secs(6),
        jitter: (0.5, 1.0),
        healthy: HEALTHY,
    };
    const IMMEDIATE: BackoffPolicy = BackoffPolicy { immediate: true, jitter: (0.7, 1.3), ..POLICY };

    #[test]
    fn delay_doubles_to_the_cap() {
        let delays = |policy, random| {
            let mut backoff = Backoff::new(policy);
            [(); 7].map(|()| backoff.after(Duration::ZERO, random).as_millis())
        };
        assert_eq!(delays(POLICY, 1.0), [500, 1000, 2000, 4000, 6000, 6000, 6000]);
        assert_eq!(delays(IMMEDIATE, 0.5), [0, 500, 1000, 2000, 4000, 6000, 6000]);
    }

    #[test]
    fn only_an_attempt_that_worked_long_enough_resets_the_delay() {
        let mut backoff = Backoff { failures: 3, ..Backoff::new(POLICY) };
        assert_eq!(backoff.after(HEALTHY - Duration::from_millis(1), 1.0).as_millis(), 4000);
        assert_eq!(backoff.after(HEALTHY, 1.0).as_millis(), 500);
        backoff.reset();
        assert_eq!(backoff.after(Duration::ZERO, 1.0).as_millis(), 500);
    }

    proptest! {
        #[test]
        fn delay_stays_within_jitter_and_cap(failures in 1u32.., random in 0.0f64..=1.0) {
            for policy in [POLICY, IMMEDIATE] {
                let delay = Backoff { policy, failures }.after(Duration::ZERO, random);
                let (least, most) = policy.jitter;
                prop_assert!(delay >= policy.first.mul_f64(least) && delay <= policy.max.mul_f64(most), "{:?}", delay);
            }
        }
    }
}
