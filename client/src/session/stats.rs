//! Samples a stream's statistics, once a second.

use crate::state::history::Sample;
use crate::time::Moment;
use crate::transport::websocket::Traffic;

const EVERY_MS: f64 = 1_000.0;

/// Totals at the last sample: the counters of browsers and connections restart at zero.
#[derive(Debug, Default)]
pub(super) struct StatsSampler {
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
pub(super) struct AgeReporter {
    looked: Moment,
    reported: Option<f64>,
}

impl AgeReporter {
    pub(super) fn new(now: Moment) -> Self {
        Self { looked: now, reported: None }
    }

    /// The last reported age.
    pub(super) fn reported(&self) -> Option<f64> {
        self.reported
    }

    /// Samples the age if it is time; none if unknown. Returns the age to report, if it has changed notably.
    pub(super) fn poll(&mut self, age_ms: impl FnOnce() -> Option<f64>, now: Moment) -> Option<Option<f64>> {
        if now.ms_since(self.looked) < AGE_EVERY_MS {
            return None;
        }
        self.looked = now;
        let age_ms = age_ms();
        let same = age_ms.zip(self.reported).is_some_and(|(age, reported)| (age - reported).abs() < AGE_NOTABLE_MS);
        if same || age_ms == self.reported {
            return None;
        }
        self.reported = age_ms;
        Some(age_ms)
    }
}

/// The values that only the engine knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EngineStats {
    pub(super) age_ms: Option<f64>,
    pub(super) buffered: f64,
    pub(super) jitter_ms: Option<f64>,
    pub(super) rate: f64,
    pub(super) round_trip_ms: Option<f64>,
    pub(super) traffic: Traffic,
}

impl StatsSampler {
    /// Returns the next sample, if it is time for one. `quality` counts the decoded frames, and of those the dropped ones.
    pub(super) fn sample(
        &mut self,
        quality: impl FnOnce() -> (u64, u64),
        stats: impl FnOnce() -> EngineStats,
        now: Moment,
    ) -> Option<Sample> {
        let seconds = self.looked.map_or(f64::INFINITY, |looked| now.ms_since(looked) / 1e3);
        if seconds * 1e3 < EVERY_MS {
            return None;
        }
        self.looked = Some(now);
        let (decoded, dropped) = quality();
        let EngineStats { age_ms, buffered, jitter_ms, rate, round_trip_ms, traffic } = stats();
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
    fn age_is_reported_twice_a_second_if_it_changed() {
        let at = Moment::from_ms;
        let mut age = AgeReporter::new(at(0.0));
        assert_eq!(age.poll(|| unreachable!(), at(499.0)), None, "too soon");
        assert_eq!(age.poll(|| Some(100.0), at(500.0)), Some(Some(100.0)));
        assert_eq!(age.poll(|| Some(102.0), at(1_000.0)), None, "the same to any reader");
        assert_eq!(age.poll(|| None, at(1_500.0)), Some(None));
        assert_eq!((age.poll(|| None, at(2_000.0)), age.reported()), (None, None));
    }

    #[test]
    fn counter_reset_keeps_the_total() {
        let mut counter = Counter::default();
        assert_eq!([10, 30, 5, 6].map(|now| counter.count(now)), [10.0, 20.0, 5.0, 1.0]);
        assert_eq!(counter.total, 36);
    }
}
