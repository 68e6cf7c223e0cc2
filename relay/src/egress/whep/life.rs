//! How long a session lasts without a sign of life.

use std::time::Duration;

/// From the answer to the connection. Browsers are done within a second; one that has to gather candidates through
/// slow servers first takes some more. Whoever posted and went away is forgotten then.
const CONNECT: Duration = Duration::from_secs(10);
/// A viewer that is there renews its consent every five seconds at most (RFC 7675, section 5.1), browsers every two or
/// three, and reports on what it received every second (RFC 3550, section 6.2).
const SILENCE: Duration = Duration::from_secs(8);

/// Why a session ended; for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    /// It said so.
    #[error("the viewer left")]
    Left,
    /// It posted an offer, and nothing came.
    #[error("it did not connect within {} s", CONNECT.as_secs())]
    NeverConnected,
    /// It was there and is not any more.
    #[error("no sign of life for {} s", SILENCE.as_secs())]
    Silent,
    /// Its TCP connection takes nothing.
    #[error("it took nothing for {} s", super::session::STUCK.as_secs())]
    Stuck,
    /// WebRTC failed.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The relay is told to stop.
    #[error("the relay is stopping")]
    Stopping,
}

/// See the [module](self). Times are since the session began.
#[derive(Debug, Default)]
pub(super) struct Life {
    connected: bool,
    heard: Duration,
}

impl Life {
    /// The viewer is connected.
    pub(super) fn connected(&mut self, now: Duration) {
        self.connected = true;
        self.heard(now);
    }

    /// Whether it ever was.
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Something came that only the viewer can have sent.
    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    /// When it ends, unless something comes.
    pub(super) fn ends_at(&self) -> Duration {
        if self.connected { self.heard + SILENCE } else { CONNECT }
    }

    /// Why it has ended, if it has.
    pub(super) fn ended(&self, now: Duration) -> Option<Ended> {
        (now >= self.ends_at()).then_some(if self.connected { Ended::Silent } else { Ended::NeverConnected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_abandoned_session_ends_whatever_it_says() {
        let mut life = Life::default();
        life.heard(s(9));
        assert_eq!(life.ended(s(9)), None);
        assert_eq!(life.ended(s(10)), Some(Ended::NeverConnected));
    }

    #[test]
    fn a_connected_one_lasts_as_long_as_something_comes() {
        let mut life = Life::default();
        life.connected(s(1));
        for now in 2..100 {
            life.heard(s(now));
        }
        assert_eq!(life.ended(s(106)), None);
        assert_eq!(life.ended(s(107)), Some(Ended::Silent));
    }
}
