//! One stream on the page: owns its connection and its player, and makes the decisions that need both.
//!
//! Everything that happens comes as an `Input` through one mailbox and is handled to its end before the next. What the
//! page should know leaves as [`TileEvent`]s. Dropping the [`Session`] closes the connection, releases the video and
//! unregisters every callback.

use std::rc::Rc;

use sightline_protocol::stream::{StreamName, VariantChoice};
use web_sys::{HtmlCanvasElement, HtmlVideoElement};

use crate::browser::curtain::Curtain;
use crate::browser::mailbox::Mailbox;
use crate::browser::media_source::Kind;
use crate::browser::{error::DomError, stream_url};
use crate::state::{Failure, Protocol, TileEvent};

mod attention;
mod driver;
mod link;
mod recorder;
mod statistics;

use driver::{Driver, Input};

/// Plays one stream until it is dropped.
#[must_use = "dropping the session ends it"]
pub struct Session {
    mailbox: Mailbox<Input>,
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
    /// The relay's address, where it is another than the page's.
    pub relay: Option<String>,
}

/// Who is told what happens.
pub type Report = Rc<dyn Fn(TileEvent)>;

impl Session {
    /// Starts to play in a video, with a canvas over it. Never fails: what goes wrong is reported like everything else.
    pub fn start(wanted: Wanted, (video, canvas): (HtmlVideoElement, HtmlCanvasElement), report: Report) -> Self {
        let mailbox = Mailbox::new(move |sender| {
            report(TileEvent::Using(Protocol::Mse, "it is what this relay offers".to_owned()));
            let driver = Self::driver(wanted, (video, Curtain::new(canvas)), &report, sender);
            let mut driver = driver.map_err(|message| report(TileEvent::Failed(Failure::Refused, message))).ok();
            move |input| {
                if let Some(driver) = &mut driver {
                    driver.handle(input);
                }
            }
        });
        mailbox.sender().send(Input::Connect);
        Self { mailbox }
    }

    /// The user tapped on the picture.
    pub fn tapped(&self) {
        self.mailbox.sender().send(Input::Tapped);
    }

    /// The user wants to hear it, or not; called within the user's action.
    pub fn listen(&self, audio: bool) {
        self.mailbox.sender().send(Input::Listen(audio));
    }

    /// The user wants it so loud, 0 to 1.
    pub fn set_volume(&self, volume: f64) {
        self.mailbox.sender().send(Input::Volume(volume));
    }

    /// The user wants it recorded; or no longer, and what there is saved.
    pub fn record(&self, wanted: bool) {
        self.mailbox.sender().send(Input::Record(wanted));
    }

    /// The user wants it to get here in another way.
    pub fn switch(&self, _protocol: Protocol) {}

    fn driver(
        wanted: Wanted,
        picture: (HtmlVideoElement, Curtain),
        report: &Report,
        sender: crate::browser::mailbox::Sender<Input>,
    ) -> Result<Driver, String> {
        let Wanted { stream, choice, relay, .. } = wanted;
        let kind = Kind::available().ok_or(
            "This browser has no Media Source Extensions, which live pictures need: use a current Chrome, Edge, \
             Firefox or Safari.",
        )?;
        let no_start = |error: DomError| format!("The browser refused to start a player: {error}. Reload the page.");
        let url = stream_url(&stream, relay.as_deref()).map_err(no_start)?;
        Driver::new(stream, url, choice, kind, picture, Rc::clone(report), sender).map_err(no_start)
    }
}
