//! The target `viewer`: a viewer's bytes after the handshake, in either dialect.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use sightline_protocol::message::ClientMessage;

use super::abr_controller::AbrController;
use super::socket::{MESSAGE_MAX, websocket_stream};
use super::variant_selector::Rates;
use super::{plain, session, v1};

/// Messages sent before the viewer's first message, more than it can have received.
const SENT: usize = 50;
/// Interval of the viewer's messages.
const TICK: Duration = Duration::from_millis(40);
/// Bit rates of both variants, in bytes per second.
const RATES: Rates = Rates { full: 500_000.0, low: 45_000.0 };

/// See [`crate::fuzz`].
pub fn viewer(data: &[u8]) {
    let mut socket = websocket_stream(tokio::io::join(data, tokio::io::sink()), MESSAGE_MAX);
    let mut abr = AbrController::default();
    let mut now = Duration::ZERO;
    abr.set_may_use_low(true, now);
    for n in 0..SENT {
        abr.on_sent(1000, Duration::ZERO, now);
        abr.on_ping_sent(n as f64, n, n % 2 == 1, now);
    }
    // All input is available, so nothing blocks.
    while let Some(Some(Ok(message))) = socket.next().now_or_never() {
        plain::parse_request(&message);
        now += TICK;
        let Ok(message) = v1::parse(&message) else { continue };
        assert_eq!(serde_json::from_str::<ClientMessage>(&message.to_json()).ok().as_ref(), Some(&message));
        let possible = match message {
            ClientMessage::Play(play) => {
                session::playable(&play);
                true
            }
            ClientMessage::Ack(ack) => abr.on_ack(ack.received, ack.at, now).is_ok(),
            ClientMessage::Pong(pong) => abr.on_pong(pong.sent, pong.at, pong.received, now).is_ok(),
            _ => true,
        };
        if !possible {
            break;
        }
        abr.send_decision(now);
        abr.ping_due(Some(RATES), now);
    }
}
