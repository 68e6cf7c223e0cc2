//! The frames in a WebCodecs decoder: which to paint, when the decoder cannot keep up, and whether it works at all.
//!
//! Pure: what is given to the decoder and what comes out of it go in, decisions come out. Positions are in seconds of the
//! timeline, and identify a frame by its timestamp in microseconds.

use std::collections::VecDeque;

use crate::time::Moment;

/// While a decoder works off a GOP, frames that come closer together than this are not painted: they would be on screen for less
/// than a refresh. Frames of a camera are further apart.
const REFRESH_MS: f64 = 8.0;
/// A frame this far behind the newest one, in seconds, belongs to the past of a GOP, which is shown in steps of this length. The
/// delay of a decoder that reorders is shorter.
const PAST: f64 = 1.0;
const PAST_STEP_MS: f64 = 100.0;
/// A decoder that has had a frame for the first time is behind: the next key frame is decoded at once, and nothing before it.
/// After the second time it gets no frames until then. Starting with a long GOP takes less.
const BEHIND_MS: f64 = 500.0;
const OVERLOADED_MS: f64 = 3_000.0;
/// Fewer frames may wait for the one after them, in a decoder that reorders.
const REORDERED: usize = 17;
/// A decoder that has given no frame after this time, and after this many frames, gives none.
const FIRST_FRAME_MS: f64 = 4_000.0;
const FIRST_FRAMES: u64 = 20;

/// See the module.
#[derive(Debug, Default)]
pub struct DecoderMonitor {
    pending: VecDeque<PendingFrame>,
    first: Option<Moment>,
    submitted: u64,
    decoded: u64,
    dropped: u64,
    painted: Option<(i64, Moment)>,
}

#[derive(Debug)]
struct PendingFrame {
    timestamp: i64,
    capture: Option<f64>,
    at: Moment,
}

/// What to do with a decoded frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FrameAction {
    /// Paint it; its capture time, if known.
    Paint(Option<f64>),
    /// Drop it.
    Drop,
}

/// A position as a timestamp of WebCodecs.
pub fn timestamp(position: f64) -> i64 {
    (position * 1e6).round() as i64
}

/// The position of a timestamp of WebCodecs.
pub fn position(timestamp: i64) -> f64 {
    timestamp as f64 / 1e6
}

impl DecoderMonitor {
    /// Handles a frame that is given to the decoder.
    pub fn submit(&mut self, timestamp: i64, capture: Option<f64>, now: Moment) {
        self.first.get_or_insert(now);
        self.submitted += 1;
        self.pending.push_back(PendingFrame { timestamp, capture, at: now });
    }

    /// Handles a frame that the decoder puts out. `newest` is the position of the newest frame that has arrived.
    pub fn output(&mut self, timestamp: i64, newest: f64, now: Moment) -> FrameAction {
        let capture = self.pending.iter().find(|frame| frame.timestamp == timestamp).and_then(|frame| frame.capture);
        // Frames come in order of presentation: the decoder has left out what is earlier and still missing.
        let before = self.pending.len();
        self.pending.retain(|frame| frame.timestamp > timestamp);
        let skipped = (before - self.pending.len()).saturating_sub(1) as u64;
        self.decoded += 1 + skipped;
        self.dropped += skipped;
        let past = newest - position(timestamp) > PAST;
        let apart = if past { PAST_STEP_MS } else { REFRESH_MS };
        let paints = self
            .painted
            .is_none_or(|(painted, at)| timestamp > painted && (self.pending.is_empty() || now.ms_since(at) >= apart));
        if !paints {
            self.dropped += 1;
            return FrameAction::Drop;
        }
        self.painted = Some((timestamp, now));
        FrameAction::Paint(capture)
    }

    /// Handles frames that were not given to the decoder.
    pub fn skipped(&mut self, frames: u64) {
        (self.decoded, self.dropped) = (self.decoded + frames, self.dropped + frames);
    }

    /// Handles a reset of the decoder: what is inside is lost.
    pub fn reset(&mut self) {
        self.skipped(self.pending.len() as u64);
        self.pending.clear();
    }

    /// Whether the decoder is so far behind that it should be reset for a key frame.
    pub fn is_behind(&self, now: Moment) -> bool {
        self.has_held(BEHIND_MS, now)
    }

    /// Whether the decoder cannot take more frames before the next key frame.
    pub fn is_overloaded(&self, now: Moment) -> bool {
        self.has_held(OVERLOADED_MS, now)
    }

    fn has_held(&self, ms: f64, now: Moment) -> bool {
        self.pending.len() >= REORDERED && self.pending.front().is_some_and(|oldest| now.ms_since(oldest.at) > ms)
    }

    /// Whether the decoder accepts frames and has never put one out.
    pub fn is_silent(&self, now: Moment) -> bool {
        let late = self.first.is_some_and(|first| now.ms_since(first) > FIRST_FRAME_MS);
        self.painted.is_none() && self.submitted >= FIRST_FRAMES && late
    }

    /// The position of the frame on screen; none before the first.
    pub fn painted(&self) -> Option<f64> {
        self.painted.map(|(timestamp, _)| position(timestamp))
    }

    /// The number of frames given to the decoder.
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// The number of frames that were decoded or skipped, and of those not painted, as `getVideoPlaybackQuality` counts.
    pub fn quality(&self) -> (u64, u64) {
        (self.decoded, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    fn stamp(n: u32) -> i64 {
        timestamp(f64::from(n) * 0.04)
    }

    #[test]
    fn each_frame_of_a_steady_stream_is_painted_with_its_capture_time() {
        let mut monitor = DecoderMonitor::default();
        for n in 0..100 {
            let (position, now) = (f64::from(n) * 0.04, f64::from(n) * 40.0);
            monitor.submit(stamp(n), Some(now), at(now));
            assert_eq!(monitor.output(stamp(n), position, at(now + 4.0)), FrameAction::Paint(Some(now)));
        }
        assert_eq!((monitor.quality(), monitor.painted()), ((100, 0), Some(3.96)));
    }

    #[test]
    fn frames_of_a_decoder_that_reorders_are_painted_as_well() {
        let mut monitor = DecoderMonitor::default();
        (0..8).for_each(|n| monitor.submit(stamp(n), None, at(f64::from(n) * 40.0)));
        for n in 8..50 {
            let now = at(f64::from(n) * 40.0);
            monitor.submit(stamp(n), None, now);
            assert_eq!(monitor.output(stamp(n - 8), f64::from(n) * 0.04, now), FrameAction::Paint(None), "{n}");
        }
        assert!(!monitor.is_behind(at(2_000.0)));
    }

    #[test]
    fn burst_is_painted_in_steps_and_ends_with_its_last_frame() {
        let mut monitor = DecoderMonitor::default();
        (0..100).for_each(|n| monitor.submit(stamp(n), None, at(0.0)));
        let mut paint = |n: u32| monitor.output(stamp(n), 3.96, at(f64::from(n) * 2.0)) != FrameAction::Drop;
        let painted: Vec<u32> = (0..100).filter(|&n| paint(n)).collect();
        assert_eq!((painted[0], painted[1], *painted.last().unwrap()), (0, 50, 99));
        assert!(painted.len() < 20, "{painted:?}");
        assert_eq!(monitor.quality(), (100, 100 - painted.len() as u64));
    }

    #[test]
    fn older_frame_than_the_painted_one_is_dropped() {
        let mut monitor = DecoderMonitor::default();
        monitor.submit(stamp(2), None, at(0.0));
        monitor.submit(stamp(1), None, at(0.0));
        assert_eq!(monitor.output(stamp(2), 0.08, at(1.0)), FrameAction::Paint(None));
        assert_eq!(monitor.output(stamp(1), 0.08, at(90.0)), FrameAction::Drop);
    }

    #[test]
    fn slow_decoder_is_behind_and_then_overloaded_until_its_reset() {
        let mut monitor = DecoderMonitor::default();
        (0..60).for_each(|n| monitor.submit(stamp(n), None, at(f64::from(n) * 40.0)));
        assert_eq!((monitor.is_behind(at(450.0)), monitor.is_behind(at(2_400.0))), (false, true));
        assert!(!monitor.is_overloaded(at(2_400.0)) && monitor.is_overloaded(at(3_100.0)));
        monitor.reset();
        assert!(!monitor.is_behind(at(9_000.0)) && !monitor.is_overloaded(at(9_000.0)));
        assert_eq!(monitor.quality(), (60, 60));
    }

    #[test]
    fn decoder_without_output_is_silent_after_a_timeout() {
        let mut monitor = DecoderMonitor::default();
        for n in 0..30 {
            monitor.submit(stamp(n), None, at(f64::from(n) * 200.0));
        }
        assert!(!monitor.is_silent(at(FIRST_FRAME_MS)) && monitor.is_silent(at(FIRST_FRAME_MS + 1.0)));
        monitor.output(stamp(0), 1.0, at(5_000.0));
        assert!(!monitor.is_silent(at(9_000.0)));
    }
}
