//! Measures the frame rate that a camera sends, which may differ from its setting.

use std::collections::VecDeque;

/// Number of fragments in the average: two seconds of an ordinary camera.
const WINDOW: usize = 50;
/// Minimum number of fragments for a measurement.
const ENOUGH: usize = 10;
/// Relative changes below this are measurement noise and not worth a redraw.
const NOTABLE: f64 = 0.03;

/// Averages the durations of the newest fragments.
#[derive(Debug, Default)]
pub struct FrameRate {
    window: VecDeque<(u32, f64)>,
    told: Option<f64>,
}

impl FrameRate {
    /// Adds a fragment of `samples` frames and `seconds`. Returns the frame rate when it has changed notably.
    pub fn measure(&mut self, samples: u32, seconds: f64) -> Option<f64> {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back((samples, seconds));
        let (frames, span) = self
            .window
            .iter()
            .fold((0.0, 0.0), |(frames, span), &(samples, seconds)| (frames + f64::from(samples), span + seconds));
        let rate = frames / span;
        let news = self.told.is_none_or(|told| (rate - told).abs() > told * NOTABLE);
        if self.window.len() < ENOUGH || !rate.is_finite() || !news {
            return None;
        }
        self.told = Some(rate);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_reported_once_per_change() {
        let mut rate = FrameRate::default();
        let told: Vec<_> = (0..100).filter_map(|_| rate.measure(1, 0.04)).collect();
        assert_eq!(told.len(), 1);
        assert!((told[0] - 25.0).abs() < 1e-9);
        let told: Vec<_> = (0..100).filter_map(|_| rate.measure(1, 0.1)).collect();
        assert!((told.last().unwrap() - 10.0).abs() < 0.5, "{told:?}");
    }

    #[test]
    fn zero_durations_give_no_rate() {
        let mut rate = FrameRate::default();
        assert!((0..100).all(|_| rate.measure(1, 0.0).is_none()));
    }
}
