//! Places fragments on the video's timeline.
//!
//! A source's decode times start at any value, restart with the camera, and jump where the relay leaves fragments out. The
//! video's timeline has no gaps, so that the playhead never meets one: a fragment that does not continue the previous one gets
//! a new `timestampOffset`.
//!
//! Fragments are placed end to end by presentation time: decode time plus the composition time offset of the run's first key
//! frame. Some encoders announce reordering and never reorder; they present every frame later than it is decoded. Placed by
//! decode time, such an epoch would begin with a gap. The seek across a gap fails in WebKitGTK while the player starts.

use std::collections::VecDeque;

/// Start of the first epoch, in seconds. Not zero: browsers round the offset to whole microseconds, and a first frame at -1 us
/// would be dropped together with its GOP. All browsers start playback across a gap this small.
const ORIGIN: f64 = 0.01;
/// Browsers play across a difference in decode time of this size, in seconds: less than two frames of any camera.
const TOLERANCE: f64 = 0.05;
/// Maximum delay from decoding to presentation of a frame, in seconds: sixteen frames, the most that any decoder holds, of a
/// slow camera.
const DELAY_MAX: f64 = 2.0;
/// Key frame positions remembered for trimming: more than any buffer holds, except of a stream of key frames alone. When full,
/// the oldest is dropped, which only trims later.
const KEYFRAMES_MAX: usize = 1024;

/// The place of a fragment, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    /// The `timestampOffset` of its append.
    pub offset: f64,
    /// The presentation time of its frame, if frames are presented in decode order.
    pub start: f64,
    /// Whether it continues the previous fragment with the same offset.
    pub continues: bool,
}

/// Contiguous fragments that were placed with one offset.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The decode time that continues it, in ticks.
    next: u64,
    /// The `timestampOffset`, and the delay from decoding to presentation of a frame, in seconds.
    offset: f64,
    delay: f64,
}

/// See the module.
#[derive(Debug)]
pub struct Timeline {
    timescale: f64,
    /// The start of the next fragment.
    end: f64,
    run: Option<Run>,
    epoch_start: f64,
    keyframes: VecDeque<f64>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { timescale: 1.0, end: ORIGIN, run: None, epoch_start: ORIGIN, keyframes: VecDeque::new() }
    }
}

impl Timeline {
    /// Begins an epoch with `timescale` ticks per second.
    pub fn begin_epoch(&mut self, timescale: u32) {
        self.timescale = f64::from(timescale.max(1));
        self.run = None;
        self.epoch_start = self.end;
    }

    /// Whether a fragment of this decode time can follow the last one with the same offset.
    pub fn continues(&self, decode_time: u64) -> bool {
        self.run.is_some_and(|run| decode_time.abs_diff(run.next) as f64 <= TOLERANCE * self.timescale)
    }

    /// Places a fragment; its frame is presented `composition_offset` after its decode time. Times are in ticks.
    pub fn place(&mut self, decode_time: u64, composition_offset: i64, duration: u64, keyframe: bool) -> Placed {
        let time = self.seconds(decode_time);
        let kept = self.run.filter(|_| self.continues(decode_time));
        let Run { offset, delay, .. } = kept.unwrap_or_else(|| {
            let delay = (composition_offset as f64 / self.timescale).clamp(-DELAY_MAX, DELAY_MAX);
            Run { next: 0, offset: self.end - time - delay, delay }
        });
        let start = time + delay + offset;
        self.end = start + self.seconds(duration);
        self.run = Some(Run { next: decode_time.saturating_add(duration), offset, delay });
        if keyframe {
            if self.keyframes.len() == KEYFRAMES_MAX {
                self.keyframes.pop_front();
            }
            self.keyframes.push_back(start);
        }
        Placed { offset, start, continues: kept.is_some() }
    }

    /// The end of all placed media, in seconds.
    pub fn end(&self) -> f64 {
        self.end
    }

    /// The start of the current epoch, in seconds.
    pub fn epoch_start(&self) -> f64 {
        self.epoch_start
    }

    /// Converts `ticks` of the epoch's timescale to seconds.
    pub fn seconds(&self, ticks: u64) -> f64 {
        ticks as f64 / self.timescale
    }

    /// The start of the GOP that contains `position`: the last key frame not after it.
    pub fn gop_start(&self, position: f64) -> Option<f64> {
        self.keyframes.iter().rev().copied().find(|&time| time <= position)
    }

    /// The newest key frame.
    pub fn newest_keyframe(&self) -> Option<f64> {
        self.keyframes.back().copied()
    }

    /// Forgets the key frames before `position`: the SourceBuffer no longer holds them.
    pub fn forget_before(&mut self, position: f64) {
        while self.keyframes.front().is_some_and(|&time| time < position) {
            self.keyframes.pop_front();
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn first_epoch_starts_at_the_origin() {
        let mut timeline = Timeline::default();
        timeline.begin_epoch(90_000);
        let hour = 3600 * 90_000;
        let first = timeline.place(hour, 0, 3600, true);
        assert!(close(first.offset, ORIGIN - 3600.0) && close(first.start, ORIGIN) && !first.continues);
        let second = timeline.place(hour + 3600, 0, 3600, false);
        assert!(second.offset == first.offset && close(second.start, ORIGIN + 0.04) && second.continues);
        assert!(close(timeline.end(), ORIGIN + 0.08));
    }

    #[test]
    fn new_epoch_continues_at_the_end_with_its_own_timescale() {
        let mut timeline = Timeline::default();
        timeline.begin_epoch(1000);
        timeline.place(5000, 0, 2000, true);
        timeline.begin_epoch(90_000);
        assert!(close(timeline.epoch_start(), ORIGIN + 2.0));
        assert!(!timeline.continues(7000), "the first fragment of an epoch continues nothing");
        assert!(close(timeline.place(0, 0, 90_000, true).offset, ORIGIN + 2.0));
        assert!(close(timeline.end(), ORIGIN + 3.0));
    }

    #[test]
    fn small_offsets_are_kept_and_leaps_closed() {
        let mut timeline = Timeline::default();
        timeline.begin_epoch(1000);
        let first = timeline.place(0, 0, 40, true);
        assert_eq!(timeline.place(45, 0, 40, false).offset, first.offset, "5 ms of jitter");
        assert!(close(timeline.end(), ORIGIN + 0.085));
        timeline.place(10_000, 0, 40, true);
        assert!(close(timeline.end(), ORIGIN + 0.125), "10 s left out");
        timeline.place(0, 0, 40, true);
        assert!(close(timeline.end(), ORIGIN + 0.165), "and back to the start");
    }

    #[test]
    fn epoch_begins_at_its_first_presentation_time() {
        let mut timeline = Timeline::default();
        timeline.begin_epoch(1000);
        let first = timeline.place(5000, 80, 40, true);
        assert!(close(first.start, ORIGIN) && close(5.08 + first.offset, ORIGIN));
        let second = timeline.place(5040, 120, 40, false);
        assert!(second.continues && close(second.start, ORIGIN + 0.04), "others may be shown in another order");
        timeline.begin_epoch(1000);
        assert!(close(timeline.place(0, 0, 40, true).start, ORIGIN + 0.08));
        timeline.begin_epoch(1000);
        assert!(timeline.place(0, i64::MIN, 40, true).offset.abs() < 3.0, "nonsense is not followed");
    }

    #[test]
    fn gop_of_a_position_starts_at_the_previous_key_frame() {
        let mut timeline = Timeline::default();
        timeline.begin_epoch(1);
        for second in 0..10 {
            timeline.place(second, 0, 1, second % 4 == 0);
        }
        assert!(close(timeline.gop_start(6.5).unwrap(), 4.0 + ORIGIN));
        assert!(close(timeline.gop_start(4.0 + ORIGIN).unwrap(), 4.0 + ORIGIN));
        assert_eq!(timeline.gop_start(0.0), None);
        assert!(close(timeline.newest_keyframe().unwrap(), 8.0 + ORIGIN));
        timeline.forget_before(4.0);
        assert_eq!(timeline.gop_start(3.0), None);
    }

    proptest! {
        /// For any decode times of the source, the timeline only grows, by the placed media, without gaps wider than the
        /// tolerance.
        #[test]
        fn fragments_are_contiguous(times in prop::collection::vec((0u64..1 << 40, -500i64..500, 1u64..10_000, any::<bool>()), 1..50)) {
            let mut timeline = Timeline::default();
            timeline.begin_epoch(1000);
            for (decode_time, composition_offset, duration, keyframe) in times {
                let before = timeline.end();
                let Placed { offset, start, .. } = timeline.place(decode_time, composition_offset, duration, keyframe);
                prop_assert!((decode_time as f64 / 1000.0 + offset - start).abs() <= 0.5 + 1e-6);
                prop_assert!((start - before).abs() <= TOLERANCE + 1e-6, "hole of {}", start - before);
                prop_assert!((timeline.end() - start - duration as f64 / 1000.0).abs() < 1e-6);
            }
        }
    }
}
