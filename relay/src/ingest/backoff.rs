//! How long to wait before a source is tried again: doubling, capped, and spread so that the cameras of a site that
//! lost its power do not all come back in the same second.

use std::time::Duration;

/// The first wait. A camera that hiccups is back within a blink.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait: a technician at the camera waits for its video.
const LONGEST: Duration = Duration::from_secs(15);
/// A source that played this long was healthy, and starts over with the shortest wait.
const HEALTHY: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after an attempt that played for `played`. `spread` from 0 to 1 places it between half and all of the
    /// full wait.
    pub fn after(&mut self, played: Duration, spread: f64) -> Duration {
        if played >= HEALTHY {
            self.failures = 0;
        }
        let full = FIRST.saturating_mul(2u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delay_doubles_to_the_cap_and_resets_after_health() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..8).map(|_| backoff.after(Duration::ZERO, 1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert_eq!(backoff.after(HEALTHY, 1.0), FIRST);
    }

    proptest! {
        #[test]
        fn delay_is_never_zero_or_over_the_cap(failures: u32, spread in 0.0f64..=1.0) {
            let wait = Backoff { failures }.after(Duration::ZERO, spread);
            prop_assert!(wait >= FIRST / 2 && wait <= LONGEST);
        }
    }
}
