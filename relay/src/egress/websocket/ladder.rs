//! Whether a viewer gets the full picture or the light one.
//!
//! Down as soon as the link is [strained](strain), up when a [try](probe) shows that it would carry the full picture.
//! Tries that fail make the next one wait longer, and a full picture that had to be given up again soon makes it wait much
//! longer, so that nobody sees the picture change all the time.
//!
//! Pure: acknowledgements and times in, a rung and padding out.

pub(super) mod probe;
mod strain;

use std::time::Duration;

use probe::{Padding, Probe, Verdict};
use strain::Strain;

/// Strain of so long is a slow link. Shorter is a hiccup, and each tenth of a second more is a tenth more of delay.
const PATIENCE: Duration = Duration::from_millis(250);
/// Strain from which the light picture is made ready: its encoder takes about as long to start as it takes to be sure.
const SUSPICION: Duration = Duration::from_millis(50);
/// How long it is kept ready after that.
const READY: Duration = Duration::from_secs(5);
/// A link that takes so long over one of the first pictures does not carry the next ones. Later it may be that it stood
/// still for a while.
const HOPELESS: Duration = Duration::from_secs(1);
/// The time of the first pictures.
const BEGINNING: Duration = Duration::from_secs(5);
/// For how long the light picture must have come in time before the link is tried.
const CALM: Duration = Duration::from_secs(3);
/// What of the longest queue counts at the next acknowledgement: a second's key frame is not forgotten, a minute's is.
const QUEUE_KEEPS: f64 = 0.95;
/// After a try that failed, which costs a light picture a twentieth of a second. A link that is good again is found so with
/// this, the try itself and the next key frame: within 5 s together.
const RETRY: Duration = Duration::from_secs(2);
/// A full picture that must be given up within this time was a mistake.
const TRIAL: Duration = Duration::from_secs(15);
/// Between tries after such mistakes: the first and the last.
const AGAIN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(80));
/// How long a light picture that cannot be had is not asked for again.
const UNAVAILABLE: Duration = Duration::from_secs(60);

/// Which picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Rung {
    /// The one that fits the viewer's browser.
    #[default]
    Full,
    /// [`sightline_protocol::stream::Variant::Low`].
    Light,
}

/// What the two pictures take, in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    pub(super) full: f64,
    pub(super) light: f64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// Whether there is a choice: not for a viewer who asked for a variant by name, nor where there is no light one.
    free: bool,
    /// Since when.
    began: Duration,
    rung: Rung,
    strain: Strain,
    /// Since when the light picture has been made ready, and until when it is kept so.
    ready: Option<(Duration, Duration)>,
    /// Since when the light picture has come in time.
    calm: Duration,
    /// The longest queue of late.
    queue: Duration,
    probe: Option<Probe>,
    /// When the next change may be, or the next try of one.
    next: Duration,
    /// When the last try did not fail.
    went_up: Option<Duration>,
    /// Full pictures that had to be given up soon, since the last that had not.
    mistakes: u32,
}

impl Ladder {
    /// Whether there is a choice from now on; without one it is the full picture.
    pub(super) fn set_free(&mut self, free: bool, now: Duration) {
        if self.free != free {
            *self = Self { free, began: now, strain: Strain::began(now), ..Self::default() };
        }
    }

    /// The light picture cannot be had.
    pub(super) fn unavailable(&mut self, now: Duration) {
        *self = Self { free: self.free, strain: Strain::began(now), next: now + UNAVAILABLE, ..Self::default() };
    }

    /// The picture to send.
    pub(super) fn rung(&self) -> Rung {
        self.rung
    }

    /// For how long the light picture has been wanted, or been likely to be.
    pub(super) fn light_wanted_for(&self, now: Duration) -> Option<Duration> {
        let (since, until) = self.ready?;
        (self.rung == Rung::Light || now < until).then(|| now.saturating_sub(since))
    }

    /// Something else is sent from now on, or nothing for a while: what has been seen does not count for what follows.
    pub(super) fn interrupted(&mut self, now: Duration) {
        (self.strain, self.calm, self.probe) = (Strain::began(now), now, None);
    }

    /// The viewer answered: what it has got last was late by `delay`, of which the link's `queue` is a part.
    pub(super) fn feedback(&mut self, delay: Duration, queue: Duration, now: Duration) {
        match self.rung {
            Rung::Full if self.free => self.feel(delay, queue, now),
            Rung::Full => {}
            Rung::Light => self.watch(delay, queue, now),
        }
    }

    /// The padding to send now, if the link is being tried.
    pub(super) fn padding(&mut self, rates: Rates, now: Duration) -> Option<Padding> {
        if self.rung == Rung::Full {
            return None;
        }
        if self.probe.is_none() && now >= self.next && now.saturating_sub(self.calm) >= CALM {
            self.probe = Some(Probe::new(rates, now));
        }
        self.probe.as_mut()?.padding(rates, now)
    }

    /// A train of padding took so long to arrive.
    pub(super) fn train_arrived(&mut self, took_ms: f64, rates: Rates, now: Duration) {
        if let Some(probe) = &mut self.probe {
            let verdict = probe.train_arrived(took_ms, rates, now);
            self.judge(verdict, now);
        }
    }

    /// The full picture's turn: does the link carry it?
    fn feel(&mut self, delay: Duration, queue: Duration, now: Duration) {
        let strain = self.strain.feedback(delay, now);
        let hopeless = queue >= HOPELESS && now.saturating_sub(self.began) < BEGINNING;
        if now < self.next {
            return;
        }
        if strain >= PATIENCE || hopeless {
            self.step_down(now);
        } else if strain >= SUSPICION {
            self.make_ready(now);
        }
    }

    /// The light picture's turn: does the link do it with ease, and does it under padding?
    fn watch(&mut self, delay: Duration, queue: Duration, now: Duration) {
        if let Some(probe) = &self.probe {
            let verdict = probe.feedback(delay, self.queue, now);
            return self.judge(verdict, now);
        }
        if delay >= strain::LATE {
            self.calm = now;
        }
        self.queue = self.queue.mul_f64(QUEUE_KEEPS).max(queue);
    }

    fn judge(&mut self, verdict: Verdict, now: Duration) {
        match verdict {
            Verdict::Open => {}
            Verdict::Carries => {
                (self.rung, self.went_up, self.ready) = (Rung::Full, Some(now), None);
                self.interrupted(now);
            }
            Verdict::Fails => {
                self.probe = None;
                self.next = now + RETRY;
            }
        }
    }

    fn step_down(&mut self, now: Duration) {
        self.make_ready(now);
        let mistake = self.went_up.is_some_and(|at| now.saturating_sub(at) < TRIAL);
        self.next = if mistake { now + doubled(AGAIN, self.mistakes) } else { now };
        self.mistakes = if mistake { self.mistakes + 1 } else { 0 };
        self.rung = Rung::Light;
        self.interrupted(now);
    }

    fn make_ready(&mut self, now: Duration) {
        let since = self.ready.filter(|&(_, until)| now < until).map_or(now, |(since, _)| since);
        self.ready = Some((since, now + READY));
    }
}

/// The first of `span`, doubled `times` times, at most the last.
fn doubled((first, last): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(last)
}

#[cfg(test)]
mod tests;
