//! Plans an engine's retries.

use super::input::Input;
use crate::browser::mailbox::Sender;
use crate::browser::timer::Timeout;
use crate::transport::backoff::Backoff;

/// See the module.
pub(super) struct RetryTimer {
    sender: Sender<Input>,
    planned: Option<Timeout>,
    backoff: Backoff,
}

impl RetryTimer {
    pub(super) fn new(sender: Sender<Input>) -> Self {
        Self { sender, planned: None, backoff: Backoff::default() }
    }

    /// Whether a retry is planned.
    pub(super) fn is_waiting(&self) -> bool {
        self.planned.is_some()
    }

    /// Cancels the planned retry.
    pub(super) fn cancel(&mut self) {
        self.planned = None;
    }

    /// Plans a retry after a connection that lived this long. Returns its delay in milliseconds.
    pub(super) fn after(&mut self, lived_ms: f64) -> f64 {
        let ms = self.backoff.after(lived_ms, js_sys::Math::random());
        self.plan(ms);
        ms
    }

    /// Plans a retry in this many milliseconds.
    pub(super) fn plan(&mut self, ms: f64) {
        let sender = self.sender.clone();
        if ms == 0.0 {
            // Not with a timer: a background tab would delay it.
            sender.send(Input::Connect);
        } else {
            self.planned = Some(Timeout::new(ms, move || sender.send(Input::Connect)));
        }
    }
}
