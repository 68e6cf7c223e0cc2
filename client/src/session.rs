//! One stream on the page: selects the protocol and owns the engine that plays it.
//!
//! | module | role |
//! | --- | --- |
//! | [`director`] | starts and replaces the engine |
//! | [`plan`] | selects the protocol (pure); [`memory`] stores the one that worked per network |
//! | [`mse`] | fragments over a WebSocket: [`link`] is its connection, [`recorder`] records the stream |
//! | [`player_choice`] | which player that engine uses: MSE or WebCodecs (pure) |
//! | [`webrtc`], [`hls`] | the other protocols, which share [`attempts`] and [`screen`] |
//! | [`attention`], [`retry`], [`statistics`] | shared by all engines |
//!
//! All events arrive through mailboxes, one for the session and one for its engine, and each is handled completely before the
//! next. [`TileEvent`]s report to the page. Dropping the [`Session`] closes the connection, releases the video and unregisters
//! every callback.

use std::rc::Rc;

use sightline_protocol::stream::{StreamName, VariantChoice};
use web_sys::{HtmlCanvasElement, HtmlVideoElement};

use crate::browser::Relay;
use crate::browser::mailbox::Mailbox;
use crate::state::{Protocol, TileEvent};

mod attempts;
mod attention;
mod director;
mod hls;
mod input;
mod link;
mod memory;
mod mse;
mod plan;
mod player_choice;
mod recorder;
mod retry;
mod screen;
mod statistics;
mod webrtc;

use director::{Director, Message};
use input::Input;

/// Plays one stream until it is dropped.
#[must_use = "dropping the session ends it"]
pub struct Session {
    mailbox: Mailbox<Message>,
}

/// The parameters of a session.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The stream.
    pub stream: StreamName,
    /// The requested variant.
    pub choice: VariantChoice,
    /// The protocol.
    pub protocol: Protocol,
    /// The relay that serves the stream.
    pub relay: Relay,
}

/// Receives the session's events.
pub type Report = Rc<dyn Fn(TileEvent)>;

impl Session {
    /// Starts to play in a video, with a canvas over it. Never fails: errors are reported as events.
    pub fn start(wanted: Wanted, picture: (HtmlVideoElement, HtmlCanvasElement), report: Report) -> Self {
        let mailbox = Mailbox::new(move |sender| {
            let mut director = Director::new(wanted, picture, report, sender);
            move |message| director.handle(message)
        });
        mailbox.sender().send(Message::Begin);
        Self { mailbox }
    }

    /// Handles a tap of the user on the video.
    pub fn tapped(&self) {
        self.tell(Input::Tapped);
    }

    /// Retries at once, at the user's request.
    pub fn retry(&self) {
        self.tell(Input::Retry);
    }

    /// Turns audio on or off. Call it within the user's gesture.
    pub fn listen(&self, audio: bool) {
        self.tell(Input::Listen(audio));
    }

    /// Sets the volume, 0 to 1.
    pub fn set_volume(&self, volume: f64) {
        self.tell(Input::Volume(volume));
    }

    /// Starts a recording, or ends it and saves the file.
    pub fn record(&self, wanted: bool) {
        self.tell(Input::Record(wanted));
    }

    /// Enters or leaves picture-in-picture. Call it within the user's gesture.
    pub fn float(&self) {
        self.tell(Input::Float);
    }

    /// Switches the protocol. The last frame stays until the new protocol presents one.
    pub fn switch(&self, protocol: Protocol) {
        self.mailbox.sender().send(Message::Switch(protocol));
    }

    fn tell(&self, input: Input) {
        self.mailbox.sender().send(Message::User(input));
    }
}
