//! A try of a link that sends the light picture: would it carry the full one?
//!
//! Not tried with the full picture itself, which would suffer each time it fails, but with padding. First short trains of
//! it, whose time tells what the link does at best, and which cost a twentieth of a second where that is too little. If it is
//! enough, all that the full picture needs for a while: a shaper may let a train pass and no more.

use std::time::Duration;

use super::Rates;

/// The first train, in seconds of the light picture: a twentieth of a second's delay where the link carries twice that.
const TRAIN_FIRST: f64 = 0.1;
/// By how much a train grows that was too short to tell.
const TRAIN_GROWTH: f64 = 4.0;
/// The longest train, in seconds of the full picture: its key frames are longer.
const TRAIN_LAST: f64 = 0.1;
/// A train that takes less tells nothing: browsers round their clocks, and handle one message after another.
const TRAIN_MIN_MS: f64 = 20.0;
/// What must be carried beside what the full picture needs: an average is not a peak.
const MARGIN: f64 = 1.15;
/// For how long it must be carried: longer than the burst that a shaper lets through.
const CARRIED: Duration = Duration::from_secs(1);
/// Between two portions of padding: often enough to be even, seldom enough that their own headers do not count.
const PORTION: Duration = Duration::from_millis(40);
/// By how much the delay may exceed the longest queue before: far less than anybody sees, far more than a portion takes.
const QUEUE_MAX: Duration = Duration::from_millis(100);
/// The most padding at once: as long as the longest key frames.
const PADDING_MAX: f64 = 256.0 * 1024.0;
/// A try that takes longer has failed: what it waits for is stuck in a queue.
const TIME_MAX: Duration = Duration::from_secs(4);

/// What to try the link with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Padding {
    /// So many bytes, right after a ping without any: the time between the two is what they take.
    Train(usize),
    /// So many bytes.
    Load(usize),
}

/// What has become of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not known yet.
    Open,
    /// The link would carry the full picture.
    Carries,
    /// It would not.
    Fails,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// A train of so many bytes is to be sent.
    Train(f64),
    /// One is on its way.
    OnItsWay(f64),
    /// All that the full picture needs is sent, since when and last when.
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
        Self { began: now, stage: Stage::Train(rates.light * TRAIN_FIRST) }
    }

    /// What to send now, if anything.
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
                let rate = rates.full * MARGIN - rates.light;
                let bytes = rate * now.saturating_sub(padded).as_secs_f64();
                Some(Padding::Load(bytes.clamp(0.0, PADDING_MAX) as usize))
            }
        }
    }

    /// A train took so long to arrive.
    pub(super) fn train_arrived(&mut self, took_ms: f64, rates: Rates, now: Duration) -> Verdict {
        let Stage::OnItsWay(bytes) = self.stage else { return Verdict::Open };
        let longest = longest_train(rates);
        let enough = bytes >= rates.full * MARGIN * took_ms / 1e3;
        self.stage = match bytes >= longest {
            false if took_ms < TRAIN_MIN_MS => Stage::Train(bytes * TRAIN_GROWTH),
            // Jitter is as long as a short train: what it promises is looked at again.
            false if enough => Stage::Train(longest),
            true if enough => Stage::Load { since: now, padded: now },
            _ => return Verdict::Fails,
        };
        Verdict::Open
    }

    /// Something was acknowledged that came late by `delay`, where the queue had been `usual` before.
    pub(super) fn feedback(&self, delay: Duration, usual: Duration, now: Duration) -> Verdict {
        match self.stage {
            _ if now.saturating_sub(self.began) > TIME_MAX => Verdict::Fails,
            Stage::Load { .. } if delay > usual + QUEUE_MAX => Verdict::Fails,
            Stage::Load { since, .. } if now.saturating_sub(since) >= CARRIED => Verdict::Carries,
            _ => Verdict::Open,
        }
    }
}

fn longest_train(rates: Rates) -> f64 {
    (rates.full * TRAIN_LAST).min(PADDING_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { full: 400_000.0, light: 28_000.0 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn trains_grow_until_they_tell_something() {
        let mut probe = Probe::new(RATES, ms(0));
        assert_eq!(probe.padding(RATES, ms(0)), Some(Padding::Train(2800)));
        assert_eq!(probe.padding(RATES, ms(1)), None, "one at a time");
        assert_eq!(probe.train_arrived(5.0, RATES, ms(50)), Verdict::Open);
        assert_eq!(probe.padding(RATES, ms(50)), Some(Padding::Train(11_200)));
        assert_eq!(probe.train_arrived(24.0, RATES, ms(100)), Verdict::Open, "466 KB/s are enough");
        assert_eq!(probe.padding(RATES, ms(100)), Some(Padding::Train(40_000)), "but may be jitter");
        assert_eq!(probe.train_arrived(86.0, RATES, ms(150)), Verdict::Open);
        assert_eq!(probe.padding(RATES, ms(150)), None);
        assert_eq!(
            probe.padding(RATES, ms(200)),
            Some(Padding::Load(21_600)),
            "with the light picture 115 % of the full"
        );
        assert_eq!(probe.feedback(ms(120), ms(30), ms(1149)), Verdict::Open);
        assert_eq!(probe.feedback(ms(120), ms(30), ms(1150)), Verdict::Carries);
    }

    #[test]
    fn the_first_train_is_the_last_on_a_slow_link() {
        let mut probe = Probe::new(RATES, ms(0));
        probe.padding(RATES, ms(0));
        assert_eq!(probe.train_arrived(60.0, RATES, ms(100)), Verdict::Fails);
    }

    #[test]
    fn a_short_train_that_jitter_made_shorter_is_not_believed() {
        let mut probe = Probe::new(RATES, ms(0));
        probe.padding(RATES, ms(0));
        probe.train_arrived(5.0, RATES, ms(50));
        probe.padding(RATES, ms(50));
        assert_eq!(probe.train_arrived(24.0, RATES, ms(100)), Verdict::Open);
        probe.padding(RATES, ms(100));
        assert_eq!(probe.train_arrived(150.0, RATES, ms(250)), Verdict::Fails);
    }

    #[test]
    fn a_queue_ends_it_and_so_does_an_answer_that_does_not_come() {
        let mut probe = Probe::new(RATES, ms(0));
        probe.padding(RATES, ms(0));
        assert_eq!(probe.feedback(ms(900), ms(30), ms(4000)), Verdict::Open, "trains make a queue");
        assert_eq!(probe.feedback(ms(0), ms(30), ms(4001)), Verdict::Fails);
        let little = Rates { full: 28_000.0, ..RATES };
        let mut probe = Probe::new(little, ms(0));
        probe.padding(little, ms(0));
        probe.train_arrived(1.0, little, ms(10));
        assert_eq!(probe.feedback(ms(131), ms(30), ms(20)), Verdict::Fails);
    }
}
