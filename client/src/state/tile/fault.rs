//! The fault of a stream: kept from the first event that reports it until frames are presented again, so that the reason stays
//! readable during retries.

use sightline_protocol::message::OfflineReason;

use super::Failure;

/// Why a tile is not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There has never been a connection to the relay.
    NoRelay,
    /// The connection to the relay was lost.
    Disconnected,
    /// The relay does not receive the source.
    Offline(OfflineReason),
    /// No new frames are presented.
    Stalled,
    /// A person has to fix something first.
    Failed(Failure),
}

impl Cause {
    /// Whether the person at the page has to act: log in, open another address, choose another protocol.
    pub fn needs_action(self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// The cause in three words.
    pub fn title(self) -> &'static str {
        match self {
            Self::NoRelay | Self::Failed(Failure::Unreachable) => "Relay not reachable",
            Self::Disconnected => "Relay connection lost",
            Self::Stalled | Self::Failed(Failure::Stalled) => "No new video",
            Self::Failed(Failure::Undecodable) => "Video not decodable",
            Self::Failed(_) | Self::Offline(OfflineReason::Failed) => "Stream not available",
            Self::Offline(OfflineReason::Unreachable) => "Camera not reachable",
            Self::Offline(OfflineReason::Unauthorized) => "Camera refuses login",
            Self::Offline(OfflineReason::NotFound) => "Camera path unknown",
            Self::Offline(OfflineReason::NoVideo) => "Camera without video",
            Self::Offline(OfflineReason::UnsupportedCodec) => "Codec not supported",
            Self::Offline(OfflineReason::Ended) => "Camera connection ended",
            Self::Offline(OfflineReason::Silent) => "Camera sends nothing",
        }
    }
}

/// The time of the next attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Retry {
    /// No attempt is planned, or its time is unknown.
    Unknown,
    /// At this time, in milliseconds since the Unix epoch.
    At {
        /// The time.
        at: f64,
        /// Whether the page retries. Otherwise the relay does, and the page cannot hasten it.
        by_page: bool,
    },
    /// Now.
    Underway,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The cause.
    pub cause: Cause,
    /// One sentence: the reason and the remedy.
    pub reason: String,
    /// When the stream stopped being live, in milliseconds since the Unix epoch.
    pub since: f64,
    /// The number of failures reported since then.
    pub tries: u32,
    /// The time of the next attempt.
    pub retry: Retry,
}

impl Fault {
    /// The first fault since the stream was live.
    pub(super) fn new(cause: Cause, reason: String, at: f64) -> Self {
        Self { cause, reason, since: at, tries: 1, retry: Retry::Unknown }
    }

    /// Records another failure while the stream is not live.
    pub(super) fn again(&mut self, cause: Cause, reason: String) {
        *self = Self { cause, reason, tries: self.tries.saturating_add(1), retry: Retry::Unknown, ..*self };
    }

    /// The duration, the number of tries and the next attempt, at `now` in milliseconds since the Unix epoch.
    pub fn line(&self, now: f64) -> String {
        let mut line = format!("for {}", duration((now - self.since) / 1e3));
        if self.tries > 1 {
            line += &format!(" · {} tries", self.tries);
        }
        match self.retry {
            Retry::Unknown => {}
            Retry::At { at, .. } if at - now >= 500.0 => {
                line += &format!(" · next try in {}", duration((at - now) / 1e3));
            }
            Retry::At { .. } | Retry::Underway => line += " · trying now",
        }
        line
    }

    /// Whether "Retry now" has an effect.
    pub fn can_retry(&self) -> bool {
        matches!(self.retry, Retry::At { by_page: true, .. })
    }
}

/// Formats seconds in the most readable unit.
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_line_has_start_tries_and_next_retry() {
        let mut fault = Fault::new(Cause::Offline(OfflineReason::Silent), "Why.".into(), 1_000.0);
        assert_eq!(fault.line(13_000.0), "for 12 s");
        fault.retry = Retry::At { at: 16_000.0, by_page: false };
        assert_eq!(fault.line(13_000.0), "for 12 s · next try in 3 s");
        assert_eq!(fault.line(15_800.0), "for 15 s · trying now", "the countdown is over");
        (0..5).for_each(|_| fault.again(Cause::Disconnected, "Other.".into()));
        fault.retry = Retry::Underway;
        assert_eq!(fault.line(241_000.0), "for 4 min · 6 tries · trying now");
        assert_eq!((fault.since, fault.reason.as_str(), fault.can_retry()), (1_000.0, "Other.", false));
    }

    #[test]
    fn clock_set_back_gives_no_negative_duration() {
        assert_eq!(Fault::new(Cause::Stalled, String::new(), 5_000.0).line(0.0), "for 0 s");
    }

    #[test]
    fn durations_have_one_unit() {
        let words = [0.4, 119.0, 120.0, 7_199.0, 7_200.0, 172_800.0].map(duration);
        assert_eq!(words, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn titles_are_three_words_at_most() {
        use OfflineReason::{Ended, Failed, NoVideo, NotFound, Silent, Unauthorized, Unreachable, UnsupportedCodec};
        let offline = [Unreachable, Unauthorized, NotFound, NoVideo, UnsupportedCodec, Ended, Silent, Failed];
        let failed = [Failure::Unreachable, Failure::Refused, Failure::Undecodable, Failure::Stalled];
        let other = [Cause::NoRelay, Cause::Disconnected, Cause::Stalled];
        for cause in offline.map(Cause::Offline).into_iter().chain(failed.map(Cause::Failed)).chain(other) {
            assert!((2..=3).contains(&cause.title().split(' ').count()), "{}", cause.title());
        }
    }
}
