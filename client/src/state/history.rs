//! What a stream did lately, a sample a second: for the statistics, their curves and the report.

use std::collections::VecDeque;

/// How much is remembered: two minutes.
const SAMPLES: usize = 120;

/// How a stream is doing. Totals count since the page was opened.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// How old the picture on screen is, in milliseconds, where that is known.
    pub age_ms: Option<f64>,
    /// Bits received in the last second.
    pub bits: f64,
    /// Frames decoded in the last second.
    pub frames: f64,
    /// Frames that came too late to be shown in the last second.
    pub skipped: f64,
    /// Messages of media received in the last second.
    pub fragments: f64,
    /// Media between the playhead and the end of the buffer, in seconds.
    pub buffered: f64,
    /// By how much the latest frames were later than most, in milliseconds.
    pub jitter_ms: Option<f64>,
    /// The playback rate.
    pub rate: f64,
    /// The quickest of the newest round trips, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Messages of media received on this connection.
    pub messages: u64,
    /// Those of them that the relay has not been told of yet.
    pub unacknowledged: u64,
    /// Bytes of media received, in all.
    pub bytes: u64,
    /// Frames decoded, in all.
    pub decoded: u64,
    /// Frames decoded too late to be shown, in all.
    pub dropped: u64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    samples: VecDeque<Sample>,
}

impl History {
    /// Takes the newest sample.
    pub fn add(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The newest.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// A value of the newest `count` samples, oldest first; none where it was not known.
    pub fn values(&self, count: usize, value: impl Fn(&Sample) -> Option<f64>) -> Vec<Option<f64>> {
        self.samples.iter().skip(self.samples.len().saturating_sub(count)).map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_samples_are_remembered() {
        let mut history = History::default();
        assert_eq!((history.last(), history.values(3, |sample| Some(sample.bits))), (None, vec![]));
        for n in 0..SAMPLES + 5 {
            history.add(Sample { bits: n as f64, age_ms: (n % 2 == 0).then_some(1.0), ..Sample::default() });
        }
        assert_eq!(history.values(usize::MAX, |sample| Some(sample.bits)).len(), SAMPLES);
        assert_eq!(history.values(2, |sample| Some(sample.bits)), [Some(123.0), Some(124.0)]);
        assert_eq!(history.values(2, |sample| sample.age_ms), [None, Some(1.0)]);
        assert_eq!(history.last().unwrap().bits, 124.0);
    }
}
