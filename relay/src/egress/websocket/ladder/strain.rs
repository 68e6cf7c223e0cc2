//! Whether a link carries what is sent over it.
//!
//! A link that is too slow delivers, but later and later. One that stands still for a while delivers everything soon
//! after; one that catches up delivers later than it should, but less and less so. Only the first is strained.

use std::time::Duration;

/// The delay from which a link may be strained. A key frame takes as long on a link that is just fast enough; mobile
/// links jitter by less.
pub(super) const LATE: Duration = Duration::from_millis(250);
/// An acknowledgement tells of so much time at most.
const FEEDBACK_MAX: Duration = Duration::from_millis(500);
/// What a viewer gets to catch up who has just come, or come back: the GOP so far goes out at once.
const SETTLE: Duration = Duration::from_secs(1);
/// By how much the delay must become less to count as less, in seconds a second.
const DRAIN: f64 = 0.1;
/// What does not become little in this time, longer than the GOP of our encodes, does not drain: the next key frame undoes
/// it.
const DRAIN_MAX: Duration = Duration::from_millis(1500);
/// Strain that a second without any takes away, in seconds: the key frame of each GOP may strain a link for a third of
/// the time.
const RELIEF: f64 = 0.5;

/// Acknowledgements in a row that tell of a delay.
#[derive(Debug, Clone, Copy)]
struct Row {
    since: Duration,
    /// The longest delay of them, and when that was.
    peak: Duration,
    peaked: Duration,
}

/// For how long a link has been strained.
#[derive(Debug, Default)]
pub(super) struct Strain {
    /// When what is sent began, or went on.
    began: Duration,
    heard: Duration,
    row: Option<Row>,
    sum: Duration,
}

impl Strain {
    /// What is sent begins, or goes on: nothing that was before counts.
    pub(super) fn began(now: Duration) -> Self {
        Self { began: now, heard: now, row: None, sum: Duration::ZERO }
    }

    /// Something was acknowledged that came late by `delay`; returns for how long the link has been strained.
    pub(super) fn feedback(&mut self, delay: Duration, now: Duration) -> Duration {
        let since = now.saturating_sub(self.heard).min(FEEDBACK_MAX);
        self.heard = now;
        let settled = now.saturating_sub(self.began) >= SETTLE;
        if delay < LATE {
            self.row = None;
            self.sum = self.sum.saturating_sub(since.mul_f64(RELIEF));
        } else if let Some(row) = &mut self.row {
            if !row.drains(delay, now) && settled {
                self.sum += since;
            }
        } else {
            // The first of a row says nothing: what waited while the link stood still may go at once now.
            self.row = Some(Row { since: now, peak: delay, peaked: now });
        }
        self.sum
    }
}

impl Row {
    /// Whether the delay becomes less, and soon enough: then the link carries the stream and is only catching up.
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

    /// The strain after acknowledgements every 50 ms for two seconds, that came late by `delay` of the millisecond.
    fn strain(delay: impl Fn(u64) -> u64) -> Duration {
        let mut strain = Strain::began(ms(0));
        let late = |now| strain.feedback(ms(delay(now)), ms(now));
        (2000..=4000).step_by(50).map(late).last().unwrap_or_default()
    }

    #[test]
    fn a_link_that_delivers_later_and_later_is_strained() {
        assert!(strain(|now| 300 + (now - 2000) / 2) > ms(1900));
        assert!(strain(|_| 300) > ms(1900), "or not less late");
        assert_eq!(strain(|_| 249), ms(0));
    }

    #[test]
    fn one_that_catches_up_is_not_but_must_do_so_soon() {
        assert_eq!(strain(|now| 700_u64.saturating_sub((now - 2000) / 2)), ms(0), "half a second each second");
        let slow = strain(|now| 700 - (now - 2000) / 5);
        assert!((ms(500)..ms(600)).contains(&slow), "{slow:?}: after a second and a half it is");
    }

    #[test]
    fn a_key_frame_each_second_is_not_strain_and_a_longer_one_is() {
        let key = |length: u64| strain(move |now| if now % 1000 < length { 300 } else { 0 });
        assert!(key(300) < ms(250));
        assert!(key(700) > ms(900));
    }

    #[test]
    fn a_viewer_that_has_just_come_may_be_late() {
        let mut strain = Strain::began(ms(0));
        let sums: Vec<_> = (1..=30).map(|n| strain.feedback(ms(900), ms(n * 50))).collect();
        assert_eq!(sums[18], ms(0));
        assert_eq!(sums[29], ms(550));
        assert_eq!(strain.feedback(ms(900), ms(60_000)), ms(1050), "a long silence is not a long strain");
    }
}
