//! One stream on the page: chooses how it gets here, and owns what brings it.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`plan`] | which way comes next (pure); [`memory`] keeps what worked |
//! | [`mse`] | fragments over a WebSocket: [`link`] is its connection, [`recorder`] keeps what comes |
//! | [`webrtc`], [`hls`] | the other ways, with [`attempts`] and a [`screen`] in common |
//! | [`attention`], [`retry`], [`statistics`] | what all of them need |
//!
//! Everything that happens comes through mailboxes, one for the session and one for its engine, and is handled to its end
//! before the next. What the page should know leaves as [`TileEvent`]s. Dropping the [`Session`] closes the connection,
//! releases the video and unregisters every callback.

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

/// What a session is to play.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The stream.
    pub stream: StreamName,
    /// The variant to ask for.
    pub choice: VariantChoice,
    /// How it is to get here.
    pub protocol: Protocol,
    /// The relay that has it.
    pub relay: Relay,
}

/// Who is told what happens.
pub type Report = Rc<dyn Fn(TileEvent)>;

impl Session {
    /// Starts to play in a video, with a canvas over it. Never fails: what goes wrong is reported like everything else.
    pub fn start(wanted: Wanted, picture: (HtmlVideoElement, HtmlCanvasElement), report: Report) -> Self {
        let mailbox = Mailbox::new(move |sender| {
            let mut director = Director::new(wanted, picture, report, sender);
            move |message| director.handle(message)
        });
        mailbox.sender().send(Message::Begin);
        Self { mailbox }
    }

    /// The user tapped on the picture.
    pub fn tapped(&self) {
        self.tell(Input::Tapped);
    }

    /// The user wants to hear it, or not; called within the user's action.
    pub fn listen(&self, audio: bool) {
        self.tell(Input::Listen(audio));
    }

    /// The user wants it so loud, 0 to 1.
    pub fn set_volume(&self, volume: f64) {
        self.tell(Input::Volume(volume));
    }

    /// The user wants it recorded; or no longer, and what there is saved.
    pub fn record(&self, wanted: bool) {
        self.tell(Input::Record(wanted));
    }

    /// The user wants it to get here in another way. The last picture stays until that way has one.
    pub fn switch(&self, protocol: Protocol) {
        self.mailbox.sender().send(Message::Switch(protocol));
    }

    fn tell(&self, input: Input) {
        self.mailbox.sender().send(Message::User(input));
    }
}
