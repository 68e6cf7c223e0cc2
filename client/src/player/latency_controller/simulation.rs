//! Simulates a camera, a network path and a browser, to the millisecond, with seeds.

use super::*;

/// A reproducible pseudo-random generator (Knuth's MMIX).
pub(super) struct Random(pub(super) u64);

impl Random {
    /// Returns a number from 0 to 1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The parameters of a simulation. Times are in seconds.
pub(super) struct Scene {
    /// Frame interval.
    pub(super) frame: f64,
    /// Delay from capture to the browser, by frame. Frames stay in order even if delays would reorder them.
    pub(super) way: Box<dyn FnMut(usize) -> f64>,
    /// Delay from arrival to the decoded frame.
    pub(super) decoder: f64,
    /// Interval at which `currentTime` is updated.
    pub(super) renewed: f64,
    /// Relative speed of the camera's clock against the page's, minus 1.
    pub(super) drift: f64,
    pub(super) correction_mode: CorrectionMode,
    pub(super) margin: f64,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            frame: 0.04,
            way: Box::new(|_| 0.08),
            decoder: 0.008,
            renewed: 0.001,
            drift: 0.0,
            correction_mode: CorrectionMode::Rate,
            margin: 0.03,
        }
    }
}

/// A presented frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) at: f64,
    pub(super) age: f64,
    /// How long the playhead stood still before it.
    pub(super) waited: f64,
}

/// The presented frames of a run.
pub(super) struct Seen(pub(super) Vec<Shown>);

impl Seen {
    /// The frames presented between these times.
    pub(super) fn between(&self, from: f64, to: f64) -> Self {
        Self(self.0.iter().copied().filter(|shown| (from..to).contains(&shown.at)).collect())
    }

    /// The age in milliseconds that this fraction of the frames did not exceed.
    pub(super) fn age_ms(&self, fraction: f64) -> f64 {
        let mut ages: Vec<f64> = self.0.iter().map(|shown| shown.age * 1e3).collect();
        ages.sort_by(f64::total_cmp);
        ages[((ages.len() - 1) as f64 * fraction) as usize]
    }

    /// How often the playhead stood still for longer than this, in seconds.
    pub(super) fn stalls(&self, longer: f64) -> usize {
        self.0.iter().filter(|shown| shown.waited > longer).count()
    }
}

impl Scene {
    /// Plays for this many seconds. The playhead starts 100 ms before the newest frame's end, as after the first seek.
    pub(super) fn play(mut self, seconds: f64) -> Seen {
        let mut latency_controller = LatencyController::new(self.correction_mode, self.margin);
        let (mut seen, mut ready) = (Vec::new(), Vec::<f64>::new());
        let (mut position, mut shown, mut waited, mut rate) = (None, 0, 0.0, 1.0);
        let mut due = self.arrival(0, 0.0);
        for ms in 0..(seconds * 1e3) as u64 {
            let time = ms as f64 / 1e3;
            let now = Moment::from_ms(ms as f64);
            while due <= time {
                latency_controller.arrived(ready.len() as f64 * self.frame, now);
                ready.push(due + self.decoder);
                due = self.arrival(ready.len(), due);
                position = position.or((ready.len() == 5).then_some(ready.len() as f64 * self.frame - 0.1));
                if let Some(position) = position {
                    let renewed: f64 = (position / self.renewed).floor() * self.renewed;
                    latency_controller.sample_position(renewed, now);
                    rate = latency_controller.rate(now);
                }
            }
            let Some(position) = &mut position else { continue };
            let next = *position + 0.001 * rate;
            let frame = (next / self.frame) as usize;
            if ready.get(frame).is_none_or(|&at| at > time) {
                waited += 0.001;
                continue;
            }
            *position = next;
            if frame > shown {
                shown = frame;
                let age = time - self.captured(frame);
                seen.push(Shown { at: time, age, waited: std::mem::take(&mut waited) });
            }
        }
        Seen(seen)
    }

    fn captured(&self, frame: usize) -> f64 {
        frame as f64 * self.frame / (1.0 + self.drift)
    }

    fn arrival(&mut self, frame: usize, before: f64) -> f64 {
        (self.captured(frame) + (self.way)(frame)).max(before)
    }
}
