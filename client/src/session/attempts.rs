//! The attempts of an engine that asks by HTTP: numbered, and repeated when they fail.

use sightline_protocol::message::{OfflineReason, StreamState};

use super::Report;
use super::input::Input;
use super::retry::Retry;
use crate::browser::mailbox::Sender;
use crate::state::{Failure, TileEvent};
use crate::time::Moment;

/// What the relay refused is asked for again this seldom.
const REFUSED_RETRY_MS: f64 = 30_000.0;
/// A camera that is off is asked for again after this.
const OFFLINE_RETRY_MS: f64 = 4_000.0;

/// See the module.
pub(super) struct Attempts {
    report: Report,
    sender: Sender<Input>,
    generation: u32,
    since: Moment,
    retry: Retry,
}

impl Attempts {
    pub(super) fn new(report: Report, sender: Sender<Input>, now: Moment) -> Self {
        Self { report, retry: Retry::new(sender.clone()), sender, generation: 0, since: now }
    }

    /// Another begins: what an earlier one has to say means nothing from now on.
    pub(super) fn begin(&mut self, now: Moment) {
        self.end();
        self.since = now;
        (self.report)(TileEvent::Connecting);
    }

    /// None is being made, and none is planned.
    pub(super) fn end(&mut self) {
        self.generation += 1;
        self.retry.cancel();
    }

    /// Whether this is the number of the present one.
    pub(super) fn is_present(&self, generation: u32) -> bool {
        generation == self.generation
    }

    /// Whether the time of the next one is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.retry.is_waiting()
    }

    /// How long the present one has been made.
    pub(super) fn age_ms(&self, now: Moment) -> f64 {
        now.ms_since(self.since)
    }

    /// Posts what the present one has to say.
    pub(super) fn telling<E>(&self, input: fn(u32, E) -> Input) -> impl Fn(E) + Clone + use<E> {
        let (sender, generation) = (self.sender.clone(), self.generation);
        move |event| sender.send(input(generation, event))
    }

    /// It has failed, after it had worked for so long.
    pub(super) fn lost(&mut self, lived_ms: f64) {
        self.generation += 1;
        let retry_ms = self.retry.after(lived_ms);
        (self.report)(TileEvent::Lost { retry_ms });
    }

    /// The relay answered with this status, and a sentence.
    pub(super) fn refused(&mut self, status: u16, message: String) {
        match status {
            502..=504 => {
                let retry_in_ms = OFFLINE_RETRY_MS as u64;
                let state = StreamState::Offline { reason: OfflineReason::Failed, message, retry_in_ms };
                // The relay is there, and says that the camera is not.
                (self.report)(TileEvent::Connected);
                (self.report)(TileEvent::Source(state));
                self.again(OFFLINE_RETRY_MS);
            }
            406 => self.fail(Failure::Undecodable, message),
            _ => self.fail(Failure::Refused, message),
        }
    }

    /// It will not work without someone doing something: say so, and try again seldom.
    pub(super) fn fail(&mut self, failure: Failure, message: String) {
        (self.report)(TileEvent::Failed(failure, message));
        self.again(REFUSED_RETRY_MS);
    }

    fn again(&mut self, ms: f64) {
        self.generation += 1;
        self.retry.plan(ms);
    }
}
