//! The two numbers that a playlist promises for its whole life: how long segments and parts are at most
//! (RFC 8216bis, sections 4.4.3.1 and 4.4.3.7). They are told from the first seconds of the media.

/// What a part is to last: short enough to be fresh, long enough that requests do not outweigh it.
const PART: f64 = 0.2;
/// How much frames may come unevenly without breaking the promise. Parts of the same number of frames then last from
/// 0.92 to 1.08 of what they should, and all but the last of a segment more than 85 % of the promised length, as they
/// have to (section 4.4.4.9).
const UNEVEN: f64 = 1.08;
/// What a source is taken for whose key frames are further apart than anybody waits for: mostly it is ten seconds.
const LONG: u32 = 10;
/// The shortest target duration. One of 1 s would break with a GOP of 1.5 s, and has clients reload twice as often.
const SHORTEST: u32 = 2;

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// In whole seconds, as it is written. Grows should a segment turn out longer, though it should not: a camera that
    /// was set to another GOP must not be lost for it.
    pub(super) target_duration: u32,
    /// In seconds, of whole milliseconds.
    pub(super) part_target: f64,
}

impl Shape {
    /// For frames that last so long, and a first segment that lasts so long if it has ended.
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

    /// Makes room for a segment that lasts so long.
    pub(super) fn fit(&mut self, segment: f64) {
        if segment.round() > f64::from(self.target_duration) {
            self.target_duration = target_for(segment);
        }
    }

    /// How far behind the newest part a player is to stay: one part is in the making, one on its way, two are in its
    /// buffer. Section 4.4.3.8 asks for three at least.
    pub(super) fn part_hold_back(&self) -> f64 {
        self.part_target * 4.0
    }

    /// How far from the end a delta update may begin to leave out segments; section 4.4.3.8 asks for six at least.
    pub(super) fn can_skip_until(&self) -> f64 {
        f64::from(self.target_duration) * 6.0
    }

    /// What a playlist lists: a segment more than a delta update may have to tell.
    pub(super) fn listed(&self) -> f64 {
        f64::from(self.target_duration) * 7.0
    }

    /// What can be had: a target duration more than is listed, for those who read the list a moment ago. Section 6.2.2
    /// asks for as much again as the list is long. That would double what is held in memory, for players that are much
    /// later than the list lets them be.
    pub(super) fn kept(&self) -> f64 {
        f64::from(self.target_duration) * 8.0
    }
}

/// Rounded to the nearest, a segment must not exceed it (section 4.4.3.1). Something is left for unevenness: of a GOP of
/// whole seconds nearly half of one, of others 0.2 s at least.
fn target_for(duration: f64) -> u32 {
    (duration - 0.3).ceil().max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(frames_a_second: f64, segment: f64) -> Shape {
        Shape::of(&[1.0 / frames_a_second; 25], Some(segment))
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
        assert_eq!(Shape::of(&frames, Some(1.0)).part_target, 0.216);
    }

    #[test]
    fn segments_fit_their_target() {
        for (segment, target) in
            [(0.96, 2), (1.0, 2), (2.0, 2), (2.04, 2), (2.2, 2), (2.4, 3), (4.0, 4), (10.0, 10), (10.04, 10)]
        {
            assert_eq!(at(25.0, segment).target_duration, target, "{segment}");
        }
        assert_eq!(Shape::of(&[0.04; 75], None).target_duration, 10, "not known yet");
        assert_eq!(at(0.25, 4.0).target_duration, 5, "one frame in four seconds is a part of that length");
    }

    #[test]
    fn a_longer_segment_is_made_room_for() {
        let mut shape = at(25.0, 1.0);
        shape.fit(2.4);
        assert_eq!(shape.target_duration, 2);
        shape.fit(4.0);
        assert_eq!(shape.target_duration, 4);
        shape.fit(1.0);
        assert_eq!(shape.target_duration, 4, "it never shrinks");
    }
}
