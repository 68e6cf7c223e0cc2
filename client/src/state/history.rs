//! Recent samples of a stream, one per second: for the statistics, their curves and the report.

use std::collections::VecDeque;

/// Number of samples kept: two minutes. When full, the oldest is dropped.
const SAMPLES: usize = 120;

/// A sample of a stream's statistics. Totals count since the page was opened.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// The age of the presented frame, in milliseconds, if known.
    pub age_ms: Option<f64>,
    /// Bits received per second.
    pub bits: f64,
    /// Frames decoded per second.
    pub frames: f64,
    /// Frames dropped per second because they were too late.
    pub skipped: f64,
    /// Media messages received per second.
    pub fragments: f64,
    /// Media between the playhead and the end of the buffer, in seconds.
    pub buffered: f64,
    /// Arrival jitter, in milliseconds, if the engine measures it.
    pub jitter_ms: Option<f64>,
    /// The playback rate.
    pub rate: f64,
    /// The shortest of the recent round trips, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Media messages received on this connection.
    pub messages: u64,
    /// Received media messages that are not yet acknowledged.
    pub unacknowledged: u64,
    /// Total bytes of media received.
    pub bytes: u64,
    /// Total frames decoded.
    pub decoded: u64,
    /// Total frames dropped because they were too late.
    pub dropped: u64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    samples: VecDeque<Sample>,
}

impl History {
    /// Adds the newest sample.
    pub fn add(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The newest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// A value of the newest `count` samples, oldest first; none where it was unknown.
    pub fn values(&self, count: usize, value: impl Fn(&Sample) -> Option<f64>) -> Vec<Option<f64>> {
        self.samples.iter().skip(self.samples.len().saturating_sub(count)).map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_samples_are_kept() {
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
