//! Owns the player of a WebSocket's media, and replaces it when another one is selected.
//!
//! Every player shares the tile's `<video>` and the canvas over it. The canvas keeps the last frame on screen until the next
//! player or MediaSource presents one. Picture-in-picture shows the `<video>`, so it waits for a player that uses that.

use std::rc::Rc;

use sightline_protocol::codec::Family;
use sightline_protocol::message::Size;
use web_sys::HtmlVideoElement;

use super::input::Input;
use super::player_selector::PlayerSelector;
use crate::browser::error::DomError;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::mailbox::Sender;
use crate::browser::media_source::Kind;
use crate::browser::video_track::VideoTrack;
use crate::browser::{self, display};
use crate::codec_probe;
use crate::player::either::{Player, PlayerKind, PlayerSignal};
use crate::state::Protocol;

/// See the module.
pub(super) struct PlayerHost {
    /// The current player.
    pub(super) player: Player,
    /// The selection.
    pub(super) selector: PlayerSelector,
    media_source: Kind,
    video: HtmlVideoElement,
    canvas: FrameCanvas,
    signal: Rc<dyn Fn(PlayerSignal)>,
    /// Picture-in-picture begins with the next presented frame.
    picture_in_picture_due: bool,
}

impl PlayerHost {
    /// Starts the preferred player on the `<video>` and its canvas.
    pub(super) fn new(
        preferred: PlayerKind,
        media_source: Kind,
        (video, canvas): (HtmlVideoElement, FrameCanvas),
        sender: Sender<Input>,
    ) -> Result<Self, DomError> {
        let signal: Rc<dyn Fn(PlayerSignal)> = Rc::new(move |signal| sender.send(Input::Player(signal)));
        Ok(Self {
            player: Player::new(preferred, media_source, (video.clone(), canvas.clone()), Rc::clone(&signal))?,
            selector: PlayerSelector::new(preferred, VideoTrack::is_available()),
            media_source,
            video,
            canvas,
            signal,
            picture_in_picture_due: false,
        })
    }

    /// Whether the current player is that of WebCodecs.
    pub(super) fn is_webcodecs(&self) -> bool {
        self.player.kind() == PlayerKind::WebCodecs
    }

    /// Whether the `<video>` can be visible.
    pub(super) fn is_seen(&self) -> bool {
        browser::is_seen(&self.video)
    }

    /// The size at which the video is shown, in device pixels.
    pub(super) fn size(&self) -> Size {
        display::size(&self.video)
    }

    /// Whether the browser reports this MIME type as supported by MSE, which takes over where WebCodecs fails.
    pub(super) fn supports(&self, mime: &str) -> bool {
        self.media_source.is_type_supported(mime)
    }

    /// The codec strings that this browser can play, without a family that failed.
    pub(super) fn playable(&self, failed: Option<Family>) -> Vec<String> {
        codec_probe::playable(|mime| self.supports(mime), failed)
    }

    /// Enters or leaves picture-in-picture. Returns whether another player has to be selected for it.
    pub(super) fn toggle_picture_in_picture(&mut self) -> bool {
        self.picture_in_picture_due = !self.player.uses_video();
        if !self.picture_in_picture_due {
            display::toggle_picture_in_picture(&self.video);
        }
        self.picture_in_picture_due
    }

    /// Replaces the player if another one is selected. Returns whether it did.
    pub(super) fn use_selected(&mut self) -> Result<bool, DomError> {
        self.selector
            .set_picture_in_picture(self.picture_in_picture_due || display::is_picture_in_picture(&self.video));
        let kind = self.selector.kind();
        if kind == self.player.kind() {
            return Ok(false);
        }
        self.canvas.capture(&self.video);
        let surface = (self.video.clone(), self.canvas.clone());
        self.player = Player::new(kind, self.media_source, surface, Rc::clone(&self.signal))?;
        self.set_muted(!self.selector.audio());
        Ok(true)
    }

    /// Mutes or unmutes the `<video>`. To unmute, call this within a user gesture, or the browser pauses the video.
    pub(super) fn set_muted(&self, muted: bool) {
        self.video.set_muted(muted);
    }

    /// Sets the volume, 0 to 1.
    pub(super) fn set_volume(&self, volume: f64) {
        self.video.set_volume(volume);
    }

    /// The protocol of the current player.
    pub(super) fn protocol(&self) -> Protocol {
        match self.player.kind() {
            PlayerKind::Mse => Protocol::Mse,
            PlayerKind::WebCodecs => Protocol::WebCodecs,
        }
    }

    /// Starts over with a new MediaSource or decoder, behind the last frame.
    pub(super) fn start_over(&mut self) -> Result<(), DomError> {
        self.canvas.capture(&self.video);
        self.player.start_over()
    }

    /// Handles a presented frame: the first of an epoch, or since the tile became visible again.
    pub(super) fn presented(&mut self) {
        if self.player.uses_video() {
            self.canvas.hide();
            if std::mem::take(&mut self.picture_in_picture_due) {
                display::toggle_picture_in_picture(&self.video);
            }
        }
    }
}
