//! Decides the delay before a new connection: none after a session that worked, then growing and jittered.

/// The delay after the first failed retry.
const BASE_MS: f64 = 500.0;
/// The longest delay. With jitter, connection time and the first frame, it ends within 8 s: the time in which a recovered relay
/// or network must be noticed.
const MAX_MS: f64 = 4_000.0;
/// A session that lived this long counts as a success. Counting from the socket's opening would flood a relay that accepts
/// connections and drops them.
const SUCCESS_MS: f64 = 5_000.0;
/// Jitter, as a fraction of the delay either way, so that viewers do not reconnect in step.
const JITTER: f64 = 0.3;

/// Counts failures and computes the next delay.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Returns the delay in milliseconds after a session of `lived_ms` (zero if it never opened).
    ///
    /// `random` is uniform in `[0, 1)`.
    pub fn after(&mut self, lived_ms: f64, random: f64) -> f64 {
        if lived_ms >= SUCCESS_MS {
            self.failures = 0;
        }
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        match failures {
            0 => 0.0,
            // The exponent is bounded first; the delay reaches its limit long before that bound.
            n => {
                let wait = (BASE_MS * f64::powi(2.0, n.min(16) as i32 - 1)).min(MAX_MS);
                wait * (1.0 - JITTER + 2.0 * JITTER * random)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    #[test]
    fn first_retry_is_immediate_and_the_delay_grows_to_a_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after(0.0, MIDDLE)).collect();
        assert_eq!(waits, [0.0, 500.0, 1000.0, 2000.0, 4000.0, 4000.0, 4000.0, 4000.0]);
    }

    #[test]
    fn only_a_long_session_resets_the_backoff() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            backoff.after(0.0, MIDDLE);
        }
        assert_eq!(backoff.after(SUCCESS_MS - 1.0, MIDDLE), 4000.0, "accepted and dropped is not a success");
        assert_eq!(backoff.after(SUCCESS_MS, MIDDLE), 0.0);
        assert_eq!(backoff.after(0.0, MIDDLE), 500.0);
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        for random in [0.0, 0.25, 0.999] {
            let mut backoff = Backoff { failures: 2 };
            let wait = backoff.after(0.0, random);
            assert!((700.0..1300.0).contains(&wait), "{wait}");
        }
        assert!(Backoff { failures: u32::MAX }.after(0.0, 0.0).is_finite());
    }
}
