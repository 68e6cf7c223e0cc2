//! Chooses the player of a session over a WebSocket: WebCodecs while it supports everything that the session uses, and otherwise MSE. Pure.

use sightline_protocol::codec::Family;

use crate::player::either::Kind;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct PlayerChoice {
    preferred: Kind,
    /// The family of the stream that WebCodecs failed to play, if known, and the reason.
    failed: Option<(Option<Family>, String)>,
    /// The family of the current epoch, if known.
    family: Option<Family>,
    /// Audio is on.
    sound: bool,
    /// The video is in picture-in-picture, or is to be.
    floating: bool,
}

impl PlayerChoice {
    /// Creates the choice of the player that the protocol asks for.
    pub(super) fn new(preferred: Kind) -> Self {
        Self { preferred, failed: None, family: None, sound: false, floating: false }
    }

    /// Handles an epoch of this family. A failure with another family does not count for it.
    pub(super) fn begin_epoch(&mut self, family: Option<Family>) {
        self.family = family;
        self.failed.take_if(|(failed, _)| *failed != family);
    }

    /// Sets whether audio is on, and whether the video is in picture-in-picture.
    pub(super) fn set(&mut self, sound: bool, floating: bool) {
        (self.sound, self.floating) = (sound, floating);
    }

    /// Handles a failure of WebCodecs that would recur in another decoder.
    pub(super) fn failed(&mut self, why: String) {
        self.failed = Some((self.family, why));
    }

    /// The player to use.
    pub(super) fn kind(&self) -> Kind {
        if self.failed.is_some() || self.sound || self.floating { Kind::Mse } else { self.preferred }
    }

    /// The reason, as part of a sentence.
    pub(super) fn why(&self) -> String {
        match &self.failed {
            _ if self.kind() == Kind::WebCodecs => "it can play all that is asked for again".to_owned(),
            Some((_, why)) => format!("WebCodecs failed: {why}"),
            None if self.sound => "sound is on, which WebCodecs does not play yet".to_owned(),
            None if self.floating => "WebCodecs has no picture in picture".to_owned(),
            None => "you chose it".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Family::{H264, H265};

    #[test]
    fn sound_and_picture_in_picture_use_mse_while_they_last() {
        let mut choice = PlayerChoice::new(Kind::WebCodecs);
        assert_eq!(choice.kind(), Kind::WebCodecs);
        for (sound, floating) in [(true, false), (false, true), (true, true)] {
            choice.set(sound, floating);
            assert_eq!((choice.kind(), choice.why().contains("sound")), (Kind::Mse, sound));
        }
        choice.set(false, false);
        assert_eq!(choice.kind(), Kind::WebCodecs);
    }

    #[test]
    fn failure_lasts_for_its_codec_family() {
        let mut choice = PlayerChoice::new(Kind::WebCodecs);
        choice.begin_epoch(Some(H265));
        choice.failed("no decoder".to_owned());
        assert_eq!((choice.kind(), choice.why().as_str()), (Kind::Mse, "WebCodecs failed: no decoder"));
        choice.begin_epoch(Some(H265));
        assert_eq!(choice.kind(), Kind::Mse);
        choice.begin_epoch(Some(H264));
        assert_eq!(choice.kind(), Kind::WebCodecs);
    }

    #[test]
    fn mse_stays_mse() {
        let mut choice = PlayerChoice::new(Kind::Mse);
        choice.begin_epoch(Some(H264));
        choice.set(false, false);
        assert_eq!(choice.kind(), Kind::Mse);
    }
}
