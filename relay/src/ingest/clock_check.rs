//! Detects a camera with an RTP clock that does not measure time, and substitutes arrival times.
//!
//! RTP timestamps of video count ticks of 90 kHz (RFC 6184, section 8.2.1). Some cameras count milliseconds, or ticks at another
//! rate, or nothing. Players then show a frame for too long or too short a time, and lag or starve.
//!
//! The clock's progress is compared with that of arrivals in windows of [`WINDOW`].
//!
//! - With a slow clock, a window's timestamps imply more frames a second than any camera sends. It is wrong after
//!   [`IMPOSSIBLE_WINDOWS`] in a row.
//! - A fast clock gets ahead of arrivals. Frames that a network has stored only make up for a delay. It is wrong after
//!   [`FAST_WINDOWS`] in a row, if it has been fast from the first frame on.
//! - A slow clock at a usual frame rate looks like a slow network. It is wrong after [`SLOW_WINDOWS`] in a row: neither camera nor
//!   network stores as much.
//!
//! Pure: timestamps and arrivals in, both in ticks; the timestamp to use out.

use sightline_media::fmp4::writer::TIMESCALE;

/// Longer than most stalls, shorter than a viewer's patience.
const WINDOW: i64 = 2 * TIMESCALE as i64;
/// See the [module](self).
const IMPOSSIBLE_WINDOWS: u32 = 2;
/// See the [module](self).
const FAST_WINDOWS: u32 = 2;
/// See the [module](self): half a minute.
const SLOW_WINDOWS: u32 = 15;
/// Frames in a second, of a camera.
const FRAMES_PER_SECOND: f64 = 240.0;
/// How much faster or slower a clock may be: no crystal is that far off, and no unit that near.
const TOLERANCE: f64 = 1.5;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct ClockCheck {
    /// Timestamp and arrival of the first frame.
    first: Option<(i64, i64)>,
    /// Timestamp and arrival at the start of the window.
    window: Option<(i64, i64)>,
    /// Frames since then.
    frames: u32,
    /// Windows in a row.
    impossible: u32,
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
        let first = *self.first.get_or_insert((timestamp, arrival));
        self.frames += 1;
        if passed >= WINDOW {
            let rate = progress as f64 / passed as f64;
            // The camera has set its clock, which the frame timer handles.
            let is_set = rate < 0.0 || progress > 100 * WINDOW;
            let (fast, slow) = (rate > TOLERANCE && !is_set, rate < 1.0 / TOLERANCE && !is_set);
            let seconds = progress as f64 / f64::from(TIMESCALE);
            let count = |counts: bool, windows: u32| if counts { windows + 1 } else { 0 };
            self.impossible = count(slow && f64::from(self.frames) > FRAMES_PER_SECOND * seconds, self.impossible);
            (self.fast, self.slow) = (count(fast, self.fast), count(slow, self.slow));
            (self.window, self.frames) = (Some((timestamp, arrival)), 0);
            let ahead = timestamp.saturating_sub(first.0) as f64 > TOLERANCE * (arrival - first.1) as f64;
            self.is_wrong = self.impossible >= IMPOSSIBLE_WINDOWS
                || self.fast >= FAST_WINDOWS && ahead
                || self.slow >= SLOW_WINDOWS;
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
    fn clock_in_another_unit_is_found_in_time() {
        for (ticks, seconds) in [(0, 5), (40, 5), (FRAME / 2, 35), (2 * FRAME, 5)] {
            let mut check = ClockCheck::default();
            let used = (0..seconds * 25).map(|n| check.frame(7 + n * ticks, n * FRAME)).last();
            assert_eq!(used, Some((seconds * 25 - 1) * FRAME), "{ticks} ticks a frame");
        }
    }

    #[test]
    fn slow_network_is_no_wrong_clock() {
        // Half the throughput for 20 s, then all that was stored at four times the rate.
        let arrival = |n: i64| match n {
            ..200 => n * FRAME,
            200..450 => 200 * FRAME + 2 * (n - 200) * FRAME,
            _ => n.max(700 + (n - 450) / 4) * FRAME,
        };
        assert!(!is_wrong((0..2000).map(|n| (n * FRAME, arrival(n)))));
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
