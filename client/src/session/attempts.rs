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
/// What Cloudflare answers where its tunnel or the relay behind it is away (its documentation, "5xx errors").
const CLOUDFLARE_FIRST: u16 = 520;
const CLOUDFLARE_LAST: u16 = 530;
/// A relay that its proxy does not reach is asked for again after this: most are being restarted.
const ABSENT_RETRY_MS: f64 = 2_000.0;

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

    /// The relay, or a proxy before it, answered with this status, and this text.
    pub(super) fn refused(&mut self, status: u16, text: &str) {
        let (message, by_relay) = words(status, text);
        match status {
            502..=504 | CLOUDFLARE_FIRST..=CLOUDFLARE_LAST => {
                let retry_ms = if by_relay { OFFLINE_RETRY_MS } else { ABSENT_RETRY_MS };
                let retry_in_ms = retry_ms as u64;
                let state = StreamState::Offline { reason: OfflineReason::Failed, message, retry_in_ms };
                // Somebody is there, and says that what is behind is not. No other way leads there.
                (self.report)(TileEvent::Connected);
                (self.report)(TileEvent::Source(state));
                self.again(retry_ms);
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

/// What to tell the user, and whether the relay says it: its texts are one sentence, a proxy's are pages, and of the statuses
/// of a gateway it has 503 only.
fn words(status: u16, text: &str) -> (String, bool) {
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
    fn a_proxy_s_page_is_not_shown_as_a_sentence() {
        let sentence = "the source is offline: it cannot be reached";
        assert_eq!(words(503, &format!("{sentence}\n")), (sentence.to_owned(), true));
        let pages =
            ["<html>\r\n<center>nginx</center>\r\n</html>", "", "Bad\ngateway", "Bad Gateway", "error code: 530"];
        for (page, status) in pages.into_iter().flat_map(|page| [502, 504, 530].map(|status| (page, status))) {
            let (message, by_relay) = words(status, page);
            assert!(message.contains(&status.to_string()) && !message.contains('\n') && !by_relay, "{message}");
        }
        assert_eq!(words(403, "<html>"), ("a proxy before the relay refused with 403".to_owned(), false));
    }
}
