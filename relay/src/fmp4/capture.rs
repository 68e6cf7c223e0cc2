//! When a frame was captured, from when FFmpeg wrote it.
//!
//! FFmpeg writes a fragment only when later frames have arrived: how many later is its *hold*, which depends on what it
//! does (`-write_prft` of a copied stream therefore tells the time of a later frame, or what a camera's own clock says
//! once its first RTCP report has come, which may be hours off). So the time at which fragment `n` is written is the time
//! at which frame `n + hold` arrived. Networks delay frames by different amounts and never hurry one, so the least
//! delayed frame of the last while tells where the stream's timeline lies on our clock, and the decode time of each frame
//! tells the rest: no jitter is left in what comes out.
//!
//! What a camera and its network need before the first byte reaches this machine cannot be seen from here.
//!
//! Times are in seconds: of the stream's own timeline, and since the Unix epoch. Nothing in here reads a clock.

use std::collections::VecDeque;

/// How long the least delayed frame is remembered, at least; twice as long at most. Long enough to meet one that was not
/// delayed, short enough that a clock that runs 100 ppm fast is followed within 2 ms.
const WINDOW: f64 = 10.0;
/// Decode times that leap by more than this begin a timeline of their own: a camera was set anew.
const LEAP: f64 = 3.0;
/// The most captures that wait for an encoder to write their frame: it holds a few frames, and is restarted when it has
/// been silent for long.
const FED_MAX: usize = 1024;
/// What an encoder may hold to itself before it writes: a decoder's and its own delay, with room.
const HELD_MAX: usize = 8;
/// What should be on its way through an encoder, in seconds.
const ON_ITS_WAY: f64 = 0.5;
/// How far from a fed frame an encoded one may lie: below half a frame of any camera, above any rounding of timescales.
const SAME_FRAME: f64 = 0.004;

/// See the [module](self).
#[derive(Debug)]
pub struct SourceClock {
    hold: usize,
    /// When the newest `hold` fragments were written, oldest first.
    written: VecDeque<f64>,
    last: Option<f64>,
    /// The least of what lay between a frame's place on the timeline and its arrival: in the present window, which began
    /// at this place, and in the one before.
    window: f64,
    least: f64,
    before: f64,
}

impl SourceClock {
    /// For an FFmpeg that writes each fragment when `hold` more frames have arrived.
    pub fn new(hold: usize) -> Self {
        Self { hold, written: VecDeque::new(), last: None, window: 0.0, least: f64::INFINITY, before: f64::INFINITY }
    }

    /// The fragment that begins at `start` was written at `now`, and lasts `duration`: when its frame arrived, had nothing
    /// delayed it.
    pub fn stamp(&mut self, start: f64, duration: f64, now: f64) -> f64 {
        if self.last.is_some_and(|last| !(0.0..=LEAP).contains(&(start - last))) {
            *self = Self::new(self.hold);
        }
        self.last = Some(start);
        if start - self.window >= WINDOW {
            (self.window, self.before, self.least) = (start, self.least, f64::INFINITY);
        }
        // Without knowledge, as for the first frames, the stream's own frame rate must do.
        let unknown = now - duration * self.hold as f64;
        self.written.push_back(now);
        let arrived =
            if self.written.len() > self.hold { self.written.pop_front().unwrap_or(unknown) } else { unknown };
        self.least = self.least.min(arrived - start);
        start + self.least.min(self.before)
    }
}

/// Notices a source whose clock was set back.
///
/// FFmpeg gives a frame whose timestamp lies before the last one's the next tick instead, and all that follow, until the
/// source's clock has caught up: an hour set back is an hour in which nothing moves.
#[derive(Debug, Default)]
pub struct SetBack {
    stuck: u32,
}

/// No two frames of a camera are closer than this.
const TICK: f64 = 0.001;
/// So many frames in a row are no accident: an RTSP session's first one or two have no timestamp.
const STUCK: u32 = 8;

impl SetBack {
    /// The next frame lasts so many seconds: whether the source's clock was set back.
    pub fn frame(&mut self, duration: f64) -> bool {
        self.stuck = if duration < TICK { self.stuck + 1 } else { 0 };
        self.stuck >= STUCK
    }
}

/// What was fed to an encoder, which keeps to the timeline of what it is fed.
#[derive(Debug, Default)]
pub struct Fed {
    /// Place on the timeline, and capture time.
    frames: VecDeque<(f64, f64)>,
}

impl Fed {
    /// The frame at `start` of the timeline, captured at `capture`, is fed to the encoder.
    pub fn fed(&mut self, start: f64, capture: f64) {
        if self.frames.len() == FED_MAX {
            self.frames.pop_front();
        }
        self.frames.push_back((start, capture));
    }

    /// When the frame was captured that the encoder writes at `start`; none if it was never fed.
    pub fn stamp(&mut self, start: f64) -> Option<f64> {
        while self.frames.front().is_some_and(|&(at, _)| at < start - SAME_FRAME) {
            self.frames.pop_front();
        }
        self.frames.front().filter(|&&(at, _)| at <= start + SAME_FRAME).map(|&(_, capture)| capture)
    }

    /// Whether as much is on its way through the encoder as should be: half a second, and more frames than encoders hold.
    pub fn is_full(&self) -> bool {
        let span = self.frames.back().zip(self.frames.front()).map_or(0.0, |(newest, oldest)| newest.0 - oldest.0);
        self.frames.len() > HELD_MAX && span > ON_ITS_WAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: f64 = 0.04;

    /// Frames captured at `100 + n * FRAME`, arriving `delay(n)` later, written when `hold` more have arrived. The
    /// largest error of the estimate after the first `skip` frames.
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
    fn the_hold_is_taken_off() {
        for hold in 0..4 {
            assert!(worst(200, hold, 0, |_| 0.0) < 1e-9, "{hold}");
        }
    }

    #[test]
    fn jitter_is_left_out_once_a_frame_was_not_delayed() {
        assert!(worst(1000, 2, 10, |n| if n % 7 == 0 { 0.0 } else { 0.03 * ((n * 7919) % 13) as f64 / 13.0 }) < 1e-9);
        // A source that delivers its first second at once, as RTSP does while FFmpeg looks at it.
        assert!(worst(200, 2, 30, |n| if n < 20 { 0.8 - n as f64 * FRAME } else { 0.0 }) < 1e-9);
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        let mut clock = SourceClock::new(2);
        for n in 0..25 * 600 {
            // The camera counts 40 ms where 40.004 pass.
            let captured = 100.0 + f64::from(n) * FRAME * 1.0001;
            let stamp = clock.stamp(f64::from(n) * FRAME, FRAME, captured + 2.0 * FRAME * 1.0001);
            assert!((stamp - captured).abs() < 0.0025, "after {n} frames: {}", stamp - captured);
        }
    }

    #[test]
    fn a_path_that_grows_longer_is_believed_after_a_while() {
        let longer = |n: usize| if n < 250 { 0.0 } else { 0.05 };
        assert!(worst(1000, 2, 800, longer) > 0.049, "where the frame was meanwhile cannot be seen from here");
        assert!(worst(450, 2, 0, longer) < 1e-9, "until then it counts as jitter");
    }

    #[test]
    fn a_timeline_that_leaps_begins_anew() {
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
    fn a_clock_that_was_set_back_is_noticed() {
        let mut clock = SetBack::default();
        let noticed = |clock: &mut SetBack, durations: &[f64]| durations.iter().any(|&duration| clock.frame(duration));
        assert!(!noticed(&mut clock, &[1e-5, FRAME, FRAME, 1e-5, FRAME]), "one now and then is not");
        assert!(noticed(&mut clock, &[1e-5; STUCK as usize]));
    }

    #[test]
    fn an_encoded_frame_has_the_capture_time_of_the_frame_it_was_made_from() {
        let mut fed = Fed::default();
        (0..10).for_each(|n| fed.fed(70.0 + f64::from(n) * FRAME, 500.0 + f64::from(n)));
        assert_eq!(fed.stamp(70.0), Some(500.0));
        assert_eq!(fed.stamp(70.0 + 3.0 * FRAME + 0.001), Some(503.0), "rounded to another timescale, two left out");
        assert_eq!(fed.stamp(70.0 + 4.5 * FRAME), None);
        assert_eq!(fed.stamp(70.0 + 5.0 * FRAME), Some(505.0));
    }

    #[test]
    fn half_a_second_is_enough_on_its_way_and_a_slow_camera_s_few_frames_are_not_too_much() {
        let after = |frames: u32, every: f64| {
            let mut fed = Fed::default();
            (0..frames).for_each(|n| fed.fed(f64::from(n) * every, 0.0));
            fed
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
        fn a_frame_is_never_said_to_be_captured_after_it_was_written(
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
