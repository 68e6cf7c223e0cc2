//! Selects a viewer's variant from its choice, its playable codecs and the camera's format. Pure.

use sightline_media::fmp4::init::{InitSegment, Reordering};
use sightline_protocol::codec::{Family, VideoCodec};
use sightline_protocol::message::{Size, VariantReason};
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

/// How far a sub stream may be enlarged: to be chosen, and to be kept. The difference keeps a tile whose size varies a little
/// from switching back and forth.
const ENLARGED: (f64, f64) = (1.1, 1.4);
/// The size of a sub stream that has not run yet, as most cameras send it.
const USUAL_SUB: Size = Size { width: 640, height: 360 };

/// Whether a sub stream of size `sub` fills a tile of size `shown`, both in pixels. `sent` says that the viewer is sent it now.
pub(super) fn fills(sub: Option<Size>, shown: Size, sent: bool) -> bool {
    let sub = sub.unwrap_or(USUAL_SUB);
    let ratio = |shown: u16, sub: u16| f64::from(shown) / f64::from(sub.max(1));
    // The video is shown whole: the smaller ratio is the scale.
    let scale = ratio(shown.width, sub.width).min(ratio(shown.height, sub.height));
    scale <= if sent { ENLARGED.1 } else { ENLARGED.0 }
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

    /// Whether the viewer leaves the choice to the relay.
    pub(super) fn is_automatic(&self) -> bool {
        matches!(self, Self::Choice(VariantChoice::Auto, _))
    }

    /// Whether a viewer of a slow link may be sent a transcode to `low` instead.
    pub(super) fn allows_low(&self) -> bool {
        let Self::Choice(VariantChoice::Auto, playable) = self else { return false };
        playable.iter().any(|codec| codec.family() == Family::H264)
    }

    /// Whether the viewer plays a sub stream of this format as it is.
    pub(super) fn plays(&self, sub: &CameraFormat) -> bool {
        let Self::Choice(_, playable) = self else { return false };
        !sub.b_frames && playable.iter().any(|probe| probe.covers(&sub.codec))
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
    fn sub_stream_is_chosen_while_it_fills_the_tile() {
        let size = |width, height| Size { width, height };
        let sub = Some(size(640, 360));
        assert!(fills(sub, size(640, 360), false));
        assert!(fills(sub, size(700, 396), false), "a tenth larger");
        assert!(!fills(sub, size(800, 450), false));
        assert!(fills(sub, size(800, 450), true), "what is sent is kept for longer");
        assert!(!fills(sub, size(960, 540), true));
        assert!(fills(sub, size(640, 1200), false), "the width is the limit of a tall tile");
        assert!(!fills(Some(size(352, 240)), size(640, 360), false));
        assert!(fills(None, size(480, 270), false) && !fills(None, size(1280, 720), false), "the usual size");
        assert!(!fills(Some(size(0, 0)), size(640, 360), true), "a camera may say anything");
    }

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
