//! Tells a camera's clock that counts something else than time, and uses arrival times in its place.
//!
//! RTP timestamps of video count ticks of 90 kHz (RFC 6184, section 8.2.1). Some cameras count milliseconds, or ticks at another
//! rate, or nothing. Players then show a frame for too long or too short a time, and lag or starve.
//!
//! The clock's progress is compared with that of arrivals in windows of [`WINDOW`]. A stalled network makes one window slow and
//! the next one fast, and a stored GOP makes the first one fast. So a clock is wrong after [`WRONG_WINDOWS`] windows in a row that
//! are all fast or all slow.
//!
//! Pure: timestamps and arrivals in, both in ticks; the timestamp to use out.

use sightline_media::fmp4::writer::TIMESCALE;

/// Longer than most stalls, shorter than a viewer's patience.
const WINDOW: i64 = 2 * TIMESCALE as i64;
/// See the [module](self).
const WRONG_WINDOWS: u32 = 2;
/// How much faster or slower a clock may be: no crystal is that far off, and no unit that near.
const TOLERANCE: f64 = 1.5;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct ClockCheck {
    /// Timestamp and arrival at the start of the window.
    window: Option<(i64, i64)>,
    fast: u32,
    slow: u32,
    is_wrong: bool,
}

impl ClockCheck {
    /// The timestamp to use for a frame.
    pub(super) fn frame(&mut self, timestamp: i64, arrival: i64) -> i64 {
        if self.is_wrong {
            return arrival;
        }
        let (start, began) = *self.window.get_or_insert((timestamp, arrival));
        let (progress, passed) = (timestamp.saturating_sub(start), arrival - began);
        if passed >= WINDOW {
            let rate = progress as f64 / passed as f64;
            // A clock that was set once is another matter.
            let is_set = rate < 0.0 || progress > 100 * WINDOW;
            self.fast = if rate > TOLERANCE && !is_set { self.fast + 1 } else { 0 };
            self.slow = if rate < 1.0 / TOLERANCE && !is_set { self.slow + 1 } else { 0 };
            self.window = Some((timestamp, arrival));
            self.is_wrong = self.fast.max(self.slow) >= WRONG_WINDOWS;
        }
        timestamp
    }

    /// Whether arrival times are used.
    pub(super) fn is_wrong(&self) -> bool {
        self.is_wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = TIMESCALE as i64;
    const FRAME: i64 = SECOND / 25;

    /// Whether a clock is found wrong, by the frames' timestamps and arrivals.
    fn is_wrong(frames: impl IntoIterator<Item = (i64, i64)>) -> bool {
        let mut check = ClockCheck::default();
        frames.into_iter().for_each(|(timestamp, arrival)| _ = check.frame(timestamp, arrival));
        check.is_wrong()
    }

    #[test]
    fn clock_in_another_unit_is_found_within_five_seconds() {
        for ticks in [0, 40, FRAME / 2, 2 * FRAME] {
            let mut check = ClockCheck::default();
            let used: Vec<_> = (0..5 * 25).map(|n| check.frame(7 + n * ticks, n * FRAME)).collect();
            assert_eq!(used[124], 124 * FRAME, "{ticks} ticks a frame");
        }
    }

    #[test]
    fn right_clock_stays_in_use() {
        let right = |n: i64| (n * FRAME, n * FRAME);
        assert!(!is_wrong((0..1000).map(right)));
        // 20 s of stored frames at once.
        assert!(!is_wrong((0..1000).map(|n| (n * FRAME, (n - 500).max(0) * FRAME))), "a burst");
        // Nothing for 7 s, and then all that was sent meanwhile.
        let stalled = |n: i64| (n * FRAME, if (200..375).contains(&n) { 375 * FRAME } else { n * FRAME });
        assert!(!is_wrong((0..1000).map(stalled)), "a stall");
        let set = |n: i64| (if n < 300 { n * FRAME } else { n * FRAME - 3600 * SECOND }, n * FRAME);
        assert!(!is_wrong((0..1000).map(set)), "set back");
        // One frame in five seconds.
        assert!(!is_wrong((0..20).map(|n| (n * 5 * SECOND, n * 5 * SECOND))), "few frames");
    }
}
