//! One stream on the page: owns its connection and its player, and makes the decisions that need both.
//!
//! Everything that happens comes as an `Input` through one mailbox and is handled to its end before the next. What the
//! page should know leaves as [`TileEvent`]s. Dropping the [`Session`] closes the connection, releases the video and
//! unregisters every callback.

use std::rc::Rc;

use sightline_protocol::stream::{StreamName, VariantChoice};
use web_sys::HtmlVideoElement;

use crate::browser::mailbox::Mailbox;
use crate::browser::media_source::Kind;
use crate::browser::{error::DomError, stream_url};
use crate::state::TileEvent;

mod driver;

use driver::{Driver, Input};

/// Plays one stream until it is dropped.
#[must_use = "dropping the session ends it"]
pub struct Session {
    mailbox: Mailbox<Input>,
}

/// Who is told what happens.
pub type Report = Rc<dyn Fn(TileEvent)>;

impl Session {
    /// Starts to play `stream` in `video`. Never fails: what goes wrong is reported like everything else.
    pub fn start(stream: StreamName, choice: VariantChoice, video: HtmlVideoElement, report: Report) -> Self {
        let mailbox = Mailbox::new(move |sender| {
            let driver = Self::driver(stream, choice, video, &report, sender);
            let mut driver = driver.map_err(|message| report(TileEvent::Failed(message))).ok();
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

    fn driver(
        stream: StreamName,
        choice: VariantChoice,
        video: HtmlVideoElement,
        report: &Report,
        sender: crate::browser::mailbox::Sender<Input>,
    ) -> Result<Driver, String> {
        let kind = Kind::available().ok_or(
            "This browser has no Media Source Extensions, which live pictures need: use a current Chrome, Edge, \
             Firefox or Safari.",
        )?;
        let no_start = |error: DomError| format!("The browser refused to start a player: {error}. Reload the page.");
        let url = stream_url(&stream).map_err(no_start)?;
        Driver::new(stream, url, choice, kind, video, Rc::clone(report), sender).map_err(no_start)
    }
}
