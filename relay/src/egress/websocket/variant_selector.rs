//! Decides between the full variant and `low` for one viewer.
//!
//! Steps down as soon as the link is [congested](congestion_detector). Steps up when a [probe](probe) shows that the link would
//! carry the full variant. A failed probe delays the next one. A full variant that soon had to be given up delays it much
//! longer, so that the video does not switch back and forth.
//!
//! Input: acknowledgements and times. Output: a level and padding. Pure.

mod congestion_detector;
pub(super) mod probe;

use std::time::Duration;

use congestion_detector::CongestionDetector;
use probe::{Padding, Probe, ProbeResult};

/// Congestion of this length means a slow link. Shorter is a stall; a longer threshold would add its length to the delay.
const CONGESTION_MAX: Duration = Duration::from_millis(250);
/// Congestion from which `low` is started: its encoder takes about as long to start as the decision takes.
const STANDBY_CONGESTION: Duration = Duration::from_millis(50);
/// Time that `low` keeps running after the last suspicion.
const STANDBY_TIME: Duration = Duration::from_secs(5);
/// A queue this long within [`START_PERIOD`] means that the link cannot carry the full variant. Later, the link may merely have
/// stalled.
const START_QUEUE_MAX: Duration = Duration::from_secs(1);
/// The length of the beginning.
const START_PERIOD: Duration = Duration::from_secs(5);
/// Time without late messages on `low` before a probe.
const CALM: Duration = Duration::from_secs(3);
/// Decay of the longest queue per acknowledgement: a key frame a second ago still counts, one a minute ago does not.
const QUEUE_DECAY: f64 = 0.95;
/// Delay after a failed probe, which costs `low` 50 ms. With the probe itself and the next key frame, a recovered link is found
/// within 5 s.
const RETRY: Duration = Duration::from_secs(2);
/// A full variant that must be given up within this time was a mistake.
const TRIAL: Duration = Duration::from_secs(15);
/// Delay after such mistakes: the first and the longest.
const MISTAKE_DELAYS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(80));
/// Time without another attempt after `low` failed to start.
const UNAVAILABLE: Duration = Duration::from_secs(60);

/// The variant that the link allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Level {
    /// The variant that fits the viewer's browser.
    #[default]
    Full,
    /// [`sightline_protocol::stream::Variant::Low`].
    Low,
}

/// The bit rates of both variants, in bytes per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    pub(super) full: f64,
    pub(super) low: f64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct VariantSelector {
    /// Whether there is a choice. False for a viewer that requested a variant by name, and for a stream without `low`.
    may_use_low: bool,
    /// The time since which there is a choice.
    began: Duration,
    level: Level,
    congestion: CongestionDetector,
    /// The start of `low`'s standby and its end.
    standby: Option<(Duration, Duration)>,
    /// The time of the last late message on `low`.
    calm: Duration,
    /// The longest recent queue.
    queue: Duration,
    probe: Option<Probe>,
    /// Earliest time of the next change or probe.
    next: Duration,
    /// The time of the last successful probe.
    went_up: Option<Duration>,
    /// Consecutive mistakes: full variants that soon had to be given up.
    mistakes: u32,
}

impl VariantSelector {
    /// Sets whether there is a choice. Without one, the full variant is sent.
    pub(super) fn set_may_use_low(&mut self, may_use_low: bool, now: Duration) {
        if self.may_use_low != may_use_low {
            *self = Self { may_use_low, began: now, congestion: CongestionDetector::began(now), ..Self::default() };
        }
    }

    /// Records that `low` is not available.
    pub(super) fn unavailable(&mut self, now: Duration) {
        *self = Self {
            may_use_low: self.may_use_low,
            congestion: CongestionDetector::began(now),
            next: now + UNAVAILABLE,
            ..Self::default()
        };
    }

    /// The variant to send.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// The time for which `low` has been wanted or likely.
    pub(super) fn low_wanted_for(&self, now: Duration) -> Option<Duration> {
        let (since, until) = self.standby?;
        (self.level == Level::Low || now < until).then(|| now.saturating_sub(since))
    }

    /// Resets the measurements, because other media or none was sent meanwhile.
    pub(super) fn interrupted(&mut self, now: Duration) {
        (self.congestion, self.calm, self.probe) = (CongestionDetector::began(now), now, None);
    }

    /// Records an acknowledgement: the newest message was late by `delay`, which includes the link's `queue`.
    pub(super) fn feedback(&mut self, delay: Duration, queue: Duration, now: Duration) {
        match self.level {
            Level::Full if self.may_use_low => self.detect_congestion(delay, queue, now),
            Level::Full => {}
            Level::Low => self.watch_low(delay, queue, now),
        }
    }

    /// The padding to send now, if a probe is running or due.
    pub(super) fn padding(&mut self, rates: Rates, now: Duration) -> Option<Padding> {
        if self.level == Level::Full {
            return None;
        }
        if self.probe.is_none() && now >= self.next && now.saturating_sub(self.calm) >= CALM {
            self.probe = Some(Probe::new(rates, now));
        }
        self.probe.as_mut()?.padding(rates, now)
    }

    /// Records that a train of padding took `took_ms` to arrive.
    pub(super) fn train_arrived(&mut self, took_ms: f64, rates: Rates, now: Duration) {
        if let Some(probe) = &mut self.probe {
            let result = probe.train_arrived(took_ms, rates, now);
            self.apply(result, now);
        }
    }

    /// On the full variant: detects a link that does not carry it.
    fn detect_congestion(&mut self, delay: Duration, queue: Duration, now: Duration) {
        let congestion = self.congestion.feedback(delay, now);
        let overloaded = queue >= START_QUEUE_MAX && now.saturating_sub(self.began) < START_PERIOD;
        if now < self.next {
            return;
        }
        if congestion >= CONGESTION_MAX || overloaded {
            self.step_down(now);
        } else if congestion >= STANDBY_CONGESTION {
            self.start_standby(now);
        }
    }

    /// On `low`: watches for late messages, and for the result of a probe.
    fn watch_low(&mut self, delay: Duration, queue: Duration, now: Duration) {
        if let Some(probe) = &self.probe {
            let result = probe.feedback(delay, self.queue, now);
            return self.apply(result, now);
        }
        if delay >= congestion_detector::LATE {
            self.calm = now;
        }
        self.queue = self.queue.mul_f64(QUEUE_DECAY).max(queue);
    }

    fn apply(&mut self, result: ProbeResult, now: Duration) {
        match result {
            ProbeResult::Open => {}
            ProbeResult::Carries => {
                (self.level, self.went_up, self.standby) = (Level::Full, Some(now), None);
                self.interrupted(now);
            }
            ProbeResult::Fails => {
                self.probe = None;
                self.next = now + RETRY;
            }
        }
    }

    fn step_down(&mut self, now: Duration) {
        self.start_standby(now);
        let mistake = self.went_up.is_some_and(|at| now.saturating_sub(at) < TRIAL);
        self.next = if mistake { now + doubled(MISTAKE_DELAYS, self.mistakes) } else { now };
        self.mistakes = if mistake { self.mistakes + 1 } else { 0 };
        self.level = Level::Low;
        self.interrupted(now);
    }

    fn start_standby(&mut self, now: Duration) {
        let since = self.standby.filter(|&(_, until)| now < until).map_or(now, |(since, _)| since);
        self.standby = Some((since, now + STANDBY_TIME));
    }
}

/// The first value of the span, doubled `times` times, at most the last.
fn doubled((first, last): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(last)
}

#[cfg(test)]
mod tests;
