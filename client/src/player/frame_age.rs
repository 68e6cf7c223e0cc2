//! Measures the age of the presented frame.
//!
//! Every fragment carries its frame's capture time on the relay's clock. [`CaptureTimes`] maps positions on the timeline to capture
//! times, the browser reports the position of each presented frame, and [`FrameAge`] averages the ages. Buffer levels do not enter:
//! buffered media is not on screen.
//!
//! Capture times and ages are in milliseconds, timeline positions in seconds.

use std::collections::VecDeque;

/// Frames remembered: more than a buffer holds at 60 frames per second. When full, the oldest is dropped.
const FRAMES_MAX: usize = 2048;
/// Browsers round a frame's time to microseconds, some to milliseconds. Frames are further apart than this, in seconds.
const ROUNDING: f64 = 0.004;
/// The displayed age is the mean over this long: steady enough to read.
const MEAN_MS: f64 = 500.0;

/// The capture times of the frames on the timeline.
#[derive(Debug, Default)]
pub struct CaptureTimes {
    /// Position and capture time, in timeline order.
    frames: VecDeque<(f64, Option<f64>)>,
}

impl CaptureTimes {
    /// Records that a frame with this capture time, if known, was placed at `start`.
    pub fn insert(&mut self, start: f64, capture: Option<f64>) {
        if self.frames.len() == FRAMES_MAX {
            self.frames.pop_front();
        }
        self.frames.push_back((start, capture));
    }

    /// Returns the capture time of the frame shown at `position`; none if unknown.
    pub fn at(&self, position: f64) -> Option<f64> {
        let after = self.frames.partition_point(|&(start, _)| start <= position + ROUNDING);
        self.frames.get(after.checked_sub(1)?)?.1
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct FrameAge {
    /// The presentation times of frames and their ages then, both on the relay's clock, for the last [`MEAN_MS`].
    recent: VecDeque<(f64, f64)>,
}

impl FrameAge {
    /// Handles the presentation at `now` of a frame captured at `capture`; none if its capture time is unknown.
    pub fn presented(&mut self, capture: Option<f64>, now: f64) {
        let Some(capture) = capture else { return self.recent.clear() };
        self.recent.push_back((now, now - capture));
        while self.recent.front().is_some_and(|&(at, _)| at < now - MEAN_MS) {
            self.recent.pop_front();
        }
    }

    /// Returns the age at `now`: the mean of the frames presented within [`MEAN_MS`]. A frame that has been on screen for
    /// longer has its present age.
    pub fn at(&self, now: f64) -> Option<f64> {
        let &(shown, age) = self.recent.back()?;
        if now - shown > MEAN_MS {
            return Some(age + now - shown);
        }
        let lately = self.recent.iter().filter(|&&(at, _)| at >= now - MEAN_MS);
        let (sum, count) = lately.fold((0.0, 0.0), |(sum, count), &(_, age)| (sum + age, count + 1.0));
        Some(sum / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_found_by_its_rounded_time() {
        let mut capture_times = CaptureTimes::default();
        assert_eq!(capture_times.at(1.0), None);
        for n in 0..5 {
            capture_times.insert(0.01 + 0.04 * f64::from(n), (n != 3).then(|| 1000.0 + 40.0 * f64::from(n)));
        }
        assert_eq!(capture_times.at(0.0), None);
        assert_eq!(capture_times.at(0.009_999), Some(1000.0));
        assert_eq!(capture_times.at(0.088), Some(1080.0));
        assert_eq!(capture_times.at(0.13), None, "this one's is not known");
        assert_eq!(capture_times.at(9.0), Some(1160.0));
        (0..FRAMES_MAX).for_each(|n| capture_times.insert(1.0 + n as f64, None));
        assert_eq!(capture_times.frames.len(), FRAMES_MAX);
    }

    #[test]
    fn age_is_a_mean_and_grows_without_new_frames() {
        let mut age = FrameAge::default();
        assert_eq!(age.at(0.0), None);
        for n in 0..50 {
            let late = if n % 2 == 0 { 0.0 } else { 20.0 };
            age.presented(Some(40.0 * f64::from(n)), 40.0 * f64::from(n) + 150.0 + late);
        }
        let last = 49.0 * 40.0 + 170.0;
        let mean = age.at(last + 10.0).unwrap();
        assert!((mean - 160.0).abs() < 3.0, "{mean}");
        assert_eq!(age.at(last + 1000.0), Some(1170.0), "the same frame, a second later");
    }

    #[test]
    fn frame_without_a_capture_time_has_no_age() {
        let mut age = FrameAge::default();
        age.presented(Some(0.0), 100.0);
        age.presented(None, 140.0);
        assert_eq!(age.at(150.0), None);
    }
}
