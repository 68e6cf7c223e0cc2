//! One connection to the relay in the `sightline.v1` dialect.
//!
//! In go the socket's events, out come messages as the protocol types them; media stays an `ArrayBuffer`. It answers
//! pings, acknowledges and pings by itself, and knows when the line is dead. Nothing is queued here.

use js_sys::ArrayBuffer;
use sightline_protocol::SUBPROTOCOL;
use sightline_protocol::message::{Ack, ClientMessage, Ping, Play, Pong, ServerMessage, TrackKind};
use sightline_protocol::stream::VariantChoice;

use super::liveness::Liveness;
use crate::browser;
use crate::browser::error::DomError;
use crate::browser::socket::{Event, Socket};
use crate::time::Moment;

/// What arrived.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// The connection stands.
    Opened,
    /// A message that is not the connection's own business.
    Message(ServerMessage),
    /// An init segment or a fragment.
    Media(ArrayBuffer),
    /// The connection ended, or never stood.
    Closed {
        /// WebSocket close code.
        code: u16,
    },
}

/// Open, or about to be, until it is dropped.
pub struct Connection {
    socket: Socket,
    liveness: Liveness,
    received: u64,
}

impl Connection {
    /// Begins to connect; `on_event` gets what must be given to [`receive`](Self::receive).
    ///
    /// # Errors
    /// If the page may not connect there.
    pub fn open(url: &str, now: Moment, on_event: impl Fn(Event) + Clone + 'static) -> Result<Self, DomError> {
        let socket = Socket::open(url, SUBPROTOCOL, on_event)?;
        Ok(Self { socket, liveness: Liveness::new(now), received: 0 })
    }

    /// Asks for the stream, first, and again when what this browser plays turns out to be less.
    pub fn play(&self, codecs: &[String], variant: VariantChoice) {
        let tracks = vec![TrackKind::Video];
        self.send(&ClientMessage::Play(Play { codecs: codecs.to_vec(), variant, tracks }));
    }

    /// Understands an event of the socket. None if nobody else needs to know.
    pub fn receive(&mut self, event: Event, now: Moment) -> Option<Incoming> {
        self.liveness.heard(now);
        match event {
            Event::Open => {
                self.liveness.opened(now);
                Some(Incoming::Opened)
            }
            Event::Binary(bytes) => {
                self.received += 1;
                Some(Incoming::Media(bytes))
            }
            Event::Text(text) => self.understand(&text),
            Event::Closed { code, .. } => Some(Incoming::Closed { code }),
        }
    }

    /// Sends what is due; `lag_ms` is the presented lag for the acknowledgement. Returns whether the line is dead.
    pub fn attend(&mut self, now: Moment, lag_ms: impl FnOnce() -> Option<f64>) -> bool {
        let due = self.liveness.due(now, self.received);
        if due.ack {
            self.send(&ClientMessage::Ack(Ack { received: self.received, lag_ms: lag_ms() }));
        }
        if due.ping {
            self.send(&ClientMessage::Ping(Ping { sent: browser::unix_ms() }));
        }
        due.dead
    }

    /// How long the connection has stood, in milliseconds.
    pub fn lived_ms(&self, now: Moment) -> f64 {
        self.liveness.lived_ms(now)
    }

    fn understand(&self, text: &str) -> Option<Incoming> {
        match serde_json::from_str(text) {
            Ok(ServerMessage::Ping(Ping { sent })) => {
                self.send(&ClientMessage::Pong(Pong { sent, at: browser::unix_ms() }));
                None
            }
            // That it came is all that counts.
            Ok(ServerMessage::Pong(_)) => None,
            Ok(message) => Some(Incoming::Message(message)),
            Err(error) => {
                // A newer relay may say more than this client knows.
                browser::warn(&format!("sightline: a message of the relay was not understood: {error}"));
                None
            }
        }
    }

    fn send(&self, message: &ClientMessage) {
        self.socket.send(&message.to_json());
    }
}
