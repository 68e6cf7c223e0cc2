//! The target `viewer`: the bytes that a viewer sends after the handshake, in either dialect.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use sightline_protocol::message::ClientMessage;

use super::ladder::Rates;
use super::steering::Steering;
use super::{plain, served, session};

/// What was sent before the viewer said anything: more than it can have received at once.
const SENT: usize = 50;
/// Between its messages.
const TICK: Duration = Duration::from_millis(40);
/// What the pictures take, in bytes a second.
const RATES: Rates = Rates { full: 500_000.0, light: 45_000.0 };

/// See [`crate::fuzz`].
pub fn viewer(data: &[u8]) {
    let mut socket = served(tokio::io::join(data, tokio::io::sink()));
    let mut steering = Steering::default();
    let mut now = Duration::ZERO;
    steering.set_free(true, now);
    for n in 0..SENT {
        steering.sent(1000, Duration::ZERO, now);
        steering.asked(n as f64, n, n % 2 == 1, now);
    }
    // Everything is there already, so nothing waits.
    while let Some(Some(Ok(message))) = socket.next().now_or_never() {
        plain::wished(&message);
        now += TICK;
        let Ok(message) = session::parse(&message) else { continue };
        assert_eq!(serde_json::from_str::<ClientMessage>(&message.to_json()).ok().as_ref(), Some(&message));
        let possible = match message {
            ClientMessage::Play(play) => {
                session::playable(&play);
                true
            }
            ClientMessage::Ack(ack) => steering.acknowledged(ack.received, ack.at, now).is_ok(),
            ClientMessage::Pong(pong) => steering.answered(pong.sent, pong.at, pong.received, now).is_ok(),
            _ => true,
        };
        if !possible {
            break;
        }
        steering.permit(now);
        steering.ask(Some(RATES), now);
    }
}
