//! Decides a session's next step from its viewer's acknowledgements. [`SendWindow`] decides how much to send,
//! [`VariantSelector`] decides the variant, and both measure the link with pings.
//!
//! Pure. The session and the simulation share it.

use std::collections::VecDeque;
use std::time::Duration;

use super::send_window::{ImpossibleAck, SendDecision, SendWindow};
use super::variant_selector::probe::Padding;
use super::variant_selector::{Level, Rates, VariantSelector};

/// Maximum of unanswered pings; the oldest are dropped. Enough for one every 50 ms on a link with a round trip of a second.
const PINGS_MAX: usize = 32;

/// A viewer with a longer lag resumes at a key frame. Catching up on a link with little spare capacity would take longer than
/// the skipped media.
const TOLERATED_LAG: Duration = Duration::from_millis(250);
/// The same limit while `low` is awaited. `low` starts later, but its key frame is a fraction of the full one's and arrives
/// sooner. Beyond the limit, nothing is sent: a full key frame would delay `low`.
const TOLERATED_LAG_MEANWHILE: Duration = Duration::from_millis(1000);
/// Time limit to wait for `low`; encoders start faster.
const AWAITED: Duration = Duration::from_secs(2);

/// Pings to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PingRequest {
    /// One ping with this many bytes of padding.
    One(usize),
    /// One empty ping, directly followed by one with this many bytes of padding.
    Train(usize),
}

/// A ping in flight.
#[derive(Debug, Clone, Copy)]
struct SentPing {
    /// The time in its message.
    sent: f64,
    at: Duration,
    padding: usize,
    /// Number of messages sent before it.
    after: u64,
    /// Whether it directly followed another ping.
    train: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct AbrController {
    window: SendWindow,
    selector: VariantSelector,
    /// Unanswered pings, oldest first.
    pings: VecDeque<SentPing>,
    /// Arrival of the last answered ping by the viewer's clock.
    arrived: Option<f64>,
    /// The last known rates of both variants.
    rates: Option<Rates>,
}

impl AbrController {
    /// Sets whether there is a choice of variants.
    pub(super) fn set_may_use_low(&mut self, may_use_low: bool, now: Duration) {
        self.selector.set_may_use_low(may_use_low, now);
    }

    /// Whether the session may send at `now`.
    pub(super) fn send_decision(&self, now: Duration) -> SendDecision {
        let overdue = self.pings.front().is_some_and(|ping| ping.padding == 0 && self.window.is_overdue(ping.at, now));
        match self.window.send_decision(now) {
            SendDecision::Send if overdue => SendDecision::Hold,
            decision => decision,
        }
    }

    /// The variant to send.
    pub(super) fn level(&self) -> Level {
        self.selector.level()
    }

    /// The time for which `low` has been wanted or likely.
    pub(super) fn low_wanted_for(&self, now: Duration) -> Option<Duration> {
        self.selector.low_wanted_for(now)
    }

    /// The lag beyond which a viewer that is sent `sending` skips to the newest key frame.
    pub(super) fn tolerated_lag(&self, sending: Level, now: Duration) -> Duration {
        if self.awaits_low(sending, now) { TOLERATED_LAG_MEANWHILE } else { TOLERATED_LAG }
    }

    /// Whether a viewer that is sent `sending` and lags by `lag` gets nothing until `low` has started.
    pub(super) fn waits_for_low(&self, sending: Level, lag: Duration, now: Duration) -> bool {
        self.level() == Level::Low && lag > TOLERATED_LAG_MEANWHILE && self.awaits_low(sending, now)
    }

    fn awaits_low(&self, sending: Level, now: Duration) -> bool {
        sending == Level::Full && self.low_wanted_for(now).is_some_and(|waited| waited < AWAITED)
    }

    /// Starts an epoch with media of `rate` bytes per second, if that is known.
    pub(super) fn begin(&mut self, rate: Option<f64>, now: Duration) {
        self.interrupted(now);
        if let Some(rate) = rate {
            self.window.expect(rate);
        }
    }

    /// Records that a binary message is sent after it has `waited` for permission.
    pub(super) fn on_sent(&mut self, bytes: usize, waited: Duration, now: Duration) {
        self.window.on_sent(bytes, waited, now);
    }

    /// The bytes in flight.
    pub(super) fn in_flight(&self) -> u64 {
        self.window.in_flight()
    }

    /// Records an acknowledgement. Returns how long ago its newest message could have been sent.
    pub(super) fn on_ack(
        &mut self,
        received: u64,
        at: Option<f64>,
        now: Duration,
    ) -> Result<Option<Duration>, ImpossibleAck> {
        let age = self.window.on_ack(received, at, now)?;
        // The viewer has received messages that were sent after these pings, so it does not answer pings.
        while self.pings.front().is_some_and(|ping| ping.after < received) {
            self.pings.pop_front();
        }
        self.update_selector(now);
        Ok(age)
    }

    /// Records a pong by the `sent` time of its ping. Ignores an unknown or already answered ping.
    pub(super) fn on_pong(
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
            self.selector.train_arrived(at - before, rates, now);
        }
        self.window.on_pong(asked.at, at, received, asked.padding as u64, now)?;
        self.update_selector(now);
        Ok(())
    }

    /// Whether to ping the viewer, and with how much padding. `rates` are the known rates of the variants.
    pub(super) fn ping_due(&mut self, rates: Option<Rates>, now: Duration) -> Option<PingRequest> {
        self.rates = rates.or(self.rates);
        let padding = self.rates.and_then(|rates| self.selector.padding(rates, now));
        match padding {
            Some(Padding::Train(bytes)) => Some(PingRequest::Train(bytes)),
            Some(Padding::Load(bytes)) => Some(PingRequest::One(bytes)),
            None => self.window.ping_due(now).then_some(PingRequest::One(0)),
        }
    }

    /// Records that a ping with `padding` bytes is sent. `train` says that it directly follows another.
    pub(super) fn on_ping_sent(&mut self, sent: f64, padding: usize, train: bool, now: Duration) {
        if self.pings.len() == PINGS_MAX {
            self.pings.pop_front();
        }
        self.pings.push_back(SentPing { sent, at: now, padding, after: self.window.count(), train });
        self.window.on_ping_sent(now);
    }

    /// Records that `low` is not available.
    pub(super) fn unavailable(&mut self, now: Duration) {
        self.selector.unavailable(now);
    }

    /// Records that sending is interrupted or resumes, not because of the link.
    pub(super) fn interrupted(&mut self, now: Duration) {
        self.window.interrupted();
        self.selector.interrupted(now);
    }

    fn update_selector(&mut self, now: Duration) {
        let before = self.selector.level();
        self.selector.feedback(self.window.delay(), self.window.queue(), now);
        if let (Level::Low, Level::Full, Some(rates)) = (before, self.selector.level(), self.rates) {
            self.window.grow_to_rate(rates.full);
        }
    }
}
