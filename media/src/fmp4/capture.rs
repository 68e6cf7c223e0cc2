//! Estimates a frame's capture time from the time at which FFmpeg wrote it.
//!
//! FFmpeg writes a fragment only after later frames have arrived. Their number is its *hold*, which depends on the command. So
//! `-write_prft` of a copied stream gives the time of a later frame. After a camera's first RTCP report it gives the camera's
//! own clock, which may be hours off.
//!
//! Fragment `n` is written when frame `n + hold` arrives. Networks delay frames by different amounts and never advance one. The
//! least delayed recent frame therefore anchors the stream's timeline on the relay's clock, and decode times give the other
//! frames. The result has no jitter.
//!
//! Delays before the first byte reaches this machine, in the camera and its network, are unknown.
//!
//! Times are in seconds: of the stream's own timeline, and since the Unix epoch. Reads no clock.

use std::collections::VecDeque;

/// Minimum time for which the least delayed frame counts; the maximum is twice that. Long enough to contain an undelayed frame,
/// short enough to follow a clock that runs 100 ppm fast within 2 ms.
const WINDOW: f64 = 10.0;
/// A larger step of decode times starts a new timeline: the camera was reconfigured.
const JUMP: f64 = 3.0;
/// Maximum number of captures that wait for the encoder. It holds a few frames, and is restarted after a long silence.
const INPUT_MAX: usize = 1024;
/// Maximum number of frames that an encoder holds before it writes one: its decoder's and its own delay, with a margin.
const HELD_MAX: usize = 8;
/// Nominal duration of media in an encoder, in seconds.
const IN_FLIGHT: f64 = 0.5;
/// Tolerance between an input frame and an encoded one: below half a frame of any camera, above rounding of timescales.
const SAME_FRAME: f64 = 0.004;

/// See the [module](self).
#[derive(Debug)]
pub struct SourceClock {
    hold: usize,
    /// Write times of the newest `hold` fragments, oldest first.
    written: VecDeque<f64>,
    last: Option<f64>,
    /// Minimum difference between a frame's arrival and its time on the timeline, in the current window, which starts at
    /// `window`, and in the previous one.
    window: f64,
    min_delay: f64,
    previous_min_delay: f64,
}

impl SourceClock {
    /// A clock for an FFmpeg that writes each fragment when `hold` more frames have arrived.
    pub fn new(hold: usize) -> Self {
        Self {
            hold,
            written: VecDeque::new(),
            last: None,
            window: 0.0,
            min_delay: f64::INFINITY,
            previous_min_delay: f64::INFINITY,
        }
    }

    /// The arrival time of an undelayed frame, for a fragment that starts at `start`, lasts `duration` and was written at
    /// `now`.
    pub fn stamp(&mut self, start: f64, duration: f64, now: f64) -> f64 {
        if self.last.is_some_and(|last| !(0.0..=JUMP).contains(&(start - last))) {
            *self = Self::new(self.hold);
        }
        self.last = Some(start);
        if start - self.window >= WINDOW {
            (self.window, self.previous_min_delay, self.min_delay) = (start, self.min_delay, f64::INFINITY);
        }
        // The first frames are estimated from the stream's frame rate.
        let unknown = now - duration * self.hold as f64;
        self.written.push_back(now);
        let arrived =
            if self.written.len() > self.hold { self.written.pop_front().unwrap_or(unknown) } else { unknown };
        self.min_delay = self.min_delay.min(arrived - start);
        start + self.min_delay.min(self.previous_min_delay)
    }
}

/// Detects that a source's clock was set back.
///
/// FFmpeg then gives each frame the tick after the previous one until the source's clock has caught up. A clock that was set
/// back by an hour stops the video for an hour.
#[derive(Debug, Default)]
pub struct ClockRewind {
    stuck: u32,
}

/// Shorter than any camera's frame interval.
const TICK: f64 = 0.001;
/// Consecutive short frames that indicate a rewind: only the first one or two of an RTSP session lack a timestamp.
const STUCK: u32 = 8;

impl ClockRewind {
    /// Records the duration of the next frame in seconds. Returns whether the source's clock was set back.
    pub fn frame(&mut self, duration: f64) -> bool {
        self.stuck = if duration < TICK { self.stuck + 1 } else { 0 };
        self.stuck >= STUCK
    }
}

/// Capture times of an encoder's input. The encoder's output keeps the timeline of its input.
#[derive(Debug, Default)]
pub struct InputCaptureTimes {
    /// Time on the timeline and capture time.
    frames: VecDeque<(f64, f64)>,
}

impl InputCaptureTimes {
    /// Records that the frame at `start`, captured at `capture`, was sent to the encoder.
    pub fn push(&mut self, start: f64, capture: f64) {
        if self.frames.len() == INPUT_MAX {
            self.frames.pop_front();
        }
        self.frames.push_back((start, capture));
    }

    /// The capture time of the encoded frame at `start`. `None` if no input frame matches.
    pub fn stamp(&mut self, start: f64) -> Option<f64> {
        while self.frames.front().is_some_and(|&(at, _)| at < start - SAME_FRAME) {
            self.frames.pop_front();
        }
        self.frames.front().filter(|&&(at, _)| at <= start + SAME_FRAME).map(|&(_, capture)| capture)
    }

    /// Whether the encoder holds enough: half a second, and more frames than encoders hold back.
    pub fn is_full(&self) -> bool {
        let span = self.frames.back().zip(self.frames.front()).map_or(0.0, |(newest, oldest)| newest.0 - oldest.0);
        self.frames.len() > HELD_MAX && span > IN_FLIGHT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: f64 = 0.04;

    /// Frames are captured at `100 + n * FRAME`, arrive `delay(n)` later, and are written when `hold` more have arrived.
    /// Returns the largest error of the estimate after the first `skip` frames.
    fn worst(frames: usize, hold: usize, skip: usize, delay: impl Fn(usize) -> f64) -> f64 {
        let mut clock = SourceClock::new(hold);
        let arrival = |n: usize| (0..=n).map(|n| 100.0 + n as f64 * FRAME + delay(n)).fold(0.0, f64::max);
        let error = |n: usize| {
            let stamp = clock.stamp(n as f64 * FRAME, FRAME, arrival(n + hold));
            (stamp - (100.0 + n as f64 * FRAME)).abs()
        };
        (0..frames).map(error).skip(skip).fold(0.0, f64::max)
    }

    #[test]
    fn hold_is_subtracted() {
        for hold in 0..4 {
            assert!(worst(200, hold, 0, |_| 0.0) < 1e-9, "{hold}");
        }
    }

    #[test]
    fn one_undelayed_frame_removes_jitter() {
        assert!(worst(1000, 2, 10, |n| if n % 7 == 0 { 0.0 } else { 0.03 * ((n * 7919) % 13) as f64 / 13.0 }) < 1e-9);
        // A source that delivers its first second at once, as RTSP does while FFmpeg probes it.
        assert!(worst(200, 2, 30, |n| if n < 20 { 0.8 - n as f64 * FRAME } else { 0.0 }) < 1e-9);
    }

    #[test]
    fn drifting_clock_is_followed() {
        let mut clock = SourceClock::new(2);
        for n in 0..25 * 600 {
            // The camera counts 40 ms while 40.004 ms pass.
            let captured = 100.0 + f64::from(n) * FRAME * 1.0001;
            let stamp = clock.stamp(f64::from(n) * FRAME, FRAME, captured + 2.0 * FRAME * 1.0001);
            assert!((stamp - captured).abs() < 0.0025, "after {n} frames: {}", stamp - captured);
        }
    }

    #[test]
    fn longer_path_is_accepted_after_the_window() {
        let longer = |n: usize| if n < 250 { 0.0 } else { 0.05 };
        assert!(worst(1000, 2, 800, longer) > 0.049, "where the frame was meanwhile cannot be seen from here");
        assert!(worst(450, 2, 0, longer) < 1e-9, "until then it counts as jitter");
    }

    #[test]
    fn timeline_jump_restarts_the_estimate() {
        let mut clock = SourceClock::new(1);
        for n in 0..50 {
            clock.stamp(f64::from(n) * FRAME, FRAME, 100.0 + f64::from(n + 1) * FRAME);
        }
        for start in [5000.0, 7.0] {
            let stamp = clock.stamp(start, FRAME, 200.0);
            assert!((stamp - (200.0 - FRAME)).abs() < 1e-9, "{stamp}");
        }
    }

    #[test]
    fn rewound_clock_is_detected() {
        let mut clock = ClockRewind::default();
        let detected =
            |clock: &mut ClockRewind, durations: &[f64]| durations.iter().any(|&duration| clock.frame(duration));
        assert!(!detected(&mut clock, &[1e-5, FRAME, FRAME, 1e-5, FRAME]), "one now and then is not");
        assert!(detected(&mut clock, &[1e-5; STUCK as usize]));
    }

    #[test]
    fn encoded_frame_has_the_capture_time_of_its_input() {
        let mut times = InputCaptureTimes::default();
        (0..10).for_each(|n| times.push(70.0 + f64::from(n) * FRAME, 500.0 + f64::from(n)));
        assert_eq!(times.stamp(70.0), Some(500.0));
        assert_eq!(times.stamp(70.0 + 3.0 * FRAME + 0.001), Some(503.0), "rounded to another timescale, two left out");
        assert_eq!(times.stamp(70.0 + 4.5 * FRAME), None);
        assert_eq!(times.stamp(70.0 + 5.0 * FRAME), Some(505.0));
    }

    #[test]
    fn encoder_is_full_after_half_a_second_and_eight_frames() {
        let after = |frames: u32, every: f64| {
            let mut times = InputCaptureTimes::default();
            (0..frames).for_each(|n| times.push(f64::from(n) * every, 0.0));
            times
        };
        assert!(!after(13, FRAME).is_full());
        let mut full = after(14, FRAME);
        assert!(full.is_full());
        full.stamp(2.0 * FRAME);
        assert!(!full.is_full(), "two were written");
        assert!(!after(8, 1.0).is_full(), "the encoder may hold that much");
        assert!(!after(0, 1.0).is_full());
    }

    proptest! {
        #[test]
        fn capture_time_never_follows_write_time(
            times in prop::collection::vec((-2.0f64..9.0, 0.0f64..1.0), 1..200), hold in 0usize..4,
        ) {
            let mut clock = SourceClock::new(hold);
            let (mut start, mut now) = (0.0, 1e9);
            for (step, waited) in times {
                start += step;
                now += waited;
                prop_assert!(clock.stamp(start, FRAME, now) <= now);
            }
        }
    }
}
