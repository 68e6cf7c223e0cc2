//! One connection to the relay in the `sightline.v1` subprotocol.
//!
//! Input: the socket's events. Output: typed protocol messages; media stays an `ArrayBuffer`. The connection answers pings,
//! sends acknowledgements and pings, and detects a dead socket. It queues nothing. The session's `RelayConnection` owns it.

use js_sys::ArrayBuffer;
use sightline_protocol::message::{Ack, ClientMessage, Ping, Play, Pong, ServerMessage, Size, TrackKind};
use sightline_protocol::stream::{Quality, VariantChoice};

use super::clock::RelayClock;
use super::liveness::Liveness;
use crate::browser;
use crate::browser::error::DomError;
use crate::browser::socket::{Socket, SocketEvent};
use crate::time::Moment;

/// An event of the connection.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// The connection is open.
    Opened,
    /// A message that the connection does not handle itself.
    Message(ServerMessage),
    /// An init segment or a fragment.
    Media(ArrayBuffer),
    /// The connection closed, or failed to open.
    Closed {
        /// WebSocket close code.
        code: u16,
    },
}

/// The amount of media that a connection has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Init segments and fragments.
    pub messages: u64,
    /// Received messages not yet acknowledged.
    pub unacknowledged: u64,
    /// Total bytes of the received messages.
    pub bytes: u64,
}

/// A connection that is opening or open; dropping it closes it.
pub struct Connection {
    socket: Socket,
    liveness: Liveness,
    clock: RelayClock,
    received: u64,
    bytes: u64,
    /// When the newest binary message arrived, in Unix milliseconds.
    arrived: Option<f64>,
}

impl Connection {
    /// Starts to connect. The owner passes each event from `on_event` to [`receive`](Self::receive).
    ///
    /// # Errors
    /// If the page may not connect there.
    pub fn open(url: &str, now: Moment, on_event: impl Fn(SocketEvent) + Clone + 'static) -> Result<Self, DomError> {
        let socket = Socket::open(url, on_event)?;
        Ok(Self {
            socket,
            liveness: Liveness::new(now),
            clock: RelayClock::default(),
            received: 0,
            bytes: 0,
            arrived: None,
        })
    }

    /// Requests the stream: first after opening, and again when the list of playable codecs shrinks.
    pub fn play(&self, codecs: &[String], (variant, quality): (VariantChoice, Quality), size: Size) {
        let tracks = vec![TrackKind::Video];
        let play = Play { codecs: codecs.to_vec(), variant, tracks, size: Some(size), quality: Some(quality) };
        self.send(&ClientMessage::Play(play));
    }

    /// Requests another quality.
    pub fn set_quality(&self, quality: Quality) {
        self.send(&ClientMessage::Quality { quality });
    }

    /// Tells the relay the size at which the video is shown.
    pub fn resize(&self, size: Size) {
        self.send(&ClientMessage::Resize { size });
    }

    /// Requests audio beside video, or video alone.
    pub fn listen(&self, audio: bool) {
        let mut tracks = vec![TrackKind::Video];
        tracks.extend(audio.then_some(TrackKind::Audio));
        self.send(&ClientMessage::Tracks { tracks });
    }

    /// Requests that the relay send no media until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.send(&ClientMessage::Pause);
    }

    /// Requests that the relay resume with the newest key frame; if it was not paused, with an init segment before it.
    pub fn resume(&self) {
        self.send(&ClientMessage::Resume);
    }

    /// Tests whether the relay responds; without a response soon, the connection is dead.
    pub fn probe(&mut self, now: Moment) {
        self.liveness.probe(now);
    }

    /// Handles an event of the socket. None if the owner has nothing to do.
    pub fn receive(&mut self, event: SocketEvent, now: Moment) -> Option<Incoming> {
        self.liveness.heard(now);
        match event {
            SocketEvent::Open => {
                self.liveness.opened(now);
                Some(Incoming::Opened)
            }
            SocketEvent::Binary(bytes) => {
                self.received += 1;
                self.bytes += u64::from(bytes.byte_length());
                self.arrived = Some(browser::unix_ms());
                Some(Incoming::Media(bytes))
            }
            SocketEvent::Text(text) => self.understand(&text),
            SocketEvent::Closed { code, .. } => Some(Incoming::Closed { code }),
        }
    }

    /// Sends messages that are due; `lag_ms` is the distance from the presented frame to the newest fragment. Returns whether
    /// the connection is dead.
    pub fn send_due(&mut self, now: Moment, lag_ms: impl FnOnce() -> Option<f64>) -> bool {
        let due = self.liveness.due(now, self.received);
        if due.ack {
            self.send(&ClientMessage::Ack(Ack { received: self.received, at: self.arrived, lag_ms: lag_ms() }));
        }
        if due.ping {
            self.send(&ClientMessage::Ping(Ping::new(browser::unix_ms())));
        }
        due.dead
    }

    /// How long the connection has been open, in milliseconds.
    pub fn lived_ms(&self, now: Moment) -> f64 {
        self.liveness.lived_ms(now)
    }

    /// The estimate of the relay's clock.
    pub fn clock(&self) -> &RelayClock {
        &self.clock
    }

    /// The media received so far.
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
                // A newer relay may send messages that this client does not know.
                browser::warn(&format!("sightline: a message of the relay was not understood: {error}"));
                None
            }
        }
    }

    fn send(&self, message: &ClientMessage) {
        self.socket.send(&message.to_json());
    }
}
