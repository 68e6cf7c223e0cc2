//! One connection to the relay in the `sightline.v1` dialect.
//!
//! In go the socket's events, out come messages as the protocol types them; media stays an `ArrayBuffer`. It answers
//! pings, acknowledges and pings by itself, and knows when the line is dead. Nothing is queued here.

use js_sys::ArrayBuffer;
use sightline_protocol::SUBPROTOCOL;
use sightline_protocol::message::{Ack, ClientMessage, Ping, Play, Pong, ServerMessage, TrackKind};
use sightline_protocol::stream::VariantChoice;

use super::clock::RelayClock;
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

/// How much media a connection has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Init segments and fragments.
    pub messages: u64,
    /// Those of them that the relay has not been told of yet.
    pub unacknowledged: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Open, or about to be, until it is dropped.
pub struct Connection {
    socket: Socket,
    liveness: Liveness,
    clock: RelayClock,
    received: u64,
    bytes: u64,
    /// When the newest binary message arrived, on the clock of the wire.
    arrived: Option<f64>,
}

impl Connection {
    /// Begins to connect; `on_event` gets what must be given to [`receive`](Self::receive).
    ///
    /// # Errors
    /// If the page may not connect there.
    pub fn open(url: &str, now: Moment, on_event: impl Fn(Event) + Clone + 'static) -> Result<Self, DomError> {
        let socket = Socket::open(url, SUBPROTOCOL, on_event)?;
        Ok(Self {
            socket,
            liveness: Liveness::new(now),
            clock: RelayClock::default(),
            received: 0,
            bytes: 0,
            arrived: None,
        })
    }

    /// Asks for the stream, first, and again when what this browser plays turns out to be less.
    pub fn play(&self, codecs: &[String], variant: VariantChoice) {
        let tracks = vec![TrackKind::Video];
        self.send(&ClientMessage::Play(Play { codecs: codecs.to_vec(), variant, tracks }));
    }

    /// Asks for audio beside video, or for none.
    pub fn listen(&self, audio: bool) {
        let mut tracks = vec![TrackKind::Video];
        tracks.extend(audio.then_some(TrackKind::Audio));
        self.send(&ClientMessage::Tracks { tracks });
    }

    /// Asks the relay to send no media until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.send(&ClientMessage::Pause);
    }

    /// Asks the relay to go on with the newest key frame; if it was not asked to pause, with an init segment before it.
    pub fn resume(&self) {
        self.send(&ClientMessage::Resume);
    }

    /// Asks whether the relay is still there; without an answer soon the line is dead.
    pub fn probe(&mut self, now: Moment) {
        self.liveness.probe(now);
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
                self.bytes += u64::from(bytes.byte_length());
                self.arrived = Some(browser::unix_ms());
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
            self.send(&ClientMessage::Ack(Ack { received: self.received, at: self.arrived, lag_ms: lag_ms() }));
        }
        if due.ping {
            self.send(&ClientMessage::Ping(Ping::new(browser::unix_ms())));
        }
        due.dead
    }

    /// How long the connection has stood, in milliseconds.
    pub fn lived_ms(&self, now: Moment) -> f64 {
        self.liveness.lived_ms(now)
    }

    /// The relay's clock, as far as its answers have told it.
    pub fn clock(&self) -> &RelayClock {
        &self.clock
    }

    /// What has been received.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            messages: self.received,
            unacknowledged: self.received - self.liveness.acknowledged(),
            bytes: self.bytes,
        }
    }

    fn understand(&mut self, text: &str) -> Option<Incoming> {
        match serde_json::from_str(text) {
            Ok(ServerMessage::Ping(Ping { sent, .. })) => {
                let received = Some(self.received);
                self.send(&ClientMessage::Pong(Pong { sent, at: browser::unix_ms(), received }));
                None
            }
            Ok(ServerMessage::Pong(pong)) => {
                self.clock.answered(pong.sent, pong.at, browser::unix_ms());
                None
            }
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
