//! Probes whether a link that is sent `low` would carry the full variant.
//!
//! The probe sends padding instead of the full variant, which would suffer from each failure. Short trains come first: their
//! duration gives the link's capacity and costs 50 ms if that is too small. If it suffices, the probe pads to the full bit rate
//! for a while, because a traffic shaper may pass a short burst only.

use std::time::Duration;

use super::Rates;

/// Size of the first train, in seconds of `low`: 50 ms of delay if the link carries twice its rate.
const TRAIN_FIRST: f64 = 0.1;
/// Growth of a train that was too short to measure.
const TRAIN_GROWTH: f64 = 4.0;
/// Size of the longest train, in seconds of the full variant; its key frames are longer.
const TRAIN_LAST: f64 = 0.1;
/// A train below this duration proves nothing: browsers round their clocks and handle messages one by one.
const TRAIN_MIN_MS: f64 = 20.0;
/// Required rate relative to the full variant's: the peaks exceed the average.
const MARGIN: f64 = 1.15;
/// Time for which the rate must be sustained, longer than the burst that a shaper passes.
const CARRIED: Duration = Duration::from_secs(1);
/// Interval of padding: short enough to be even, long enough for its headers not to matter.
const PORTION: Duration = Duration::from_millis(40);
/// Tolerated delay beyond the longest queue before: far less than visible, far more than one portion takes.
const QUEUE_MAX: Duration = Duration::from_millis(100);
/// Maximum padding at once: the size of the largest key frames.
const PADDING_MAX: f64 = 256.0 * 1024.0;
/// A probe that takes longer has failed: its pongs are stuck in a queue.
const TIME_MAX: Duration = Duration::from_secs(4);

/// Padding to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Padding {
    /// A train of this many bytes, directly after an empty ping. The interval between the two arrivals is its duration.
    Train(usize),
    /// A ping with this many bytes.
    Load(usize),
}

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeResult {
    /// Not known yet.
    Open,
    /// The link would carry the full variant.
    Carries,
    /// The link would not carry it.
    Fails,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// A train of this many bytes is due.
    Train(f64),
    /// A train is in flight.
    OnItsWay(f64),
    /// Padding to the full bit rate since `since`, last sent at `padded`.
    Load { since: Duration, padded: Duration },
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Probe {
    began: Duration,
    stage: Stage,
}

impl Probe {
    pub(super) fn new(rates: Rates, now: Duration) -> Self {
        Self { began: now, stage: Stage::Train(rates.low * TRAIN_FIRST) }
    }

    /// The padding to send now, if any.
    pub(super) fn padding(&mut self, rates: Rates, now: Duration) -> Option<Padding> {
        match self.stage {
            Stage::Train(bytes) => {
                let bytes = bytes.min(longest_train(rates));
                self.stage = Stage::OnItsWay(bytes);
                Some(Padding::Train(bytes as usize))
            }
            Stage::OnItsWay(_) => None,
            Stage::Load { padded, .. } if now.saturating_sub(padded) < PORTION => None,
            Stage::Load { since, padded } => {
                self.stage = Stage::Load { since, padded: now };
                let rate = rates.full * MARGIN - rates.low;
                let bytes = rate * now.saturating_sub(padded).as_secs_f64();
                Some(Padding::Load(bytes.clamp(0.0, PADDING_MAX) as usize))
            }
        }
    }

    /// Records that the train took `took_ms` to arrive.
    pub(super) fn train_arrived(&mut self, took_ms: f64, rates: Rates, now: Duration) -> ProbeResult {
        let Stage::OnItsWay(bytes) = self.stage else { return ProbeResult::Open };
        let longest = longest_train(rates);
        let enough = bytes >= rates.full * MARGIN * took_ms / 1e3;
        self.stage = match bytes >= longest {
            false if took_ms < TRAIN_MIN_MS => Stage::Train(bytes * TRAIN_GROWTH),
            // Jitter is as long as a short train, so a long train confirms the result.
            false if enough => Stage::Train(longest),
            true if enough => Stage::Load { since: now, padded: now },
            _ => return ProbeResult::Fails,
        };
        ProbeResult::Open
    }

    /// Records an acknowledgement with `delay`. `usual` is the longest queue before the probe.
    pub(super) fn feedback(&self, delay: Duration, usual: Duration, now: Duration) -> ProbeResult {
        match self.stage {
            _ if now.saturating_sub(self.began) > TIME_MAX => ProbeResult::Fails,
            Stage::Load { .. } if delay > usual + QUEUE_MAX => ProbeResult::Fails,
            Stage::Load { since, .. } if now.saturating_sub(since) >= CARRIED => ProbeResult::Carries,
            _ => ProbeResult::Open,
        }
    }
}

fn longest_train(rates: Rates) -> f64 {
    (rates.full * TRAIN_LAST).min(PADDING_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { full: 400_000.0, low: 28_000.0 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn trains_grow_until_they_are_conclusive() {
        let mut probe = Probe::new(RATES, ms(0));
        assert_eq!(probe.padding(RATES, ms(0)), Some(Padding::Train(2800)));
        assert_eq!(probe.padding(RATES, ms(1)), None, "one at a time");
        assert_eq!(probe.train_arrived(5.0, RATES, ms(50)), ProbeResult::Open);
        assert_eq!(probe.padding(RATES, ms(50)), Some(Padding::Train(11_200)));
        assert_eq!(probe.train_arrived(24.0, RATES, ms(100)), ProbeResult::Open, "466 KB/s are enough");
        assert_eq!(probe.padding(RATES, ms(100)), Some(Padding::Train(40_000)), "but may be jitter");
        assert_eq!(probe.train_arrived(86.0, RATES, ms(150)), ProbeResult::Open);
        assert_eq!(probe.padding(RATES, ms(150)), None);
        assert_eq!(probe.padding(RATES, ms(200)), Some(Padding::Load(21_600)), "with `low`, 115 % of the full rate");
        assert_eq!(probe.feedback(ms(120), ms(30), ms(1149)), ProbeResult::Open);
        assert_eq!(probe.feedback(ms(120), ms(30), ms(1150)), ProbeResult::Carries);
    }

    #[test]
    fn slow_link_fails_at_the_first_train() {
        let mut probe = Probe::new(RATES, ms(0));
        probe.padding(RATES, ms(0));
        assert_eq!(probe.train_arrived(60.0, RATES, ms(100)), ProbeResult::Fails);
    }

    #[test]
    fn short_train_is_inconclusive() {
        let mut probe = Probe::new(RATES, ms(0));
        probe.padding(RATES, ms(0));
        probe.train_arrived(5.0, RATES, ms(50));
        probe.padding(RATES, ms(50));
        assert_eq!(probe.train_arrived(24.0, RATES, ms(100)), ProbeResult::Open);
        probe.padding(RATES, ms(100));
        assert_eq!(probe.train_arrived(150.0, RATES, ms(250)), ProbeResult::Fails);
    }

    #[test]
    fn queue_or_missing_pong_ends_the_probe() {
        let mut probe = Probe::new(RATES, ms(0));
        probe.padding(RATES, ms(0));
        assert_eq!(probe.feedback(ms(900), ms(30), ms(4000)), ProbeResult::Open, "trains make a queue");
        assert_eq!(probe.feedback(ms(0), ms(30), ms(4001)), ProbeResult::Fails);
        let little = Rates { full: 28_000.0, ..RATES };
        let mut probe = Probe::new(little, ms(0));
        probe.padding(little, ms(0));
        probe.train_arrived(1.0, little, ms(10));
        assert_eq!(probe.feedback(ms(131), ms(30), ms(20)), ProbeResult::Fails);
    }
}
