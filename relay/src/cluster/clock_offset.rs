//! The difference between the clock of another relay and this one's, from round trips through the NATS server.
//!
//! The other relay answers with its time. A round trip without delay would say the difference exactly; a delay on one way only makes
//! it wrong by half of the delay. So the fastest of the recent round trips counts, and a difference within its error is none: relays
//! on one machine then agree exactly. Pure: reads no clock.

use std::collections::VecDeque;

/// The number of recent round trips. At one in five seconds these are 80 s, in which a clock that runs 100 ppm fast gains 8 ms.
const SAMPLES: usize = 16;

/// See the [module](self). Times are in milliseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct ClockOffset {
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    round_trip: f64,
    offset: f64,
}

impl ClockOffset {
    /// Takes a round trip that began at `sent` and ended at `received` on this relay's clock, and was answered at `at` on the
    /// other one's.
    pub(super) fn sample(&mut self, sent: f64, at: f64, received: f64) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        let round_trip = (received - sent).max(0.0);
        self.samples.push_back(Sample { round_trip, offset: at - (sent + received) / 2.0 });
    }

    /// By how much the other clock is ahead. 0 before the first round trip, and while the difference is within the error of
    /// measurement.
    pub(super) fn offset(&self) -> f64 {
        let fastest = self.samples.iter().min_by(|one, other| one.round_trip.total_cmp(&other.round_trip));
        fastest.filter(|fastest| fastest.offset.abs() > fastest.round_trip / 2.0).map_or(0.0, |fastest| fastest.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fastest_round_trip_counts() {
        let mut clock = ClockOffset::default();
        assert_eq!(clock.offset(), 0.0);
        // The other clock is 500 ms ahead; each way takes 1 ms, and sometimes a way takes longer.
        for (there, back) in [(40.0, 1.0), (1.0, 1.0), (1.0, 90.0)] {
            clock.sample(1000.0, 1000.0 + there + 500.0, 1000.0 + there + back);
        }
        assert!((clock.offset() - 500.0).abs() < 1e-9, "{}", clock.offset());
    }

    #[test]
    fn clocks_of_one_machine_agree() {
        let mut clock = ClockOffset::default();
        clock.sample(1000.0, 1000.3, 1000.4);
        assert_eq!(clock.offset(), 0.0);
    }

    #[test]
    fn old_round_trips_are_forgotten() {
        let mut clock = ClockOffset::default();
        clock.sample(0.0, 100.5, 1.0);
        (0..SAMPLES).for_each(|_| clock.sample(0.0, 202.0, 4.0));
        assert!((clock.offset() - 200.0).abs() < 1e-9, "{}", clock.offset());
    }

    proptest! {
        #[test]
        fn error_is_at_most_half_of_the_fastest_round_trip(
            ahead in -1e6f64..1e6, ways in prop::collection::vec((0.0f64..50.0, 0.0f64..50.0), 1..SAMPLES),
        ) {
            let mut clock = ClockOffset::default();
            for (there, back) in &ways {
                clock.sample(0.0, there + ahead, there + back);
            }
            let fastest = ways.iter().map(|(there, back)| there + back).fold(f64::INFINITY, f64::min);
            // The error of measurement, and once more where the offset counts as none.
            prop_assert!((clock.offset() - ahead).abs() <= fastest + 1e-6);
        }
    }
}
