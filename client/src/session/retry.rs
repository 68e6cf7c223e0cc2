//! Plans an engine's retries.

use std::time::Duration;

use sightline_protocol::backoff::{Backoff, BackoffPolicy};

use super::input::Input;
use crate::browser::mailbox::Sender;
use crate::browser::timer::Timeout;

/// At once after a session that worked. The longest delay with jitter, connection time and the first frame ends within 8 s: the
/// time in which a recovered relay or network must be noticed. Counting success from the socket's opening would flood a relay
/// that accepts connections and drops them.
const RECONNECT: BackoffPolicy = BackoffPolicy {
    immediate: true,
    first: Duration::from_millis(500),
    max: Duration::from_secs(4),
    jitter: (0.7, 1.3),
    healthy: Duration::from_secs(5),
};

/// See the module.
pub(super) struct RetryTimer {
    sender: Sender<Input>,
    planned: Option<Timeout>,
    backoff: Backoff,
}

impl RetryTimer {
    pub(super) fn new(sender: Sender<Input>) -> Self {
        Self { sender, planned: None, backoff: Backoff::new(RECONNECT) }
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
        let lived = Duration::from_secs_f64(lived_ms.max(0.0) / 1e3);
        let ms = self.backoff.after(lived, js_sys::Math::random()).as_secs_f64() * 1e3;
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
