//! Decides how long a frame is held before it is decoded.
//!
//! On a steady link a frame is decoded on arrival. With jitter, every frame is held until the latest one of the last half minute
//! would have arrived too, so that frames follow each other at the camera's intervals. A frame that is later than that is
//! decoded at once.
//!
//! Frames are held encoded: a decoded frame takes one of the decoder's few buffers. Times are in seconds.

use super::arrivals::Arrivals;
use crate::time::Moment;

/// Jitter that is not worth a delay, in seconds: one refresh of a screen hides it.
const UNSEEN: f64 = 0.02;

/// See the module.
#[derive(Debug, Default)]
pub struct PlayoutDelay {
    arrivals: Arrivals,
}

impl PlayoutDelay {
    /// Forgets all arrivals: the media that follows has a new offset on the timeline.
    pub fn begin(&mut self) {
        self.arrivals = Arrivals::default();
    }

    /// Handles the arrival of the frame at `start` of the timeline. Returns when to decode it.
    pub fn arrived(&mut self, start: f64, now: Moment) -> Moment {
        self.arrivals.add(start, now);
        let held = self.jitter(now).map_or(0.0, |jitter| (jitter - UNSEEN).max(0.0));
        match self.arrivals.earliest().filter(|_| held > 0.0) {
            Some(earliest) => Moment::from_ms((start + earliest + held).max(now.seconds()) * 1e3),
            None => now,
        }
    }

    /// The lag of the latest frame minus that of the earliest, without one isolated delay.
    pub fn jitter(&self, now: Moment) -> Option<f64> {
        Some(self.arrivals.latest(now)? - self.arrivals.earliest()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_MS: f64 = 40.0;

    /// Frames of 25 fps that arrive `late_ms(n)` after their time. Returns how long after that time each is decoded.
    fn run(frames: u32, late_ms: impl Fn(u32) -> f64) -> Vec<f64> {
        let mut playout_delay = PlayoutDelay::default();
        let decoded = |n: u32| {
            let at = 5_000.0 + f64::from(n) * FRAME_MS;
            let due = playout_delay.arrived(f64::from(n) * FRAME_MS / 1e3, Moment::from_ms(at + late_ms(n)));
            due.seconds() * 1e3 - at
        };
        (0..frames).map(decoded).collect()
    }

    #[test]
    fn steady_link_decodes_on_arrival() {
        for (n, delay) in run(500, |n| if n % 3 == 0 { 18.0 } else { 0.0 }).into_iter().enumerate() {
            let late = if n % 3 == 0 { 18.0 } else { 0.0 };
            assert!((delay - late).abs() < 1e-6, "frame {n}: {delay} ms");
        }
    }

    #[test]
    fn jitter_is_held_until_the_latest_frame() {
        let delays = run(1_000, |n| f64::from(n * 7 % 10) * 10.0);
        for (n, delay) in delays.iter().enumerate().skip(100) {
            assert!((69.0..=90.1).contains(delay), "frame {n}: {delay} ms");
        }
    }

    #[test]
    fn second_delay_within_the_window_is_held() {
        let delays = run(400, |n| if n == 100 || n == 200 { 35.0 } else { 0.0 });
        assert!(delays[101..200].iter().all(|delay| delay.abs() < 1e-6));
        assert!(delays[201..].iter().all(|delay| (delay - 15.0).abs() < 1e-6), "{:?}", &delays[199..205]);
    }

    #[test]
    fn start_of_an_encoder_is_not_jitter() {
        // The encoder begins 600 ms late and works at 1.3 times the camera's rate: no frame waits behind another.
        let late_ms = |n: u32| (600.0 - f64::from(n) * FRAME_MS * 0.3).max(0.0) + f64::from(n % 2) * 15.0;
        let delays = run(200, late_ms);
        let held: Vec<f64> = delays.into_iter().zip(0..).map(|(delay, n)| delay - late_ms(n)).collect();
        assert!(held.iter().all(|held| (-1e-6..20.0).contains(held)), "{held:.0?}");
    }

    #[test]
    fn steady_link_after_jitter_is_decoded_on_arrival_again() {
        let delays = run(2_000, |n| if n < 200 { f64::from(n % 5) * 20.0 } else { 0.0 });
        assert!(delays[300] > 50.0 && delays[1_999].abs() < 1e-6);
    }

    #[test]
    fn new_offset_resets_the_jitter_and_a_burst_is_decoded_at_once() {
        let mut playout_delay = PlayoutDelay::default();
        for n in 0..100 {
            playout_delay.arrived(f64::from(n) * 0.04, Moment::from_ms(f64::from(n) * 40.0 + f64::from(n % 5) * 20.0));
        }
        playout_delay.begin();
        let now = Moment::from_ms(90_000.0);
        assert!((0..50).all(|n| playout_delay.arrived(4.0 + f64::from(n) * 0.04, now) == now));
    }
}
