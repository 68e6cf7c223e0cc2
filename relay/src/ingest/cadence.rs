//! A timeline for frames that are passed on as soon as they have come.
//!
//! A fragment says how long its frame lasts, which is known when the next one has come: FFmpeg waits for that. Here a
//! frame lasts until the next is expected, and the next begins where this one was said to end, a little before or after
//! the place that the source's clock gives it. So the timeline has neither holes nor overlaps, whatever the source does:
//! browsers drop what follows a hole of more than twice a frame's duration, up to the next key frame (Media Source
//! Extensions, section 3.5.8, "coded frame processing", step 6).
//!
//! A frame that is no more than twice a frame's usual duration out of place, for the camera's clock trembles or one frame
//! was lost, is made good for by the duration of that frame. What is more is a pause, or a clock that was set: it is left
//! out of the timeline, so a player does not have to wait for it or catch up.
//!
//! Times are in ticks of the source's clock. Nothing in here reads a clock.

use std::collections::VecDeque;

use crate::fmp4::writer::TIMESCALE;

/// So many of the newest intervals tell what is usual: two that are not among five do not change it, and a camera that
/// goes from 25 frames a second to 5, as many do when it gets dark, is understood within half a second.
const INTERVALS: usize = 5;
/// Where nothing has been said and seen yet.
const USUAL: i64 = TIMESCALE as i64 / 25;
/// What is longer is no interval between frames: a pause, or a clock that was set.
const INTERVAL_MAX: i64 = 10 * TIMESCALE as i64;
/// A frame that is shown before the one before it is, with B-frames, so much earlier at most.
const REORDERED_MAX: i64 = TIMESCALE as i64;

/// Where a frame lies on the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) duration: u32,
}

/// A frame is to be shown before the one that came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reordered;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Cadence {
    /// What the source has announced.
    announced: Option<i64>,
    intervals: VecDeque<i64>,
    last: Option<i64>,
    /// Where the last frame was said to end.
    end: u64,
    /// What lies between the source's clock and the timeline.
    offset: i64,
}

impl Cadence {
    /// For a source that announces so many frames a second.
    pub(super) fn new(frame_rate: Option<f64>) -> Self {
        let sane = frame_rate.filter(|rate| (0.1..=1000.0).contains(rate));
        Self { announced: sane.map(|rate| (f64::from(TIMESCALE) / rate) as i64), ..Self::default() }
    }

    /// The next frame's timestamp: its place.
    pub(super) fn frame(&mut self, timestamp: i64) -> Result<Place, Reordered> {
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

        let usual = self.usual();
        let start = self.end;
        let mut late = timestamp.saturating_add(self.offset).saturating_sub(start as i64);
        if late.abs() > 2 * usual {
            self.offset = (start as i64).saturating_sub(timestamp);
            late = 0;
        }
        let duration = (usual + late).clamp(usual / 4, 2 * usual).max(1);
        self.end = start + duration as u64;
        Ok(Place { start, duration: duration as u32 })
    }

    /// The median.
    fn usual(&self) -> i64 {
        let mut intervals: Vec<i64> = self.intervals.iter().copied().collect();
        intervals.sort_unstable();
        intervals.get(intervals.len() / 2).copied().or(self.announced).unwrap_or(USUAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: i64 = 3600;

    fn places(cadence: &mut Cadence, timestamps: impl IntoIterator<Item = i64>) -> Vec<Place> {
        timestamps.into_iter().map(|timestamp| cadence.frame(timestamp).unwrap()).collect()
    }

    /// How far each frame is from its place by the source's clock, if the first is right.
    fn errors(timestamps: &[i64]) -> Vec<i64> {
        let placed = places(&mut Cadence::default(), timestamps.iter().copied());
        timestamps
            .iter()
            .zip(placed)
            .map(|(timestamp, place)| place.start as i64 - (timestamp - timestamps[0]))
            .collect()
    }

    #[test]
    fn a_steady_source_keeps_its_times() {
        let timestamps: Vec<i64> = (0..100).map(|n| 1_000_000 + n * FRAME).collect();
        assert!(errors(&timestamps).iter().all(|&error| error == 0));
        let at_50 = places(&mut Cadence::new(Some(50.0)), (0..3).map(|n| n * FRAME / 2));
        assert!(at_50.iter().all(|place| i64::from(place.duration) == FRAME / 2), "as announced: {at_50:?}");
    }

    #[test]
    fn a_clock_that_trembles_moves_no_frame_further_than_that() {
        let timestamps: Vec<i64> = (0..200).map(|n| n * FRAME + (n * 7919 % 13 - 6) * 150).collect();
        assert!(errors(&timestamps).iter().skip(5).all(|error| error.abs() <= 2 * 1800), "{:?}", errors(&timestamps));
    }

    #[test]
    fn a_lost_frame_is_made_good_for_by_the_next() {
        let timestamps: Vec<i64> = (0..60).filter(|&n| n != 20 && n != 40).map(|n| n * FRAME).collect();
        let late: Vec<i64> = errors(&timestamps).into_iter().filter(|&error| error != 0).collect();
        assert_eq!(late, [-FRAME, -FRAME], "the frame after the hole begins where it was expected");
    }

    #[test]
    fn a_pause_is_left_out() {
        let mut cadence = Cadence::default();
        places(&mut cadence, (0..10).map(|n| n * FRAME));
        for begin in [5 * 90_000, 3600 * 90_000, -7 * 90_000] {
            let end = cadence.end;
            let after = places(&mut cadence, (0..10).map(|n| begin + n * FRAME));
            assert_eq!(after[0].start, end);
            assert_eq!(cadence.end - end, 10 * FRAME as u64, "and nothing is made good for: {after:?}");
        }
    }

    #[test]
    fn another_frame_rate_is_understood_within_half_a_dozen_frames() {
        for (before, after) in [(FRAME, 5 * FRAME), (5 * FRAME, FRAME), (FRAME, 2 * FRAME)] {
            let mut cadence = Cadence::default();
            places(&mut cadence, (0..20).map(|n| n * before));
            let changed = places(&mut cadence, (0..20).map(|n| 19 * before + (n + 1) * after));
            assert!(
                changed[8..].iter().all(|place| i64::from(place.duration) == after),
                "{before} {after}: {changed:?}"
            );
        }
    }

    #[test]
    fn a_frame_that_is_shown_before_the_last_one_is_told() {
        let mut cadence = Cadence::default();
        places(&mut cadence, [0, FRAME, 2 * FRAME]);
        assert_eq!(cadence.frame(FRAME), Err(Reordered));
        assert!(cadence.frame(3 * FRAME).is_ok());
        assert!(cadence.frame(3 * FRAME).is_ok(), "two of the same time are not");
    }

    proptest! {
        /// Whatever the source's clock says.
        #[test]
        fn there_are_no_holes_and_no_overlaps(steps in prop::collection::vec(
            prop_oneof![5 => 1i64..20_000, 1 => any::<i64>(), 1 => Just(0i64)], 1..200,
        )) {
            let (mut cadence, mut timestamp, mut end) = (Cadence::default(), 0i64, 0);
            for step in steps {
                timestamp = timestamp.saturating_add(step);
                let Ok(place) = cadence.frame(timestamp) else { continue };
                prop_assert_eq!(place.start, end);
                prop_assert!(place.duration > 0);
                prop_assert!(i64::from(place.duration) <= 2 * INTERVAL_MAX);
                end = place.start + u64::from(place.duration);
            }
        }
    }
}
