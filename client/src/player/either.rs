//! One surface for both players of the media that a WebSocket brings.

use std::rc::Rc;

use js_sys::ArrayBuffer;
use sightline_protocol::message::Track;
use web_sys::HtmlVideoElement;

use super::mse::{MsePlayer, MseSignal};
use super::outcome::Outcome;
use super::webcodecs::{WebCodecsPlayer, WebCodecsSignal};
use crate::browser::error::DomError;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::media_source::Kind as SourceKind;
use crate::time::Moment;

/// The kinds of player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayerKind {
    /// [`mse`].
    Mse,
    /// [`webcodecs`].
    WebCodecs,
}

/// An event of the browser for a player. A player ignores those of the other.
pub enum PlayerSignal {
    /// For [`mse`].
    Mse(MseSignal),
    /// For [`webcodecs`].
    WebCodecs(WebCodecsSignal),
}

/// A player of either kind.
pub enum Player {
    /// See [`mse`].
    Mse(Box<MsePlayer>),
    /// See [`webcodecs`].
    WebCodecs(Box<WebCodecsPlayer>),
}

/// Calls the method of either player.
macro_rules! dispatch {
    ($self:ident, $player:ident => $call:expr) => {
        match $self {
            Self::Mse($player) => $call,
            Self::WebCodecs($player) => $call,
        }
    };
}

impl Player {
    /// Creates a player of this kind, which presents on `video` or on the canvas over it.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn new(
        kind: PlayerKind,
        source: SourceKind,
        (video, frame_canvas): (HtmlVideoElement, FrameCanvas),
        signal: Rc<dyn Fn(PlayerSignal)>,
    ) -> Result<Self, DomError> {
        match kind {
            PlayerKind::Mse => {
                let signal = Rc::new(move |event| signal(PlayerSignal::Mse(event)));
                Ok(Self::Mse(Box::new(MsePlayer::new(video, source, signal)?)))
            }
            PlayerKind::WebCodecs => {
                let signal = Rc::new(move |event| signal(PlayerSignal::WebCodecs(event)));
                Ok(Self::WebCodecs(Box::new(WebCodecsPlayer::new(video, frame_canvas, signal)?)))
            }
        }
    }

    /// The player's kind.
    pub fn kind(&self) -> PlayerKind {
        match self {
            Self::Mse(_) => PlayerKind::Mse,
            Self::WebCodecs(..) => PlayerKind::WebCodecs,
        }
    }

    /// Handles an event of the browser.
    pub fn handle(&mut self, signal: PlayerSignal, now: Moment) {
        match (self, signal) {
            (Self::Mse(player), PlayerSignal::Mse(signal)) => player.handle(signal, now),
            (Self::WebCodecs(player), PlayerSignal::WebCodecs(signal)) => player.handle(signal, now),
            // The engine has replaced the player.
            _ => {}
        }
    }

    /// Starts over with a new MediaSource or decoder.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn start_over(&mut self) -> Result<(), DomError> {
        dispatch!(self, player => player.start_over())
    }

    /// Announces an epoch of video: the next message is its init segment.
    pub fn announce(&mut self, track: &Track) {
        dispatch!(self, player => player.announce(track));
    }

    /// Announces audio: the next message is its init segment. Returns whether the player must start over to play it.
    pub fn announce_audio(&mut self, track: &Track) -> bool {
        match self {
            Self::Mse(player) => player.announce_audio(track),
            Self::WebCodecs(player) => {
                player.announce_audio(track);
                false
            }
        }
    }

    /// Disables audio from the next start on. Returns whether the player must start over for that.
    pub fn remove_audio(&mut self) -> bool {
        match self {
            Self::Mse(player) => player.remove_audio(),
            Self::WebCodecs(..) => false,
        }
    }

    /// Ignores media until an epoch is announced: the connection has closed, or the epoch cannot be played here.
    pub fn ignore_media(&mut self) {
        dispatch!(self, player => player.ignore_media());
    }

    /// Handles an init segment or a fragment.
    pub fn media(&mut self, bytes: ArrayBuffer, now: Moment) {
        dispatch!(self, player => player.media(bytes, now));
    }

    /// Plays and checks as needed; called on a timer.
    pub fn tick(&mut self, now: Moment) {
        dispatch!(self, player => player.tick(now));
    }

    /// Handles the tile becoming invisible.
    pub fn hide(&mut self) {
        dispatch!(self, player => player.hide());
    }

    /// Handles the tile becoming visible again.
    pub fn show(&mut self, now: Moment) {
        dispatch!(self, player => player.show(now));
    }

    /// Handles a user gesture: the browser now permits playback.
    pub fn tapped(&mut self) {
        dispatch!(self, player => player.tapped());
    }

    /// Whether frames are presented in the `<video>`, and not on the canvas over it.
    pub fn uses_video(&self) -> bool {
        match self {
            Self::Mse(_) => true,
            Self::WebCodecs(player) => player.uses_video(),
        }
    }

    /// The distance from the frame on screen to the newest fragment received, in milliseconds; none before the first frame.
    pub fn lag_ms(&self) -> Option<f64> {
        dispatch!(self, player => player.lag_ms())
    }

    /// The age of the frame on screen, in milliseconds, if the page's clock agrees with the relay's; none if unknown.
    pub fn age_ms(&self) -> Option<f64> {
        dispatch!(self, player => player.age_ms())
    }

    /// Playback statistics: the seconds buffered, the arrival jitter in milliseconds, and the playback rate.
    pub fn stats(&self, now: Moment) -> (f64, Option<f64>, f64) {
        dispatch!(self, player => player.stats(now))
    }

    /// The number of decoded frames, and of those dropped.
    pub fn quality(&self) -> (u64, u64) {
        dispatch!(self, player => player.quality())
    }

    /// Takes the outcomes since the last call.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        dispatch!(self, player => player.outcomes())
    }
}
