//! Detects a congested link: one that does not carry what is sent over it.
//!
//! Delays grow steadily on a link that is too slow. After a stall, everything arrives soon; while a link catches up, delays are
//! long but shrink. Only the first case is congestion.

use std::time::Duration;

/// The delay from which a link may be congested. A key frame takes as long on a link that is just fast enough; mobile links
/// have less jitter.
pub(super) const LATE: Duration = Duration::from_millis(250);
/// Maximum time that one acknowledgement accounts for.
const FEEDBACK_MAX: Duration = Duration::from_millis(500);
/// Time for a new or returning viewer to catch up: the GOP so far is sent at once.
const SETTLE: Duration = Duration::from_secs(1);
/// Rate by which the delay must shrink to count as draining, in seconds per second.
const DRAIN: f64 = 0.1;
/// A delay that takes longer than this to drain does not drain: the next key frame would undo it. Longer than the GOP of the
/// relay's encoders.
const DRAIN_MAX: Duration = Duration::from_millis(1500);
/// Relief in seconds per second without congestion. A key frame may thus congest a link for a third of each GOP.
const RELIEF: f64 = 0.5;

/// Consecutive acknowledgements with a delay.
#[derive(Debug, Clone, Copy)]
struct Row {
    since: Duration,
    /// The longest delay and its time.
    peak: Duration,
    peaked: Duration,
}

/// The accumulated time of congestion.
#[derive(Debug, Default)]
pub(super) struct CongestionDetector {
    /// The time at which sending started or resumed.
    began: Duration,
    last_feedback: Duration,
    row: Option<Row>,
    sum: Duration,
}

impl CongestionDetector {
    /// Restarts the measurement at the start or resumption of sending.
    pub(super) fn began(now: Duration) -> Self {
        Self { began: now, last_feedback: now, row: None, sum: Duration::ZERO }
    }

    /// Records an acknowledgement that was late by `delay`. Returns the accumulated congestion.
    pub(super) fn feedback(&mut self, delay: Duration, now: Duration) -> Duration {
        let since = now.saturating_sub(self.last_feedback).min(FEEDBACK_MAX);
        self.last_feedback = now;
        let settled = now.saturating_sub(self.began) >= SETTLE;
        if delay < LATE {
            self.row = None;
            self.sum = self.sum.saturating_sub(since.mul_f64(RELIEF));
        } else if let Some(row) = &mut self.row {
            if !row.drains(delay, now) && settled {
                self.sum += since;
            }
        } else {
            // The first late acknowledgement proves nothing: a stall may just have ended.
            self.row = Some(Row { since: now, peak: delay, peaked: now });
        }
        self.sum
    }
}

impl Row {
    /// Whether the delay shrinks fast enough: then the link carries the stream and is catching up.
    fn drains(&mut self, delay: Duration, now: Duration) -> bool {
        if delay >= self.peak {
            (self.peak, self.peaked) = (delay, now);
        }
        let expected = now.saturating_sub(self.peaked).mul_f64(DRAIN);
        delay + expected < self.peak && now.saturating_sub(self.since) < DRAIN_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The congestion after late acknowledgements every 50 ms for two seconds. `delay` maps a time to the delay, in ms.
    fn congestion(delay: impl Fn(u64) -> u64) -> Duration {
        let mut congestion = CongestionDetector::began(ms(0));
        let late = |now| congestion.feedback(ms(delay(now)), ms(now));
        (2000..=4000).step_by(50).map(late).last().unwrap_or_default()
    }

    #[test]
    fn growing_delay_is_congestion() {
        assert!(congestion(|now| 300 + (now - 2000) / 2) > ms(1900));
        assert!(congestion(|_| 300) > ms(1900), "or not less late");
        assert_eq!(congestion(|_| 249), ms(0));
    }

    #[test]
    fn draining_delay_is_not_congestion_unless_slow() {
        assert_eq!(congestion(|now| 700_u64.saturating_sub((now - 2000) / 2)), ms(0), "half a second each second");
        let slow = congestion(|now| 700 - (now - 2000) / 5);
        assert!((ms(500)..ms(600)).contains(&slow), "{slow:?}: after a second and a half it is");
    }

    #[test]
    fn one_key_frame_per_second_is_not_congestion_unless_long() {
        let key = |length: u64| congestion(move |now| if now % 1000 < length { 300 } else { 0 });
        assert!(key(300) < ms(250));
        assert!(key(700) > ms(900));
    }

    #[test]
    fn new_viewer_may_be_late() {
        let mut congestion = CongestionDetector::began(ms(0));
        let sums: Vec<_> = (1..=30).map(|n| congestion.feedback(ms(900), ms(n * 50))).collect();
        assert_eq!(sums[18], ms(0));
        assert_eq!(sums[29], ms(550));
        assert_eq!(congestion.feedback(ms(900), ms(60_000)), ms(1050), "silence is not congestion");
    }
}
