//! Aligns the segments of all variants of a stream.
//!
//! VLC, GStreamer's hlsdemux and Chromium's own player switch variants at the next media sequence number, although RFC 8216bis,
//! section 6.2.4, guarantees matching times only. With different numbers they wait for a segment that is minutes away. The
//! window of `copy` therefore leads. The windows of its transcodes end a segment where it does, and start with its numbers. A
//! transcode has a key frame each second, but not at every key frame of the camera. Its segment then starts at its next key
//! frame, less than a second late.
//!
//! A camera with rare key frames does not lead its transcodes: players take these, which start sooner. It leads its audio
//! (`audio`), which has no other video of the same times.

use sightline_media::fmp4::init::InitSegment;

/// Tolerance between decode times of the same frame in two variants, in seconds: timescales differ and times are rounded.
const TOLERANCE: f64 = 0.01;

/// A frame's time on its timeline, which all variants share (`InitSegment::timeline`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MediaTime {
    pub(super) timeline: u32,
    /// The decode time.
    pub(super) seconds: f64,
}

impl MediaTime {
    /// The time of `ticks` in a track.
    pub(super) fn of(init: &InitSegment, ticks: u64) -> Self {
        Self { timeline: init.timeline, seconds: init.time(ticks).as_secs_f64() }
    }

    /// Whether this time is earlier. Timelines are numbered in their order.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        (self.timeline, self.seconds) < (other.timeline, other.seconds)
    }

    /// Whether this time is on the same timeline and not before `start`.
    pub(super) fn is_from(&self, start: &Self) -> bool {
        self.timeline == start.timeline && self.seconds + TOLERANCE >= start.seconds
    }
}

/// The leading window's position at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    /// There is no leading window.
    None,
    /// The leading window lists nothing yet.
    Pending,
    /// The leading window starts later.
    Later,
    /// The time is in this segment.
    At(Position),
}

/// A segment of the leading window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) msn: u64,
    pub(super) discontinuity: u64,
    pub(super) target_duration: u32,
}

/// A segment of the leading window as audio follows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LedSegment {
    pub(super) position: Position,
    /// The capture time of its start, in seconds since the Unix epoch.
    pub(super) start: f64,
    /// Its duration so far.
    pub(super) duration: f64,
    /// The media time of its start. `None` for a gap.
    pub(super) time: Option<MediaTime>,
}

impl Lead {
    /// The segment to follow, if there is one.
    pub(super) fn position(self) -> Option<Position> {
        match self {
            Self::At(position) => Some(position),
            Self::None | Self::Pending | Self::Later => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::{self, FIRST, START, empty, init};
    use super::super::window::{SequenceNumbers, Window};
    use super::*;

    const FRAME: f64 = 0.04;

    /// `copy` with a key frame every `gop` frames, and a transcode of it with one per second.
    struct Pair {
        gop: usize,
        leader: Window,
        follower: Window,
    }

    impl Pair {
        fn new(gop: usize) -> Self {
            // The clock is far ahead of the leader's numbers, and an earlier window has used some below them.
            let follower = Window::new(1 << 20, SequenceNumbers { msn: 9000, discontinuity: 0 }).led_from(FIRST - 10);
            Self { gop, leader: empty(), follower }
        }

        fn lead(mut self, frames: usize) -> Self {
            self.play(0, frames, false);
            self
        }

        /// Plays `count` frames from number `first`, and also the transcode's if it runs.
        fn play(&mut self, first: usize, count: usize, follows: bool) {
            for n in 0..count {
                // A transcode's capture times are its input's, as known a moment before.
                let captured = START + (first + n) as f64 * FRAME;
                let frame = |gop: usize, captured: f64| tests::frame((first + n) as u64, n % gop == 0, captured, 10);
                self.leader.push(frame(self.gop, captured), 0.0, |_| Lead::None);
                if follows {
                    self.follower.push(frame(25, captured - 0.02), 0.0, |time| self.leader.lead_at(time));
                }
            }
        }

        /// The delay of each listed segment of the transcode after the camera's segment with the same number, in seconds.
        fn lateness(&self) -> Vec<f64> {
            let late = |segment: &super::super::segment::Segment| {
                let led = self.leader.listed().chain(self.leader.open()).find(|led| led.msn == segment.msn);
                let led = led.unwrap_or_else(|| panic!("no segment {} in the leading window", segment.msn));
                assert_eq!((led.gap, led.discontinuity_sequence), (segment.gap, segment.discontinuity_sequence));
                segment.start - led.start
            };
            self.follower.listed().chain(self.follower.open()).map(late).collect()
        }

        fn is_in_step(&self) {
            let lateness = self.lateness();
            assert!(lateness.len() > 2 && lateness.iter().all(|late| late.abs() < 0.03), "{lateness:?}");
            let target = |window: &Window| window.durations().expect("there is something to list").target_duration;
            assert_eq!(target(&self.follower), target(&self.leader));
        }
    }

    #[test]
    fn late_transcode_has_the_numbers_and_segments_of_copy() {
        for gop in [25, 50, 100] {
            let mut pair = Pair::new(gop).lead(gop * 6);
            pair.follower.start_epoch(init());
            pair.play(gop * 6, gop * 5 + 7, true);
            pair.is_in_step();
        }
    }

    #[test]
    fn unaligned_key_frames_start_segments_less_than_a_second_late() {
        let mut pair = Pair::new(40).lead(40 * 6);
        pair.follower.start_epoch(init());
        pair.play(40 * 6, 40 * 12 + 7, true);
        let lateness = pair.lateness();
        assert!(lateness.len() > 6 && lateness.iter().all(|late| (-0.03..1.0).contains(late)), "{lateness:?}");
    }

    #[test]
    fn windows_that_start_together_are_aligned() {
        for frames in [30, 50 * 5 + 7] {
            let mut pair = Pair::new(50);
            pair.follower.start_epoch(init());
            pair.play(0, frames, true);
            // A second is a segment of the transcode, but not yet one of `copy`.
            if frames < 50 { assert_eq!(pair.follower.durations(), None) } else { pair.is_in_step() }
        }
    }

    #[test]
    fn frames_before_the_leading_window_are_skipped() {
        let mut pair = Pair::new(50);
        pair.follower.start_epoch(init());
        let frame = |n: usize| tests::frame(n as u64, n.is_multiple_of(25), START + n as f64 * FRAME, 10);
        // The leading window starts at the key frame of the fourth second, the following one at that of the first.
        for n in 100..210 {
            pair.leader.push(frame(n), 0.0, |_| Lead::None);
        }
        for n in 25..210 {
            pair.follower.push(frame(n), 0.0, |time| pair.leader.lead_at(time));
            assert!(n > 100 || pair.follower.durations().is_none(), "{n}");
        }
        pair.is_in_step();
    }

    #[test]
    fn outage_keeps_windows_aligned() {
        for outage in [25 * 3, 25 * 60] {
            let mut pair = Pair::new(50).lead(50 * 4);
            pair.follower.start_epoch(init());
            pair.play(50 * 4, 50 * 4, true);
            pair.leader.start_epoch(init());
            pair.follower.start_epoch(init());
            pair.play(50 * 8 + outage, 50 * 4 + 7, true);
            pair.is_in_step();
        }
    }

    #[test]
    fn camera_with_rare_key_frames_does_not_lead() {
        let mut pair = Pair::new(250).lead(250 * 2);
        pair.follower.start_epoch(init());
        pair.play(250 * 2, 100, true);
        let numbers: Vec<u64> = pair.follower.listed().map(|segment| segment.msn).collect();
        assert_eq!(numbers, [9000, 9001, 9002]);
        assert_eq!(pair.follower.durations().map(|durations| durations.target_duration), Some(2));
    }
}
