//! Selects a viewer's variant from its choice, its playable codecs and the camera's format. Pure.

use sightline_media::fmp4::init::{InitSegment, Reordering};
use sightline_protocol::codec::{Family, VideoCodec};
use sightline_protocol::message::VariantReason;
use sightline_protocol::stream::{Variant, VariantChoice};

/// The format of the camera's video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CameraFormat {
    pub(super) codec: VideoCodec,
    pub(super) b_frames: bool,
}

impl CameraFormat {
    /// The format of a camera that sends `init`. `None` for audio.
    pub(super) fn of(init: &InitSegment) -> Option<Self> {
        let codec = init.video_codec()?.clone();
        Some(Self { codec, b_frames: init.reordering == Reordering::Present })
    }
}

/// What a viewer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The variant of this choice, in a codec that the viewer plays.
    Choice(VariantChoice, Vec<VideoCodec>),
    /// The camera's video unless it is of another codec family than this one.
    Family(Option<Family>),
}

impl Wanted {
    /// The variant for the viewer, and the reason.
    pub(super) fn select(&self, camera: &CameraFormat) -> (Variant, VariantReason) {
        match self {
            Self::Choice(choice, playable) => select(*choice, playable, camera),
            Self::Family(Some(Family::H264)) if camera.codec.family() != Family::H264 => {
                (Variant::H264, VariantReason::Requested)
            }
            Self::Family(_) => (Variant::Copy, VariantReason::Untouched),
        }
    }

    /// Whether a viewer of a slow link may be sent `low` instead.
    pub(super) fn allows_low(&self) -> bool {
        let Self::Choice(VariantChoice::Auto, playable) = self else { return false };
        playable.iter().any(|codec| codec.family() == Family::H264)
    }
}

/// The variant for a viewer that plays `playable`, and the reason.
fn select(choice: VariantChoice, playable: &[VideoCodec], camera: &CameraFormat) -> (Variant, VariantReason) {
    let plays = playable.iter().any(|probe| probe.covers(&camera.codec));
    match choice {
        VariantChoice::Copy => (Variant::Copy, VariantReason::Requested),
        VariantChoice::Low => (Variant::Low, VariantReason::Requested),
        // A camera that sends playable H.264 needs no encoder: `h264` selects its own video.
        VariantChoice::H264 if !plays || camera.b_frames || camera.codec.family() != Family::H264 => {
            (Variant::H264, VariantReason::Requested)
        }
        VariantChoice::Auto if !plays => (Variant::H264, VariantReason::NotPlayable),
        VariantChoice::Auto if camera.b_frames => (Variant::H264, VariantReason::BFrames),
        VariantChoice::Auto | VariantChoice::H264 => (Variant::Copy, VariantReason::Untouched),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VariantChoice::{Auto, Copy, H264, Low};
    use VariantReason::{BFrames, NotPlayable, Requested, Untouched};

    #[test]
    fn copy_is_selected_for_viewers_that_play_it() {
        let (avc, hevc) = ("avc1.640034", "hvc1.1.6.L186.B0");
        let case = |choice, playable: &[&str], camera: &str, b_frames| {
            let playable: Vec<VideoCodec> = playable.iter().map(|probe| probe.parse().unwrap()).collect();
            select(choice, &playable, &CameraFormat { codec: camera.parse().unwrap(), b_frames })
        };
        let (h265, h264) = ("hvc1.1.6.L93.90", "avc1.64001F");
        assert_eq!(case(Auto, &[avc, hevc], h265, false), (Variant::Copy, Untouched));
        assert_eq!(case(Auto, &[avc], h265, false), (Variant::H264, NotPlayable));
        assert_eq!(case(Auto, &[avc, hevc], h265, true), (Variant::H264, BFrames));
        assert_eq!(case(Auto, &[avc], h264, false), (Variant::Copy, Untouched));
        assert_eq!(case(Auto, &[], h264, false), (Variant::H264, NotPlayable));
        assert_eq!(case(Copy, &[avc], h265, true), (Variant::Copy, Requested));
        assert_eq!(case(H264, &[avc, hevc], h265, false), (Variant::H264, Requested));
        assert_eq!(case(H264, &[avc], h264, false), (Variant::Copy, Untouched));
        assert_eq!(case(H264, &[avc], h264, true), (Variant::H264, Requested));
        assert_eq!(case(Low, &[avc, hevc], h265, false), (Variant::Low, Requested));
        assert_eq!(case(H264, &[avc], "avc1.6E001F", false), (Variant::H264, Requested), "High 10 is not playable");
    }
}
