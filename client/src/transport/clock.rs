//! Estimates the relay's clock.
//!
//! A ping yields its departure time, the relay's time of the answer, and the arrival time of the answer. The relay's clock at
//! arrival is estimated as the answer's time plus half the round trip. The error is at most half the round trip. A round trip
//! without queueing is the most accurate, so the shortest of the newest counts (as in NTP, RFC 5905, section 10).
//!
//! Times are in milliseconds, each on its own side's clock.

use std::collections::VecDeque;

/// Number of answers kept, one every five seconds. A clock that runs 100 ppm fast is followed within 6 ms, and a path that has
/// become longer is accepted after a minute.
const ANSWERS: usize = 12;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct RelayClock {
    /// Round trip, and the offset of the relay's clock from the page's.
    answers: VecDeque<(f64, f64)>,
}

impl RelayClock {
    /// Handles the answer to a ping of `sent`: `at` is the relay's time, `received` the answer's arrival.
    pub fn answered(&mut self, sent: f64, at: f64, received: f64) {
        let round_trip = received - sent;
        // Ignores an answer if a clock was set in between, or if its time is invalid.
        if round_trip < 0.0 || !at.is_finite() {
            return;
        }
        if self.answers.len() == ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back((round_trip, at - (sent + received) / 2.0));
    }

    /// The offset of the relay's clock from the page's; none before the first answer.
    pub fn ahead(&self) -> Option<f64> {
        self.best().map(|(_, ahead)| ahead)
    }

    /// The shortest of the newest round trips; none before the first answer. Half of it bounds the error of
    /// [`ahead`](Self::ahead).
    pub fn round_trip(&self) -> Option<f64> {
        self.best().map(|(round_trip, _)| round_trip)
    }

    fn best(&self) -> Option<(f64, f64)> {
        self.answers.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quickest_answer_sets_the_offset() {
        let mut clock = RelayClock::default();
        assert_eq!(clock.ahead(), None);
        // The relay is 1000 ms ahead; the request takes 10 ms, the answer 10 to 210.
        for back in [210.0, 10.0, 110.0] {
            clock.answered(0.0, 1010.0, 10.0 + back);
        }
        assert_eq!((clock.ahead(), clock.round_trip()), (Some(1000.0), Some(20.0)));
    }

    #[test]
    fn answers_expire() {
        let mut clock = RelayClock::default();
        clock.answered(0.0, 1005.0, 10.0);
        for n in 0..ANSWERS {
            let sent = 1000.0 * n as f64;
            clock.answered(sent, sent + 2020.0, sent + 40.0);
        }
        assert_eq!(clock.ahead(), Some(2000.0), "the relay was started anew, or its path has changed");
    }

    #[test]
    fn implausible_answers_are_ignored() {
        let mut clock = RelayClock::default();
        clock.answered(10.0, 5.0, 3.0);
        clock.answered(0.0, f64::NAN, 3.0);
        assert_eq!(clock.ahead(), None);
    }
}
