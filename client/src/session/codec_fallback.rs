//! Decides which codecs and which variant to request after the browser failed to decode one. Pure.
//!
//! A browser may report a codec as supported and fail to decode it. The camera's codec then leaves the list of playable codecs,
//! so that the relay sends a transcode.

use sightline_protocol::codec::Family;
use sightline_protocol::stream::{Variant, VariantChoice};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct CodecFallback {
    choice: VariantChoice,
    /// The variant and the codec family of the current epoch.
    playing: Option<(Variant, Option<Family>)>,
    /// The family of the camera's codec that the browser failed to decode.
    failed: Option<Family>,
}

impl CodecFallback {
    /// `choice` is the requested variant.
    pub(super) fn new(choice: VariantChoice) -> Self {
        Self { choice, playing: None, failed: None }
    }

    /// The variant to request.
    pub(super) fn choice(&self) -> VariantChoice {
        self.choice
    }

    /// The codec family to leave out of the request.
    pub(super) fn failed(&self) -> Option<Family> {
        self.failed
    }

    /// Handles the start of an epoch of this variant and family.
    pub(super) fn begin_epoch(&mut self, variant: Variant, family: Option<Family>) {
        self.playing = Some((variant, family));
    }

    /// Handles the failure to decode the current epoch. Returns whether another request may help.
    pub(super) fn fall_back(&mut self) -> bool {
        let Some((Variant::Copy, family @ Some(_))) = self.playing else { return false };
        if self.failed == family {
            return false;
        }
        self.failed = family;
        if self.choice == VariantChoice::Copy {
            self.choice = VariantChoice::Auto;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Family::{H264, H265};

    fn playing(choice: VariantChoice, variant: Variant, family: Option<Family>) -> CodecFallback {
        let mut fallback = CodecFallback::new(choice);
        fallback.begin_epoch(variant, family);
        fallback
    }

    #[test]
    fn failed_copy_excludes_its_family_once() {
        let mut fallback = playing(VariantChoice::Auto, Variant::Copy, Some(H265));
        assert!(fallback.fall_back());
        assert_eq!((fallback.failed(), fallback.choice()), (Some(H265), VariantChoice::Auto));
        assert!(!fallback.fall_back(), "the relay sent the refused family again");
    }

    #[test]
    fn requested_copy_becomes_auto() {
        let mut fallback = playing(VariantChoice::Copy, Variant::Copy, Some(H265));
        assert!(fallback.fall_back());
        assert_eq!(fallback.choice(), VariantChoice::Auto);
    }

    #[test]
    fn failed_transcode_or_unknown_codec_has_no_fallback() {
        for (variant, family) in [(Variant::H264, Some(H264)), (Variant::Low, Some(H264)), (Variant::Copy, None)] {
            assert!(!playing(VariantChoice::Auto, variant, family).fall_back());
        }
        assert!(!CodecFallback::new(VariantChoice::Auto).fall_back());
    }
}
