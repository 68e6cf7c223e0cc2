//! The constants of a playlist: the maximum durations of segments and parts (RFC 8216bis, sections 4.4.3.1 and 4.4.3.7). They
//! are derived from the first seconds of media.

/// Nominal duration of a part in seconds: short for low latency, long enough to limit the number of requests.
const PART: f64 = 0.2;
/// Tolerance for uneven frame times. Parts of the same number of frames may last from 0.92 to 1.08 of the nominal duration. All
/// but the last of a segment then last more than 85 % of the part target, as section 4.4.4.9 requires.
const UNEVEN: f64 = 1.08;
/// Target duration of a source with a long first segment: most of these have 10 s between key frames.
const LONG: u32 = 10;
/// Minimum target duration. A GOP of 1.5 s would violate 1 s, and clients would reload twice as often.
const SHORTEST: u32 = 2;

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TargetDurations {
    /// Target duration in whole seconds. Grows if a segment is longer, contrary to the specification: a camera with a new GOP
    /// length must not be lost for it.
    pub(super) target_duration: u32,
    /// Part target in seconds, a multiple of a millisecond.
    pub(super) part_target: f64,
}

impl TargetDurations {
    /// The target durations for frames of these durations and a first segment of this duration, if it has ended.
    pub(super) fn of(frames: &[f64], segment: Option<f64>) -> Self {
        let mut sorted = frames.to_vec();
        sorted.sort_by(f64::total_cmp);
        // The median: the first timestamps of an RTSP session are often bunched.
        let frame = sorted.get(sorted.len() / 2).copied().filter(|frame| *frame > 0.0).unwrap_or(PART);
        let part = (PART / frame).round().max(1.0) * frame;
        let part_target = (part * UNEVEN * 1e3).round() / 1e3;
        let target_duration = segment.map_or(LONG, target_for).max(target_for(part_target)).max(SHORTEST);
        Self { target_duration, part_target }
    }

    /// The target durations of a rendition with frames of this duration that follows one with this target duration.
    pub(super) fn following(target_duration: u32, frame: f64) -> Self {
        let own = Self::of(&[frame], Some(0.0));
        Self { target_duration: own.target_duration.max(target_duration), ..own }
    }

    /// Raises the target duration if a segment exceeds it.
    pub(super) fn fit(&mut self, segment: f64) {
        if segment.round() > f64::from(self.target_duration) {
            self.target_duration = target_for(segment);
        }
    }

    /// Distance of a player from the newest part: one part is being made, one is in flight, two are buffered. Section 4.4.3.8
    /// requires at least three.
    pub(super) fn part_hold_back(&self) -> f64 {
        self.part_target * 4.0
    }

    /// Distance from the end beyond which a delta update skips segments; section 4.4.3.8 requires at least six target
    /// durations.
    pub(super) fn can_skip_until(&self) -> f64 {
        f64::from(self.target_duration) * 6.0
    }

    /// Duration of the listed segments: one more than a delta update must contain.
    pub(super) fn listed(&self) -> f64 {
        f64::from(self.target_duration) * 7.0
    }

    /// Duration of the kept segments: one target duration more than the playlist, for players with a slightly older one.
    /// Section 6.2.2 requires a playlist's length more, which would double the memory for players that are much later than the
    /// playlist allows.
    pub(super) fn kept(&self) -> f64 {
        f64::from(self.target_duration) * 8.0
    }
}

/// A segment rounded to the nearest second must not exceed the target duration (section 4.4.3.1). The margin for jitter is
/// nearly half a second for a GOP of whole seconds, and at least 0.2 s for others.
fn target_for(duration: f64) -> u32 {
    (duration - 0.3).ceil().max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(frames_a_second: f64, segment: f64) -> TargetDurations {
        TargetDurations::of(&[1.0 / frames_a_second; 25], Some(segment))
    }

    #[test]
    fn parts_are_whole_frames_of_about_200_ms() {
        for (rate, part) in [(25.0, 0.2), (30.0, 0.2), (15.0, 0.2), (12.5, 0.24), (60.0, 0.2), (5.0, 0.2), (2.0, 0.5)] {
            let target = at(rate, 1.0).part_target;
            assert!((target - part * UNEVEN).abs() < 0.002, "{rate} frames a second: {target}");
            let last_but_one = (target * rate + 1e-6).floor() / rate;
            assert!(last_but_one >= target * 0.85, "{rate} frames a second: {last_but_one} of {target}");
        }
    }

    #[test]
    fn bunched_first_frames_do_not_mislead() {
        let frames = [&[1e-5; 10][..], &[0.04; 20]].concat();
        assert_eq!(TargetDurations::of(&frames, Some(1.0)).part_target, 0.216);
    }

    #[test]
    fn segments_fit_their_target() {
        for (segment, target) in
            [(0.96, 2), (1.0, 2), (2.0, 2), (2.04, 2), (2.2, 2), (2.4, 3), (4.0, 4), (10.0, 10), (10.04, 10)]
        {
            assert_eq!(at(25.0, segment).target_duration, target, "{segment}");
        }
        assert_eq!(TargetDurations::of(&[0.04; 75], None).target_duration, 10, "not known yet");
        assert_eq!(at(0.25, 4.0).target_duration, 5, "one frame in four seconds is a part of that length");
    }

    #[test]
    fn longer_segment_raises_the_target_duration() {
        let mut durations = at(25.0, 1.0);
        durations.fit(2.4);
        assert_eq!(durations.target_duration, 2);
        durations.fit(4.0);
        assert_eq!(durations.target_duration, 4);
        durations.fit(1.0);
        assert_eq!(durations.target_duration, 4, "it never shrinks");
    }
}
