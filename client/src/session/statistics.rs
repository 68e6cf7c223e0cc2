//! Samples a stream's statistics, once a second.

use crate::state::history::Sample;
use crate::time::Moment;
use crate::transport::websocket::Traffic;

const EVERY_MS: f64 = 1_000.0;

/// Totals at the last sample: the counters of browsers and connections restart at zero.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    looked: Option<Moment>,
    bytes: Counter,
    messages: Counter,
    decoded: Counter,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Counter {
    seen: u64,
    total: u64,
}

impl Counter {
    /// Reads a counter that stands at `now`. Returns the increase.
    fn count(&mut self, now: u64) -> f64 {
        let more = if now >= self.seen { now - self.seen } else { now };
        self.seen = now;
        self.total += more;
        more as f64
    }
}

/// Interval of age reports: as often as a viewer can read a number.
const AGE_EVERY_MS: f64 = 500.0;
/// Smaller changes of the age are not worth a redraw.
const AGE_NOTABLE_MS: f64 = 3.0;

/// The age of the presented frame, as last reported.
#[derive(Debug)]
pub(super) struct Age {
    looked: Moment,
    told: Option<f64>,
}

impl Age {
    pub(super) fn new(now: Moment) -> Self {
        Self { looked: now, told: None }
    }

    /// The last reported age.
    pub(super) fn told(&self) -> Option<f64> {
        self.told
    }

    /// Samples the age if it is time; none if unknown. Returns the age to report, if it has changed notably.
    pub(super) fn news(&mut self, age_ms: impl FnOnce() -> Option<f64>, now: Moment) -> Option<Option<f64>> {
        if now.ms_since(self.looked) < AGE_EVERY_MS {
            return None;
        }
        self.looked = now;
        let age_ms = age_ms();
        let same = age_ms.zip(self.told).is_some_and(|(age, told)| (age - told).abs() < AGE_NOTABLE_MS);
        if same || age_ms == self.told {
            return None;
        }
        self.told = age_ms;
        Some(age_ms)
    }
}

/// The values that only the engine knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) age_ms: Option<f64>,
    pub(super) buffered: f64,
    pub(super) jitter_ms: Option<f64>,
    pub(super) rate: f64,
    pub(super) round_trip_ms: Option<f64>,
    pub(super) traffic: Traffic,
}

impl Statistics {
    /// Returns the next sample, if it is time for one. `quality` counts the decoded frames, and of those the dropped ones.
    pub(super) fn sample(
        &mut self,
        quality: impl FnOnce() -> (u64, u64),
        figures: impl FnOnce() -> Figures,
        now: Moment,
    ) -> Option<Sample> {
        let seconds = self.looked.map_or(f64::INFINITY, |looked| now.ms_since(looked) / 1e3);
        if seconds * 1e3 < EVERY_MS {
            return None;
        }
        self.looked = Some(now);
        let (decoded, dropped) = quality();
        let Figures { age_ms, buffered, jitter_ms, rate, round_trip_ms, traffic } = figures();
        let (bytes, frames) = (self.bytes.count(traffic.bytes), self.decoded.count(decoded));
        let (fragments, skipped) = (self.messages.count(traffic.messages), self.dropped.count(dropped));
        Some(Sample {
            age_ms,
            bits: bytes * 8.0 / seconds,
            frames: frames / seconds,
            skipped: skipped / seconds,
            fragments: fragments / seconds,
            buffered,
            jitter_ms,
            rate,
            round_trip_ms,
            messages: traffic.messages,
            unacknowledged: traffic.unacknowledged,
            bytes: self.bytes.total,
            decoded: self.decoded.total,
            dropped: self.dropped.total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_when_it_can_be_read_and_has_changed() {
        let at = Moment::from_ms;
        let mut age = Age::new(at(0.0));
        assert_eq!(age.news(|| unreachable!(), at(499.0)), None, "too soon");
        assert_eq!(age.news(|| Some(100.0), at(500.0)), Some(Some(100.0)));
        assert_eq!(age.news(|| Some(102.0), at(1_000.0)), None, "the same to any reader");
        assert_eq!(age.news(|| None, at(1_500.0)), Some(None));
        assert_eq!((age.news(|| None, at(2_000.0)), age.told()), (None, None));
    }

    #[test]
    fn a_count_that_starts_over_goes_on() {
        let mut counter = Counter::default();
        assert_eq!([10, 30, 5, 6].map(|now| counter.count(now)), [10.0, 20.0, 5.0, 1.0]);
        assert_eq!(counter.total, 36);
    }
}
