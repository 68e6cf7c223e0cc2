//! The clocks of the other relays. Measures them by requests through the NATS server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use tokio::time::timeout;

use super::clock_offset::ClockOffset;
use crate::clock;

/// Time limit for an answer. A slower one says little.
const ANSWER: Duration = Duration::from_secs(1);

/// See the [module](self). Clones share the measurements.
#[derive(Debug, Clone, Default)]
pub(super) struct Clocks(Arc<Mutex<HashMap<String, ClockOffset>>>);

impl Clocks {
    /// By how many milliseconds the clock of `relay` is ahead, as far as known.
    pub(super) fn offset(&self, relay: &str) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(relay).map_or(0.0, ClockOffset::offset)
    }

    /// Forgets the clocks of all relays but these.
    pub(super) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|relay, _| is_known(relay));
    }

    /// Measures the clock of `relay`, which answers at `subject`, this many times.
    pub(super) async fn measure(self, client: Client, relay: String, subject: String, times: usize) {
        for _ in 0..times {
            let sent = clock::unix_ms();
            let Ok(Ok(answer)) = timeout(ANSWER, client.request(subject.clone(), Bytes::new())).await else { return };
            let received = clock::unix_ms();
            let Ok(at) = answer.payload[..].try_into().map(f64::from_be_bytes) else { return };
            if at.is_finite() {
                let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                clocks.entry(relay.clone()).or_default().sample(sent, at, received);
            }
        }
    }
}
