//! Assigns decode times and durations to live frames without waiting for the next frame.
//!
//! fMP4 needs each sample's duration, which is only known once the next frame arrives; FFmpeg therefore delays every frame by
//! one interval. [`FrameTimer`] predicts the duration from recent intervals instead and keeps the timeline contiguous: each
//! frame starts exactly where the previous one was predicted to end.
//!
//! - Prediction error (jitter, a lost frame) of up to two intervals is corrected by stretching or shortening the current frame.
//! - A larger error is a discontinuity (pause, clock change); the timer re-anchors and inserts no gap.
//! - A gap would make MSE drop frames until the next key frame (MSE, section 3.5.8, coded frame processing, step 6).
//!
//! Input and output are in ticks of the source's RTP clock. Pure: reads no clock.

use std::collections::VecDeque;

use sightline_media::fmp4::writer::TIMESCALE;

/// The number of recent intervals. Their median predicts the next. Two outliers among five do not change it. A camera that drops
/// from 25 to 5 frames a second at dusk is followed within half a second.
const INTERVALS: usize = 5;
/// Used until the source has announced a frame rate or sent two frames.
const DEFAULT_INTERVAL: i64 = TIMESCALE as i64 / 25;
/// Longer gaps between timestamps are a pause or a clock change, not an interval.
const INTERVAL_MAX: i64 = 10 * TIMESCALE as i64;
/// A timestamp that goes back by at most this is a B-frame's; further back, the clock was set.
const REORDERED_MAX: i64 = TIMESCALE as i64;

/// The decode time and duration of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameTiming {
    pub(super) start: u64,
    pub(super) duration: u32,
}

/// The frame is displayed before the previous one: the stream has B-frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reordered;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct FrameTimer {
    /// The interval that the source announced.
    announced: Option<i64>,
    intervals: VecDeque<i64>,
    last: Option<i64>,
    /// The predicted end of the last frame.
    end: u64,
    /// Timeline minus the source's clock.
    offset: i64,
}

impl FrameTimer {
    /// A timer for a source that announces `frame_rate`, in frames per second.
    pub(super) fn new(frame_rate: Option<f64>) -> Self {
        let sane = frame_rate.filter(|rate| (0.1..=1000.0).contains(rate));
        Self { announced: sane.map(|rate| (f64::from(TIMESCALE) / rate) as i64), ..Self::default() }
    }

    /// Times the next frame.
    pub(super) fn frame(&mut self, timestamp: i64) -> Result<FrameTiming, Reordered> {
        if let Some(last) = self.last {
            let interval = timestamp.saturating_sub(last);
            if (-REORDERED_MAX..0).contains(&interval) {
                return Err(Reordered);
            }
            if (1..=INTERVAL_MAX).contains(&interval) {
                self.intervals.truncate(INTERVALS - 1);
                self.intervals.push_front(interval);
            }
        }
        self.last = Some(timestamp);

        let interval = self.interval();
        let start = self.end;
        let mut late = timestamp.saturating_add(self.offset).saturating_sub(start as i64);
        if late.abs() > 2 * interval {
            self.offset = (start as i64).saturating_sub(timestamp);
            late = 0;
        }
        let duration = (interval + late).clamp(interval / 4, 2 * interval).max(1);
        self.end = start + duration as u64;
        Ok(FrameTiming { start, duration: duration as u32 })
    }

    /// The timeline minus the source's clock, in ticks.
    pub(super) fn offset(&self) -> i64 {
        self.offset
    }

    /// The median of the recent intervals.
    fn interval(&self) -> i64 {
        let mut intervals: Vec<i64> = self.intervals.iter().copied().collect();
        intervals.sort_unstable();
        intervals.get(intervals.len() / 2).copied().or(self.announced).unwrap_or(DEFAULT_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: i64 = 3600;

    fn timings(timer: &mut FrameTimer, timestamps: impl IntoIterator<Item = i64>) -> Vec<FrameTiming> {
        timestamps.into_iter().map(|timestamp| timer.frame(timestamp).unwrap()).collect()
    }

    /// How far each frame is from its time by the source's clock, if the first is right.
    fn errors(timestamps: &[i64]) -> Vec<i64> {
        let placed = timings(&mut FrameTimer::default(), timestamps.iter().copied());
        timestamps
            .iter()
            .zip(placed)
            .map(|(timestamp, timing)| timing.start as i64 - (timestamp - timestamps[0]))
            .collect()
    }

    #[test]
    fn steady_source_keeps_its_times() {
        let timestamps: Vec<i64> = (0..100).map(|n| 1_000_000 + n * FRAME).collect();
        assert!(errors(&timestamps).iter().all(|&error| error == 0));
        let at_50 = timings(&mut FrameTimer::new(Some(50.0)), (0..3).map(|n| n * FRAME / 2));
        assert!(at_50.iter().all(|timing| i64::from(timing.duration) == FRAME / 2), "as announced: {at_50:?}");
    }

    #[test]
    fn jitter_shifts_frames_by_at_most_the_jitter() {
        let timestamps: Vec<i64> = (0..200).map(|n| n * FRAME + (n * 7919 % 13 - 6) * 150).collect();
        assert!(errors(&timestamps).iter().skip(5).all(|error| error.abs() <= 2 * 1800), "{:?}", errors(&timestamps));
    }

    #[test]
    fn lost_frame_is_absorbed_within_one_frame() {
        let timestamps: Vec<i64> = (0..60).filter(|&n| n != 20 && n != 40).map(|n| n * FRAME).collect();
        let late: Vec<i64> = errors(&timestamps).into_iter().filter(|&error| error != 0).collect();
        assert_eq!(late, [-FRAME, -FRAME], "the frame after the hole begins where it was expected");
    }

    #[test]
    fn pause_creates_no_gap() {
        let mut timer = FrameTimer::default();
        timings(&mut timer, (0..10).map(|n| n * FRAME));
        for begin in [5 * 90_000, 3600 * 90_000, -7 * 90_000] {
            let end = timer.end;
            let after = timings(&mut timer, (0..10).map(|n| begin + n * FRAME));
            assert_eq!(after[0].start, end);
            assert_eq!(timer.end - end, 10 * FRAME as u64, "and nothing is made good for: {after:?}");
        }
    }

    #[test]
    fn changed_frame_rate_is_followed_within_six_frames() {
        for (before, after) in [(FRAME, 5 * FRAME), (5 * FRAME, FRAME), (FRAME, 2 * FRAME)] {
            let mut timer = FrameTimer::default();
            timings(&mut timer, (0..20).map(|n| n * before));
            let changed = timings(&mut timer, (0..20).map(|n| 19 * before + (n + 1) * after));
            assert!(
                changed[8..].iter().all(|timing| i64::from(timing.duration) == after),
                "{before} {after}: {changed:?}"
            );
        }
    }

    #[test]
    fn b_frame_is_an_error() {
        let mut timer = FrameTimer::default();
        timings(&mut timer, [0, FRAME, 2 * FRAME]);
        assert_eq!(timer.frame(FRAME), Err(Reordered));
        assert!(timer.frame(3 * FRAME).is_ok());
        assert!(timer.frame(3 * FRAME).is_ok(), "two of the same time are not");
    }

    proptest! {
        /// Whatever the source's clock says.
        #[test]
        fn timeline_is_contiguous(steps in prop::collection::vec(
            prop_oneof![5 => 1i64..20_000, 1 => any::<i64>(), 1 => Just(0i64)], 1..200,
        )) {
            let (mut timer, mut timestamp, mut end) = (FrameTimer::default(), 0i64, 0);
            for step in steps {
                timestamp = timestamp.saturating_add(step);
                let Ok(timing) = timer.frame(timestamp) else { continue };
                prop_assert_eq!(timing.start, end);
                prop_assert!(timing.duration > 0);
                prop_assert!(i64::from(timing.duration) <= 2 * INTERVAL_MAX);
                end = timing.start + u64::from(timing.duration);
            }
        }
    }
}
