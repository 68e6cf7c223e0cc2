//! The numbered connection attempts of an HTTP engine (WebRTC, HLS), with retries.
//!
//! Input: the outcome of an attempt. Output: [`TileEvent`]s, and an `Input::Connect` when a retry is due. Events of earlier
//! attempts are recognized by their number and ignored.

use sightline_protocol::message::{OfflineReason, StreamState};

use super::Report;
use super::input::Input;
use super::retry::RetryTimer;
use crate::browser::mailbox::Sender;
use crate::state::{Failure, TileEvent};
use crate::time::Moment;

/// Interval of retries after the relay refused.
const REFUSED_RETRY_MS: f64 = 30_000.0;
/// Delay of a retry when the camera is offline.
const OFFLINE_RETRY_MS: f64 = 4_000.0;
/// Statuses of Cloudflare when its tunnel or the relay behind it is unavailable (its documentation, "5xx errors").
const CLOUDFLARE_FIRST: u16 = 520;
const CLOUDFLARE_LAST: u16 = 530;
/// Delay of a retry when a proxy does not reach the relay: usually the relay is restarting.
const ABSENT_RETRY_MS: f64 = 2_000.0;

/// See the module.
pub(super) struct Attempts {
    report: Report,
    sender: Sender<Input>,
    generation: u32,
    since: Moment,
    retry: RetryTimer,
}

impl Attempts {
    pub(super) fn new(report: Report, sender: Sender<Input>, now: Moment) -> Self {
        Self { report, retry: RetryTimer::new(sender.clone()), sender, generation: 0, since: now }
    }

    /// Begins an attempt and ignores all earlier ones.
    pub(super) fn begin(&mut self, now: Moment) {
        self.replace(now);
        (self.report)(TileEvent::Connecting);
    }

    /// Replaces the current attempt, which works, by another one.
    pub(super) fn replace(&mut self, now: Moment) {
        self.end();
        self.since = now;
    }

    /// Ends the attempt, and cancels a planned one.
    pub(super) fn end(&mut self) {
        self.generation += 1;
        self.retry.cancel();
    }

    /// Whether this is the number of the current attempt.
    pub(super) fn is_present(&self, generation: u32) -> bool {
        generation == self.generation
    }

    /// Whether a retry is planned.
    pub(super) fn is_waiting(&self) -> bool {
        self.retry.is_waiting()
    }

    /// The time since the current attempt began.
    pub(super) fn age_ms(&self, now: Moment) -> f64 {
        now.ms_since(self.since)
    }

    /// Returns a callback that posts the current attempt's events.
    pub(super) fn event_sender<E>(&self, input: fn(u32, E) -> Input) -> impl Fn(E) + Clone + use<E> {
        let (sender, generation) = (self.sender.clone(), self.generation);
        move |event| sender.send(input(generation, event))
    }

    /// Handles a failure of the attempt, which had worked for `lived_ms`, and plans a retry.
    pub(super) fn lost(&mut self, lived_ms: f64) {
        self.generation += 1;
        let retry_ms = self.retry.after(lived_ms);
        (self.report)(TileEvent::Lost { retry_ms });
    }

    /// Handles a refusal by the relay, or by a proxy in front of it, with this status and text.
    pub(super) fn refused(&mut self, status: u16, text: &str) {
        let (message, by_relay) = refusal_message(status, text);
        match status {
            502..=504 | CLOUDFLARE_FIRST..=CLOUDFLARE_LAST => {
                let retry_ms = if by_relay { OFFLINE_RETRY_MS } else { ABSENT_RETRY_MS };
                let retry_in_ms = retry_ms as u64;
                let state = StreamState::Offline { reason: OfflineReason::Failed, message, retry_in_ms };
                // The server in between answers and reports that its upstream does not. Another protocol would reach the same
                // upstream.
                (self.report)(TileEvent::Connected);
                (self.report)(TileEvent::Source(state));
                self.again(retry_ms);
            }
            406 => self.fail(Failure::Undecodable, message),
            _ => self.fail(Failure::Refused, message),
        }
    }

    /// Reports a failure that only a person can fix, and retries rarely.
    pub(super) fn fail(&mut self, failure: Failure, message: String) {
        (self.report)(TileEvent::Failed(failure, message));
        self.again(REFUSED_RETRY_MS);
    }

    fn again(&mut self, ms: f64) {
        self.generation += 1;
        self.retry.plan(ms);
        (self.report)(TileEvent::RetryPlanned(ms));
    }
}

/// Returns the message for the user, and whether the relay wrote it. The relay's texts are one sentence, a proxy's are pages;
/// of the gateway statuses the relay uses only 503.
fn refusal_message(status: u16, text: &str) -> (String, bool) {
    let text = text.trim();
    let gateway = matches!(status, 502 | 504 | CLOUDFLARE_FIRST..=CLOUDFLARE_LAST);
    if !gateway && !text.is_empty() && !text.starts_with('<') && text.lines().count() == 1 {
        return (text.to_owned(), true);
    }
    let message = match status {
        502..=504 | CLOUDFLARE_FIRST..=CLOUDFLARE_LAST => {
            format!("the relay cannot be reached: a proxy before it answered {status}")
        }
        _ => format!("a proxy before the relay refused with {status}"),
    };
    (message, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_error_page_is_not_shown_as_a_message() {
        let sentence = "the source is offline: it cannot be reached";
        assert_eq!(refusal_message(503, &format!("{sentence}\n")), (sentence.to_owned(), true));
        let pages =
            ["<html>\r\n<center>nginx</center>\r\n</html>", "", "Bad\ngateway", "Bad Gateway", "error code: 530"];
        for (page, status) in pages.into_iter().flat_map(|page| [502, 504, 530].map(|status| (page, status))) {
            let (message, by_relay) = refusal_message(status, page);
            assert!(message.contains(&status.to_string()) && !message.contains('\n') && !by_relay, "{message}");
        }
        assert_eq!(refusal_message(403, "<html>"), ("a proxy before the relay refused with 403".to_owned(), false));
    }
}
