//! Connects the parts of the simulation and records the results.

use std::time::Duration;

use sightline_protocol::message::{Ack, ClientMessage, Play, Pong, ServerMessage};
use sightline_protocol::stream::{Variant, VariantChoice};

use super::link::{LinkDirection, LinkProfile};
use super::source::{CODEC, SimulatedCamera, SimulatedSource};
use super::viewer::{Down, Up, Viewer};
use crate::egress::websocket::session::{Now, Session, SessionAction, SessionInput};
use crate::egress::websocket::variant_selector::Level;
use crate::hub::rendition::Protocol;

/// Interval of heartbeats in milliseconds.
const HEARTBEAT: u64 = 5000;
/// Size of the viewer's messages.
const ANSWER: usize = 60;

/// See the [module](self).
pub(super) struct World {
    now: u64,
    source: SimulatedSource,
    viewer: Viewer,
    down: LinkDirection<Down>,
    up: LinkDirection<Up>,
    /// The age of the newest frame at the viewer, for each millisecond.
    ages: Vec<u64>,
    /// The time at which the viewer joined.
    came: u64,
    /// The level of the newest epoch.
    level: Level,
    /// Times of the changes of variant, and the new level.
    pub(super) switches: Vec<(u64, Level)>,
    /// Times of skips, and the number of skipped frames.
    pub(super) skips: Vec<(u64, u64)>,
    /// Bytes of padding.
    pub(super) padding: u64,
    /// Pings, without heartbeats.
    pub(super) pings: u64,
}

impl World {
    pub(super) fn new(camera: SimulatedCamera, profile: LinkProfile, seed: u64, has_low: bool) -> Self {
        Self {
            now: 0,
            source: SimulatedSource::new(camera, has_low),
            viewer: Viewer::default(),
            up: LinkDirection::new(LinkProfile::new(1_000_000, profile.delay), seed + 1),
            down: LinkDirection::new(profile, seed),
            ages: Vec::new(),
            came: 0,
            level: Level::Full,
            switches: Vec::new(),
            skips: Vec::new(),
            padding: 0,
            pings: 0,
        }
    }

    /// Runs the camera for `before` milliseconds, then with a viewer for `seconds`.
    pub(super) fn run(mut self, before: u64, seconds: u64) -> Self {
        for now in 0..before {
            self.source.step(now);
        }
        self.came = before;
        let mut session = self.join();
        for now in before..before + seconds * 1000 {
            self.now = now;
            let mut woken = self.source.step(now);
            for message in self.down.step(now) {
                if let Some(answer) = self.viewer.receive(message, now) {
                    self.up.send(ANSWER, answer);
                }
            }
            if let Some(answer) = self.viewer.tick(now) {
                self.up.send(ANSWER, answer);
            }
            for answer in self.up.step(now) {
                self.handle(&mut session, SessionInput::Message(answer.into()));
                self.serve(&mut session);
            }
            if (now - before).is_multiple_of(HEARTBEAT) {
                self.handle(&mut session, SessionInput::Heartbeat);
                self.pings -= 1;
                woken = true;
            }
            if woken {
                self.serve(&mut session);
            }
            self.ages.push(self.viewer.age(now).unwrap_or(now - before));
        }
        self
    }

    /// The greatest age of the viewer's newest frame between two milliseconds.
    pub(super) fn worst_age(&self, from: u64, until: u64) -> u64 {
        let index = |time: u64| ((time - self.came) as usize).min(self.ages.len());
        self.ages[index(from)..index(until)].iter().copied().max().unwrap_or(0)
    }

    /// The levels of all changes, in order.
    pub(super) fn levels(&self) -> Vec<Level> {
        self.switches.iter().map(|switch| switch.1).collect()
    }

    /// The session of a viewer that has just sent its `play`.
    fn join(&self) -> Session {
        let stream = self.source.stream.clone();
        let copy = stream.subscribe(Variant::Copy, Protocol::Mse);
        let play = Play {
            variant: VariantChoice::Auto,
            codecs: vec![CODEC.to_string()],
            tracks: Vec::new(),
            size: None,
            quality: None,
        };
        Session::new(stream, copy, &play)
    }

    fn now(&self) -> Now {
        Now { time: Duration::from_millis(self.now - self.came), unix_ms: self.now as f64 }
    }

    fn handle(&mut self, session: &mut Session, input: SessionInput) {
        session.handle(input, self.now()).expect("viewers acknowledge what they have received");
        self.write(session);
    }

    /// What the session's loop does until nothing is left to send.
    fn serve(&mut self, session: &mut Session) {
        loop {
            self.write(session);
            let decision = session.advance(self.now()).expect("no link is silent for so long");
            self.write(session);
            let Some(input) = session.poll_video(decision) else { return };
            self.handle(session, input);
        }
    }

    fn write(&mut self, session: &mut Session) {
        while let Some(action) = session.next_action() {
            match action {
                SessionAction::Init(bytes) => self.down.send(bytes.len(), Down::Init),
                SessionAction::Fragment(fragment) => {
                    self.down.send(fragment.bytes.len(), Down::Frame(fragment.head.decode_time));
                }
                SessionAction::Message(message) => self.message(message),
                SessionAction::Status(_) => {}
            }
        }
    }

    fn message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Ready(ready) => {
                let level = if ready.variant == Variant::Low { Level::Low } else { Level::Full };
                if std::mem::replace(&mut self.level, level) != level {
                    self.switches.push((self.now, level));
                }
            }
            ServerMessage::Gap { skipped, .. } => self.skips.push((self.now, skipped)),
            ServerMessage::Ping(ping) => {
                self.padding += ping.padding.len() as u64;
                self.pings += 1;
                self.down.send(40 + ping.padding.len(), Down::Ping(ping.sent));
            }
            _ => {}
        }
    }
}

impl From<Up> for ClientMessage {
    fn from(answer: Up) -> Self {
        match answer {
            Up::Ack { received, at } => Self::Ack(Ack { received, at: Some(at), lag_ms: None }),
            Up::Pong { sent, at, received } => Self::Pong(Pong { sent, at, received: Some(received) }),
        }
    }
}
