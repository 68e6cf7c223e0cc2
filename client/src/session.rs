//! One stream on the page: selects the protocol and owns the engine that plays it.
//!
//! | module | role |
//! | --- | --- |
//! | [`controller`] | starts and replaces the engine |
//! | [`protocol_selector`] | selects the protocol (pure); [`learned_protocols`] stores the one that worked per network |
//! | [`websocket`] | fragments over a WebSocket: [`relay_connection`] is its connection, [`recording`] saves what [`recorder`] records |
//! | [`player_host`] | that engine's player: MSE or WebCodecs, as [`player_selector`] decides (pure) |
//! | [`codec_fallback`] | the codecs to request after one failed (pure) |
//! | [`webrtc`], [`hls`] | the other protocols, which share [`attempts`] and [`browser_playback`] |
//! | [`visibility`], [`retry`], [`stats`], [`reporter`] | shared by all engines |
//!
//! All events arrive through mailboxes, one for the session and one for its engine, and each is handled completely before the
//! next. [`TileEvent`]s report to the page. Dropping the [`Session`] closes the connection, releases the video and unregisters
//! every callback.

use std::rc::Rc;

use sightline_protocol::stream::{Quality, StreamName, VariantChoice};
use web_sys::{HtmlCanvasElement, HtmlVideoElement};

use crate::browser::Relay;
use crate::browser::mailbox::Mailbox;
use crate::state::{Protocol, TileEvent};

mod attempts;
mod browser_playback;
mod codec_fallback;
mod controller;
mod hls;
mod input;
mod learned_protocols;
mod player_host;
mod player_selector;
mod protocol_selector;
mod recorder;
mod recording;
mod relay_connection;
mod reporter;
mod retry;
mod size_report;
mod stats;
mod visibility;
mod webrtc;
mod websocket;

use controller::{Controller, SessionInput};
use input::Input;

/// Plays one stream until it is dropped.
#[must_use = "dropping the session ends it"]
pub struct Session {
    mailbox: Mailbox<SessionInput>,
}

/// The parameters of a session.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The stream.
    pub stream: StreamName,
    /// The requested variant.
    pub choice: VariantChoice,
    /// The protocol.
    pub protocol: Protocol,
    /// The quality.
    pub quality: Quality,
    /// The relay that serves the stream.
    pub relay: Relay,
}

/// Receives the session's events.
pub type Report = Rc<dyn Fn(TileEvent)>;

impl Session {
    /// Starts to play in a video, with a canvas over it. Never fails: errors are reported as events.
    pub fn start(wanted: SessionOptions, surface: (HtmlVideoElement, HtmlCanvasElement), report: Report) -> Self {
        let mailbox = Mailbox::new(move |sender| {
            let mut controller = Controller::new(wanted, surface, report, sender);
            move |message| controller.handle(message)
        });
        mailbox.sender().send(SessionInput::Begin);
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
    pub fn toggle_picture_in_picture(&self) {
        self.tell(Input::PictureInPicture);
    }

    /// Switches the protocol. The last frame stays until the new protocol presents one.
    pub fn switch(&self, protocol: Protocol) {
        self.mailbox.sender().send(SessionInput::SwitchProtocol(protocol));
    }

    /// Sets the quality. The last frame stays until the new variant presents one.
    pub fn set_quality(&self, quality: Quality) {
        self.tell(Input::Quality(quality));
    }

    fn tell(&self, input: Input) {
        self.mailbox.sender().send(SessionInput::User(input));
    }
}
