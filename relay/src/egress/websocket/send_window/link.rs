//! Estimates a link's propagation delay, queueing delay and delivery rate from acknowledgements.
//!
//! The queueing delay is the excess over the minimum delay. One-way delay and round trip are measured separately, and the
//! smaller excess counts: neither a slow return path nor a step of the viewer's clock looks like a queue.

use std::collections::VecDeque;
use std::time::Duration;

/// The minimum delay expires after [`FLOOR_PARTS`] times this: long enough to include a time without a queue, short enough to
/// recognize a path that has become longer.
const FLOOR_PART: Duration = Duration::from_secs(10);
/// See [`FLOOR_PART`].
const FLOOR_PARTS: usize = 3;
/// The span of the rate measurement: the GOP of the relay's encoders, a third of which is its key frame.
const RATE_SPAN: Duration = Duration::from_secs(1);
/// Deliveries closer than this are merged, which bounds memory for a viewer that acknowledges constantly.
const RATE_GRAIN: Duration = Duration::from_millis(20);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Link {
    round_trip: Floor,
    way_there: Floor,
    /// Mean and mean deviation of the round trip of pings, which viewers answer at once.
    usual: Option<(f64, f64)>,
    queue: Duration,
    delivered: u64,
    /// Time and total of bytes delivered, within [`RATE_SPAN`] and one entry before it.
    deliveries: VecDeque<(Duration, u64)>,
}

impl Link {
    /// Records that a message sent at `sent` was acknowledged at `now`. It arrived at `at` milliseconds of the viewer's clock.
    pub(super) fn sample(&mut self, sent: Duration, at: Option<f64>, now: Duration) {
        let excess = self.round_trip.excess(ms(now.saturating_sub(sent)), now);
        let excess = at.map_or(excess, |at| excess.min(self.way_there.excess(at - ms(sent), now)));
        // A viewer may send any time; an impossible duration counts as zero.
        self.queue = Duration::try_from_secs_f64(excess / 1e3).unwrap_or_default();
    }

    /// As [`Self::sample`], for a ping that was answered on arrival.
    pub(super) fn on_pong(&mut self, sent: Duration, at: f64, now: Duration) {
        self.sample(sent, Some(at), now);
        let round_trip = ms(now.saturating_sub(sent));
        // RFC 6298, section 2.
        self.usual = Some(match self.usual {
            None => (round_trip, round_trip / 2.0),
            Some((mean, deviation)) => {
                (mean + (round_trip - mean) / 8.0, deviation + ((round_trip - mean).abs() - deviation) / 4.0)
            }
        });
    }

    /// The longest round trip that is not late. `None` before the first pong.
    pub(super) fn usual(&self) -> Option<Duration> {
        let (mean, deviation) = self.usual?;
        Duration::try_from_secs_f64((mean + 4.0 * deviation) / 1e3).ok()
    }

    /// Restarts the rate measurement: the link was idle before `now`.
    pub(super) fn begins(&mut self, now: Duration) {
        self.deliveries.clear();
        self.deliveries.push_back((now, self.delivered));
    }

    /// Records that `bytes` more have arrived.
    pub(super) fn delivered(&mut self, bytes: u64, now: Duration) {
        self.delivered += bytes;
        // The first entry is the start of the measurement and is never merged.
        let joins = self.deliveries.len() > 1
            && self.deliveries.back().is_some_and(|last| now.saturating_sub(last.0) < RATE_GRAIN);
        if joins && let Some(last) = self.deliveries.back_mut() {
            last.1 = self.delivered;
        } else {
            self.deliveries.push_back((now, self.delivered));
        }
        while self.deliveries.get(1).is_some_and(|second| now.saturating_sub(second.0) > RATE_SPAN) {
            self.deliveries.pop_front();
        }
    }

    /// Recently delivered bytes per second; the link's capacity if it was kept busy.
    pub(super) fn rate(&self) -> Option<f64> {
        let (first, last) = (self.deliveries.front()?, self.deliveries.back()?);
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        (seconds > 0.0).then(|| (last.1 - first.1) as f64 / seconds)
    }

    /// The newest estimate of the queueing delay.
    pub(super) fn queue(&self) -> Duration {
        self.queue
    }

    /// The round trip without a queue. `None` before the first acknowledgement.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.round_trip.least()? / 1e3).ok()
    }

    /// Forgets minimum delays after the link has drained: the next sample has no queue.
    pub(super) fn forget_delays(&mut self) {
        (self.round_trip, self.way_there) = (Floor::default(), Floor::default());
    }
}

/// A running minimum over the newest [`FLOOR_PARTS`] intervals.
#[derive(Debug, Default)]
struct Floor {
    /// The number of an interval and its minimum, oldest first.
    parts: VecDeque<(u128, f64)>,
}

impl Floor {
    /// The excess of `value` over the minimum, which includes `value`.
    fn excess(&mut self, value: f64, now: Duration) -> f64 {
        let part = now.as_millis() / FLOOR_PART.as_millis();
        match self.parts.back_mut() {
            Some(last) if last.0 == part => last.1 = last.1.min(value),
            _ => self.parts.push_back((part, value)),
        }
        while self.parts.front().is_some_and(|first| first.0 + FLOOR_PARTS as u128 <= part) {
            self.parts.pop_front();
        }
        value - self.least().unwrap_or(value)
    }

    fn least(&self) -> Option<f64> {
        self.parts.iter().map(|part| part.1).reduce(f64::min)
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn queue_is_the_excess_of_both_one_way_and_round_trip_delay() {
        let mut link = Link::default();
        let mut queue = |sent: u64, arrived: f64, answered: u64| {
            link.sample(at(sent), Some(arrived), at(answered));
            link.queue().as_millis()
        };
        assert_eq!(queue(0, 5020.0, 40), 0);
        assert_eq!(queue(100, 5320.0, 340), 200, "200 ms more on the way there");
        assert_eq!(queue(200, 5220.0, 440), 0, "200 ms more on the way back");
        assert_eq!(queue(300, 9320.0, 340), 0, "the viewer's clock is set forward");
        assert_eq!(queue(400, 420.0, 440), 0, "and back");
    }

    #[test]
    fn longer_path_becomes_the_new_minimum() {
        let mut link = Link::default();
        link.sample(at(0), None, at(20));
        for second in 1..=40 {
            link.sample(at(second * 1000), None, at(second * 1000 + 320));
            let expected = if second < 30 { 300 } else { 0 };
            assert_eq!(link.queue(), at(expected), "after {second} s");
        }
        assert_eq!(link.round_trip(), Some(at(320)));
    }

    #[test]
    fn rate_covers_the_last_second() {
        let mut link = Link::default();
        assert_eq!(link.rate(), None);
        (0..20).for_each(|n| link.delivered(1000, at(n * 100)));
        assert_eq!(link.rate(), Some(10_000.0));
        (20..35).for_each(|n| link.delivered(100, at(n * 100)));
        assert_eq!(link.rate().map(f64::round), Some(1000.0));
        (0..1_000_000).for_each(|n| link.delivered(1, at(3500 + n / 500)));
        assert!(link.deliveries.len() < 60);
    }
}
