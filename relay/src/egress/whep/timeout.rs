//! Time limits of a session.

use std::time::Duration;

use super::consent::CONSENT;

/// From the answer to the connection. Browsers connect within a second, or a few more if slow servers delay their candidates. A
/// client that posted an offer and left is forgotten.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A viewer renews its consent at least every five seconds (RFC 7675, section 5.1), browsers every two or three. It sends
/// receiver reports every second (RFC 3550, section 6.2).
const PACKET_TIMEOUT: Duration = Duration::from_secs(8);

/// Time limit for a TCP connection to take a packet.
pub(super) const TCP_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a session ended, for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EndReason {
    /// The viewer left.
    #[error("the viewer left")]
    Left,
    /// The viewer posted an offer and did not connect.
    #[error("the viewer did not connect within {} s", CONNECT_TIMEOUT.as_secs())]
    NeverConnected,
    /// Another session has taken the place of this one.
    #[error("the viewer did not connect before other viewers needed the place")]
    Replaced,
    /// The address to which packets are sent no longer answers.
    #[error("the viewer's address answered no STUN request for {} s", CONSENT.as_secs())]
    NoConsent,
    /// The token or login that admitted the viewer has expired.
    #[error("the access token or the sign-in has expired")]
    Expired,
    /// The viewer stopped responding.
    #[error("no packet from the viewer for {} s", PACKET_TIMEOUT.as_secs())]
    Silent,
    /// The viewer's TCP connection takes nothing.
    #[error("the viewer's TCP connection took nothing for {} s", TCP_WRITE_TIMEOUT.as_secs())]
    Stuck,
    /// The stream's codec is no longer one that the viewer offered: another camera, for a viewer without H.264.
    #[error("the stream changed to a codec that the viewer did not offer")]
    OtherCodec,
    /// The viewer opened more data channels than players do.
    #[error("the viewer opened too many data channels")]
    Channels,
    /// WebRTC failed.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The relay is stopping.
    #[error("the relay is stopping")]
    Stopping,
}

/// See the [module](self). Times are since the session began.
#[derive(Debug, Default)]
pub(super) struct SessionTimeout {
    connected: bool,
    last_packet: Duration,
}

impl SessionTimeout {
    /// Records that the viewer is connected.
    pub(super) fn on_connected(&mut self, now: Duration) {
        self.connected = true;
        self.on_packet(now);
    }

    /// Whether the viewer has connected.
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Records a packet that only the viewer can have sent.
    pub(super) fn on_packet(&mut self, now: Duration) {
        self.last_packet = now;
    }

    /// The end of the session unless a packet arrives.
    pub(super) fn ends_at(&self) -> Duration {
        if self.connected { self.last_packet + PACKET_TIMEOUT } else { CONNECT_TIMEOUT }
    }

    /// Why the session has ended, if it has.
    pub(super) fn ended(&self, now: Duration) -> Option<EndReason> {
        (now >= self.ends_at()).then_some(if self.connected { EndReason::Silent } else { EndReason::NeverConnected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn unconnected_session_ends_despite_packets() {
        let mut timeout = SessionTimeout::default();
        timeout.on_packet(s(9));
        assert_eq!(timeout.ended(s(9)), None);
        assert_eq!(timeout.ended(s(10)), Some(EndReason::NeverConnected));
    }

    #[test]
    fn connected_session_lasts_while_packets_arrive() {
        let mut timeout = SessionTimeout::default();
        timeout.on_connected(s(1));
        for now in 2..100 {
            timeout.on_packet(s(now));
        }
        assert_eq!(timeout.ended(s(106)), None);
        assert_eq!(timeout.ended(s(107)), Some(EndReason::Silent));
    }
}
