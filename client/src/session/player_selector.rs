//! Chooses the player of a session over a WebSocket: WebCodecs while it supports everything that the session uses, and otherwise MSE. Pure.

use sightline_protocol::codec::Family;

use crate::player::either::PlayerKind;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct PlayerSelector {
    preferred: PlayerKind,
    /// Whether WebCodecs presents in the `<video>`, which picture-in-picture shows.
    uses_video: bool,
    /// The family of the stream that WebCodecs failed to play, if known, and the reason.
    failed: Option<(Option<Family>, String)>,
    /// The family of the current epoch, if known.
    family: Option<Family>,
    /// Audio is on.
    audio: bool,
    /// The video is in picture-in-picture, or is to be.
    picture_in_picture: bool,
}

impl PlayerSelector {
    /// Creates the choice of the player that the protocol asks for. `uses_video`: whether WebCodecs presents in the `<video>`.
    pub(super) fn new(preferred: PlayerKind, uses_video: bool) -> Self {
        Self { preferred, uses_video, failed: None, family: None, audio: false, picture_in_picture: false }
    }

    /// Handles an epoch of this family. A failure with another family does not count for it.
    pub(super) fn begin_epoch(&mut self, family: Option<Family>) {
        self.family = family;
        self.failed.take_if(|(failed, _)| *failed != family);
    }

    /// Whether audio is on.
    pub(super) fn audio(&self) -> bool {
        self.audio
    }

    /// Sets whether audio is on.
    pub(super) fn set_audio(&mut self, audio: bool) {
        self.audio = audio;
    }

    /// Sets whether the video is in picture-in-picture, or is to be.
    pub(super) fn set_picture_in_picture(&mut self, picture_in_picture: bool) {
        self.picture_in_picture = picture_in_picture;
    }

    /// Handles a failure of WebCodecs that would recur in another decoder.
    pub(super) fn failed(&mut self, why: String) {
        self.failed = Some((self.family, why));
    }

    /// The player to use.
    pub(super) fn kind(&self) -> PlayerKind {
        let floats = self.picture_in_picture && !self.uses_video;
        if self.failed.is_some() || self.audio || floats { PlayerKind::Mse } else { self.preferred }
    }

    /// The reason, as part of a sentence.
    pub(super) fn why(&self) -> String {
        match &self.failed {
            _ if self.kind() == PlayerKind::WebCodecs => "nothing requires MSE any more".to_owned(),
            Some((_, why)) => format!("WebCodecs failed: {why}"),
            None if self.audio => "sound is on, which WebCodecs does not play yet".to_owned(),
            None if self.picture_in_picture => "this browser's WebCodecs has no picture in picture".to_owned(),
            None => "you chose it".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Family::{H264, H265};

    #[test]
    fn audio_and_picture_in_picture_use_mse_while_they_last() {
        let mut selector = PlayerSelector::new(PlayerKind::WebCodecs, false);
        assert_eq!(selector.kind(), PlayerKind::WebCodecs);
        for (audio, picture_in_picture) in [(true, false), (false, true), (true, true)] {
            selector.set_audio(audio);
            selector.set_picture_in_picture(picture_in_picture);
            assert_eq!((selector.kind(), selector.why().contains("sound")), (PlayerKind::Mse, audio));
        }
        selector.set_audio(false);
        selector.set_picture_in_picture(false);
        assert_eq!(selector.kind(), PlayerKind::WebCodecs);
    }

    #[test]
    fn picture_in_picture_keeps_a_player_that_presents_in_the_video() {
        let mut selector = PlayerSelector::new(PlayerKind::WebCodecs, true);
        selector.set_picture_in_picture(true);
        assert_eq!(selector.kind(), PlayerKind::WebCodecs);
        selector.set_audio(true);
        assert_eq!(selector.kind(), PlayerKind::Mse);
    }

    #[test]
    fn failure_lasts_for_its_codec_family() {
        let mut selector = PlayerSelector::new(PlayerKind::WebCodecs, false);
        selector.begin_epoch(Some(H265));
        selector.failed("no decoder".to_owned());
        assert_eq!((selector.kind(), selector.why().as_str()), (PlayerKind::Mse, "WebCodecs failed: no decoder"));
        selector.begin_epoch(Some(H265));
        assert_eq!(selector.kind(), PlayerKind::Mse);
        selector.begin_epoch(Some(H264));
        assert_eq!(selector.kind(), PlayerKind::WebCodecs);
    }

    #[test]
    fn preferred_mse_is_kept() {
        let mut selector = PlayerSelector::new(PlayerKind::Mse, false);
        selector.begin_epoch(Some(H264));
        selector.set_audio(false);
        assert_eq!(selector.kind(), PlayerKind::Mse);
    }
}
