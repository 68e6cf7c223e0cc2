//! What a session does next, decided from what its viewer acknowledges: [`Flow`] says how much, [`Ladder`] says which
//! picture, and both ask the viewer by pings what has arrived.
//!
//! Pure, and the same in a session and in the simulation of links.

use std::collections::VecDeque;
use std::time::Duration;

use super::flow::{Flow, ImpossibleAck, Permit};
use super::ladder::probe::Padding;
use super::ladder::{Ladder, Rates, Rung};

/// Pings that may be unanswered; of more than these the oldest are forgotten. One every 50 ms on a link of a second's
/// round trip.
const PINGS_MAX: usize = 32;

/// A viewer whose next fragment is this much older than the newest resumes at a key frame: what it would take to catch
/// up on a link with little to spare is more than what it misses.
const TOLERATED_LAG: Duration = Duration::from_millis(250);
/// The same while a light picture is awaited, whose key frame is a fraction of the full one's and so there sooner, though
/// it starts later. Beyond, nothing is sent: a full key frame would be in the light one's way.
const TOLERATED_LAG_MEANWHILE: Duration = Duration::from_millis(1000);
/// For how long a light picture is awaited: encoders start in less.
const AWAITED: Duration = Duration::from_secs(2);

/// Pings to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// One with so many bytes of padding.
    One(usize),
    /// One without padding and, right after it, one with so many bytes of it.
    Train(usize),
}

/// A ping that was sent.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// When it says it was.
    sent: f64,
    at: Duration,
    padding: usize,
    /// How many messages were sent before it.
    after: u64,
    /// Whether it was sent right after the one before it.
    train: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Steering {
    flow: Flow,
    ladder: Ladder,
    /// Pings that are not answered, oldest first.
    pings: VecDeque<Asked>,
    /// When the last ping that was answered had arrived, by the viewer's clock.
    arrived: Option<f64>,
    /// What the full picture was last known to take.
    rates: Option<Rates>,
}

impl Steering {
    /// Whether there is a choice of pictures from now on.
    pub(super) fn set_free(&mut self, free: bool, now: Duration) {
        self.ladder.set_free(free, now);
    }

    /// What may be done at `now`.
    pub(super) fn permit(&self, now: Duration) -> Permit {
        let overdue = self.pings.front().is_some_and(|ping| ping.padding == 0 && self.flow.is_overdue(ping.at, now));
        match self.flow.permit(now) {
            Permit::Send if overdue => Permit::Hold,
            permit => permit,
        }
    }

    /// The picture to send.
    pub(super) fn rung(&self) -> Rung {
        self.ladder.rung()
    }

    /// For how long the light picture has been wanted, or been likely to be.
    pub(super) fn light_wanted_for(&self, now: Duration) -> Option<Duration> {
        self.ladder.light_wanted_for(now)
    }

    /// How much older than the newest fragment the next may be without a skip to the newest key frame, for a viewer who
    /// is sent this picture.
    pub(super) fn tolerated_lag(&self, sending: Rung, now: Duration) -> Duration {
        if self.awaits_light(sending, now) { TOLERATED_LAG_MEANWHILE } else { TOLERATED_LAG }
    }

    /// Whether a viewer who is sent this picture, and `lag` behind, gets nothing until the light picture comes.
    pub(super) fn waits_for_light(&self, sending: Rung, lag: Duration, now: Duration) -> bool {
        self.rung() == Rung::Light && lag > TOLERATED_LAG_MEANWHILE && self.awaits_light(sending, now)
    }

    fn awaits_light(&self, sending: Rung, now: Duration) -> bool {
        sending == Rung::Full && self.light_wanted_for(now).is_some_and(|waited| waited < AWAITED)
    }

    /// An epoch begins, that takes so many bytes a second, if that is known.
    pub(super) fn begin(&mut self, rate: Option<f64>, now: Duration) {
        self.interrupted(now);
        if let Some(rate) = rate {
            self.flow.expect(rate);
        }
    }

    /// A binary message leaves that has `waited` for a permit.
    pub(super) fn sent(&mut self, bytes: usize, waited: Duration, now: Duration) {
        self.flow.sent(bytes, waited, now);
    }

    /// The bytes on their way.
    pub(super) fn in_flight(&self) -> u64 {
        self.flow.in_flight()
    }

    /// An acknowledgement came. Returns how long ago the newest message of it could have been sent.
    pub(super) fn acknowledged(
        &mut self,
        received: u64,
        at: Option<f64>,
        now: Duration,
    ) -> Result<Option<Duration>, ImpossibleAck> {
        let age = self.flow.acknowledged(received, at, now)?;
        // What was asked before something that has arrived has arrived as well: this viewer does not answer pings.
        while self.pings.front().is_some_and(|ping| ping.after < received) {
            self.pings.pop_front();
        }
        self.listen(now);
        Ok(age)
    }

    /// The answer came to a ping that said it was sent at `sent`. One that was not, or that was answered, says nothing.
    pub(super) fn answered(
        &mut self,
        sent: f64,
        at: f64,
        received: Option<u64>,
        now: Duration,
    ) -> Result<(), ImpossibleAck> {
        let Some(index) = self.pings.iter().position(|ping| ping.sent == sent) else {
            return Ok(());
        };
        let asked = self.pings[index];
        self.pings.drain(..=index);
        let before = self.arrived.replace(at).filter(|_| index == 0 && asked.train);
        if let (Some(before), Some(rates)) = (before, self.rates) {
            self.ladder.train_arrived(at - before, rates, now);
        }
        self.flow.answered(asked.at, at, received, asked.padding as u64, now)?;
        self.listen(now);
        Ok(())
    }

    /// Whether to ping the viewer, and with how much padding, `rates` being what is known of the two pictures.
    pub(super) fn ask(&mut self, rates: Option<Rates>, now: Duration) -> Option<Ask> {
        self.rates = rates.or(self.rates);
        let padding = self.rates.and_then(|rates| self.ladder.padding(rates, now));
        match padding {
            Some(Padding::Train(bytes)) => Some(Ask::Train(bytes)),
            Some(Padding::Load(bytes)) => Some(Ask::One(bytes)),
            None => self.flow.ask(now).then_some(Ask::One(0)),
        }
    }

    /// A ping leaves that says it was sent at `sent`, with so much padding, right after another where it is a `train`.
    pub(super) fn asked(&mut self, sent: f64, padding: usize, train: bool, now: Duration) {
        if self.pings.len() == PINGS_MAX {
            self.pings.pop_front();
        }
        self.pings.push_back(Asked { sent, at: now, padding, after: self.flow.count(), train });
        self.flow.asked(now);
    }

    /// The light picture cannot be had.
    pub(super) fn unavailable(&mut self, now: Duration) {
        self.ladder.unavailable(now);
    }

    /// Sending is interrupted or goes on after an interruption, by no fault of the link.
    pub(super) fn interrupted(&mut self, now: Duration) {
        self.flow.interrupted();
        self.ladder.interrupted(now);
    }

    fn listen(&mut self, now: Duration) {
        let before = self.ladder.rung();
        self.ladder.feedback(self.flow.delay(), self.flow.queue(), now);
        if let (Rung::Light, Rung::Full, Some(rates)) = (before, self.ladder.rung(), self.rates) {
            self.flow.carries(rates.full);
        }
    }
}
