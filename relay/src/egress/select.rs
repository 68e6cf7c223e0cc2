//! Selects a viewer's variant from its choice, its playable codecs and the camera's format. Pure.

use sightline_media::fmp4::init::{InitSegment, Reordering};
use sightline_protocol::codec::{Family, VideoCodec};
use sightline_protocol::message::{Size, VariantReason};
use sightline_protocol::stream::{Quality, Variant, VariantChoice};

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

/// How far a sub stream may be enlarged: to be chosen, and to be kept. The difference keeps a tile from switching back and forth
/// when its size varies a little.
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

/// A viewer's choice of codec and quality. One of them decides whether it is sent `low`: a quality of `high` or `low` prevails,
/// and without one the codec `low` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Choice {
    /// Never [`VariantChoice::Low`] with the quality `high`, always with `low`.
    codec: VariantChoice,
    quality: Quality,
}

impl Choice {
    pub(super) fn new(codec: VariantChoice, quality: Quality) -> Self {
        let codec = match (quality, codec) {
            (Quality::Low, _) => VariantChoice::Low,
            (Quality::High, VariantChoice::Low) => VariantChoice::Auto,
            (Quality::High | Quality::Auto, codec) => codec,
        };
        Self { codec, quality }
    }

    /// The choice of a viewer that is sent `copy` only if it plays that.
    pub(super) fn without_copy(self) -> Self {
        let codec = if self.codec == VariantChoice::Copy { VariantChoice::Auto } else { self.codec };
        Self { codec, ..self }
    }

    /// Whether the viewer is sent `low`, where the stream has it.
    pub(super) fn is_low(self) -> bool {
        self.codec == VariantChoice::Low
    }

    /// Whether the relay may follow the tile's size and the link.
    fn is_automatic(self) -> bool {
        self == Self::default()
    }
}

/// What a viewer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The variant of this choice, in a codec that the viewer plays.
    Choice(Choice, Vec<VideoCodec>),
    /// In this quality, the camera's video unless it is of another codec family than this one.
    Family(Option<Family>, Quality),
}

impl Wanted {
    /// The variant for the viewer, and the reason.
    pub(super) fn select(&self, camera: &CameraFormat) -> (Variant, VariantReason) {
        match self {
            Self::Choice(choice, playable) => select(choice.codec, playable, camera),
            Self::Family(_, Quality::Low) => (Variant::Low, VariantReason::Requested),
            Self::Family(Some(Family::H264), _) if camera.codec.family() != Family::H264 => {
                (Variant::H264, VariantReason::Requested)
            }
            Self::Family(..) => (Variant::Copy, VariantReason::Untouched),
        }
    }

    /// Whether the viewer leaves the choice to the relay.
    pub(super) fn is_automatic(&self) -> bool {
        matches!(self, Self::Choice(choice, _) if choice.is_automatic())
    }

    /// Whether the viewer chose `low`, by its quality or its codec.
    pub(super) fn is_low(&self) -> bool {
        match self {
            Self::Choice(choice, _) => choice.is_low(),
            Self::Family(_, quality) => *quality == Quality::Low,
        }
    }

    /// Whether the viewer chose the quality `low`.
    pub(super) fn is_low_quality(&self) -> bool {
        let (Self::Choice(Choice { quality, .. }, _) | Self::Family(_, quality)) = self;
        *quality == Quality::Low
    }

    /// The same viewer, with the choice left to the relay.
    pub(super) fn automatic(&self) -> Self {
        match self {
            Self::Choice(_, playable) => Self::Choice(Choice::default(), playable.clone()),
            Self::Family(family, _) => Self::Family(*family, Quality::Auto),
        }
    }

    /// Whether a viewer of a slow link may be sent a transcode to `low` instead.
    pub(super) fn allows_low(&self) -> bool {
        let Self::Choice(choice, playable) = self else { return false };
        choice.is_automatic() && playable.iter().any(|codec| codec.family() == Family::H264)
    }

    /// Whether the viewer plays a sub stream of this format as it is.
    pub(super) fn plays(&self, sub: &CameraFormat) -> bool {
        match self {
            Self::Choice(_, playable) => !sub.b_frames && playable.iter().any(|probe| probe.covers(&sub.codec)),
            Self::Family(family, _) => family.is_none_or(|family| family == sub.codec.family()),
        }
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
    fn quality_prevails_over_the_codec() {
        let hevc: VideoCodec = "hvc1.1.6.L93.90".parse().unwrap();
        let camera = CameraFormat { codec: hevc.clone(), b_frames: false };
        let case = |codec, quality| {
            let wanted =
                Wanted::Choice(Choice::new(codec, quality), vec![hevc.clone(), "avc1.640034".parse().unwrap()]);
            (wanted.select(&camera).0, wanted.allows_low())
        };
        assert_eq!(case(Auto, Quality::Auto), (Variant::Copy, true));
        assert_eq!(case(Auto, Quality::High), (Variant::Copy, false), "never `low`");
        assert_eq!(case(H264, Quality::High), (Variant::H264, false));
        assert_eq!(case(Low, Quality::High), (Variant::Copy, false));
        for codec in [Auto, Copy, H264, Low] {
            assert_eq!(case(codec, Quality::Low), (Variant::Low, false), "{codec:?}");
        }
        assert_eq!(case(Low, Quality::Auto), (Variant::Low, false), "the codec alone");
        let plain = |quality| Wanted::Family(Some(Family::H264), quality).select(&camera).0;
        assert_eq!([plain(Quality::High), plain(Quality::Low)], [Variant::H264, Variant::Low]);
    }

    #[test]
    fn choice_of_the_relay_replaces_a_missing_low() {
        let low = Wanted::Choice(Choice::new(Copy, Quality::Low), Vec::new());
        assert!(low.is_low() && low.is_low_quality() && !low.is_automatic());
        assert!(low.automatic().is_automatic() && !low.automatic().is_low());
        let by_codec = Wanted::Choice(Choice::new(Low, Quality::Auto), Vec::new());
        assert!(by_codec.is_low() && !by_codec.is_low_quality());
        let plain = Wanted::Family(None, Quality::Low);
        assert!(plain.is_low() && plain.is_low_quality());
        assert_eq!(plain.automatic(), Wanted::Family(None, Quality::Auto));
    }

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
