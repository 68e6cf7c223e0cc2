//! When an engine tries again.

use super::input::Input;
use crate::browser::mailbox::Sender;
use crate::browser::timer::Timeout;
use crate::transport::backoff::Backoff;

/// See the module.
pub(super) struct Retry {
    sender: Sender<Input>,
    planned: Option<Timeout>,
    backoff: Backoff,
}

impl Retry {
    pub(super) fn new(sender: Sender<Input>) -> Self {
        Self { sender, planned: None, backoff: Backoff::default() }
    }

    /// Whether the time of the next try is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.planned.is_some()
    }

    /// Plans none.
    pub(super) fn cancel(&mut self) {
        self.planned = None;
    }

    /// Plans the next after one that lived so long. Returns in how many milliseconds.
    pub(super) fn after(&mut self, lived_ms: f64) -> f64 {
        let ms = self.backoff.after(lived_ms, js_sys::Math::random());
        self.plan(ms);
        ms
    }

    /// Plans the next in so many milliseconds.
    pub(super) fn plan(&mut self, ms: f64) {
        let sender = self.sender.clone();
        if ms == 0.0 {
            // Not by a timer, which a background tab would delay.
            sender.send(Input::Connect);
        } else {
            self.planned = Some(Timeout::new(ms, move || sender.send(Input::Connect)));
        }
    }
}
