//! How a stream is doing, once a second.

use web_sys::HtmlVideoElement;

use crate::browser::video;
use crate::state::history::Sample;
use crate::time::Moment;
use crate::transport::websocket::Traffic;

const EVERY_MS: f64 = 1_000.0;

/// Totals at the last look: browsers and connections count from zero again when they start over.
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
    /// The source of the count says `now`. Returns by how much that is more.
    fn count(&mut self, now: u64) -> f64 {
        let more = if now >= self.seen { now - self.seen } else { now };
        self.seen = now;
        self.total += more;
        more as f64
    }
}

/// What only the engine knows.
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
    /// The next sample, if it is time for one.
    pub(super) fn sample(
        &mut self,
        element: &HtmlVideoElement,
        figures: impl FnOnce() -> Figures,
        now: Moment,
    ) -> Option<Sample> {
        let seconds = self.looked.map_or(f64::INFINITY, |looked| now.ms_since(looked) / 1e3);
        if seconds * 1e3 < EVERY_MS {
            return None;
        }
        self.looked = Some(now);
        let (decoded, dropped) = video::quality(element);
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
    fn a_count_that_starts_over_goes_on() {
        let mut counter = Counter::default();
        assert_eq!([10, 30, 5, 6].map(|now| counter.count(now)), [10.0, 20.0, 5.0, 1.0]);
        assert_eq!(counter.total, 36);
    }
}
