//! The multivariant playlist (RFC 8216bis, section 4.4.6): what the camera sends in, its text out.
//!
//! A variant that is made for HLS viewers alone should not run before one asks for it. Until it has run, its codec string is
//! the one its encoder will most likely write: players leave out what they cannot play by it.

use std::fmt::Write as _;

use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::Size;
use sightline_protocol::stream::Variant;

use super::name::Name;
use super::playlist::VERSION;

/// How much more than on average a segment may take, in tenths: BANDWIDTH is what the largest takes.
const PEAK_TENTHS: u64 = 15;
/// Bits of a pixel that a camera or our encoder takes, where none has been measured.
const BITS_A_PIXEL: f64 = 0.1;
/// Frames a second that go with that.
const USUAL_RATE: f64 = 25.0;

/// What the camera sends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Camera {
    pub(super) codec: VideoCodec,
    pub(super) b_frames: bool,
    pub(super) size: Option<Size>,
}

/// What is known of a variant that has run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Known {
    pub(super) codec: Option<String>,
    pub(super) size: Option<Size>,
    pub(super) bit_rate: Option<u64>,
    pub(super) frame_rate: Option<f64>,
}

/// The light variant, where there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Light {
    pub(super) size: Size,
    pub(super) kbps: u32,
}

/// The variants to offer, the best first: the camera's own where players can show it as other viewers do, a transcode
/// where not all can, the light one.
pub(super) fn offered(camera: &Camera, has_light: bool) -> Vec<Variant> {
    // Baseline, Main and High: every player's.
    let plays_everywhere = matches!(camera.codec, VideoCodec::Avc { profile: 66 | 77 | 100, .. });
    let copy = (!camera.b_frames).then_some(Variant::Copy);
    let h264 = (camera.b_frames || !plays_everywhere).then_some(Variant::H264);
    let low = has_light.then_some(Variant::Low);
    copy.into_iter().chain(h264).chain(low).collect()
}

/// The playlist of a stream with this camera; `known` tells what is known of each variant.
pub(super) fn multivariant(camera: &Camera, light: Option<Light>, known: impl Fn(Variant) -> Known) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for variant in offered(camera, light.is_some()) {
        let line = stream_inf(camera, light, variant, &known(variant));
        writeln!(text, "{line}\n{variant}/{}", Name::Playlist).expect("a String takes everything");
    }
    text
}

fn stream_inf(camera: &Camera, light: Option<Light>, variant: Variant, known: &Known) -> String {
    let expected = match (variant, light) {
        (Variant::Low, Some(light)) => Some(light.size),
        _ => camera.size,
    };
    let size = known.size.or(expected);
    let codec = known.codec.clone().unwrap_or_else(|| match variant {
        Variant::Copy => camera.codec.to_string(),
        Variant::H264 | Variant::Low => encoded(size).to_string(),
    });
    let usual = || match (variant, light) {
        (Variant::Low, Some(light)) => u64::from(light.kbps) * 1000,
        _ => size.map_or(2_000_000, |size| (pixels(size) * USUAL_RATE * BITS_A_PIXEL) as u64),
    };
    let average = known.bit_rate.unwrap_or_else(usual);
    let mut line = format!(
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={average},CODECS=\"{codec}\"",
        average * PEAK_TENTHS / 10
    );
    if let Some(Size { width, height }) = size {
        line += &format!(",RESOLUTION={width}x{height}");
    }
    if let Some(rate) = known.frame_rate {
        line += &format!(",FRAME-RATE={rate:.3}");
    }
    // Required where there are no captions in the picture (section 4.4.6.2), or players offer some.
    line + ",CLOSED-CAPTIONS=NONE"
}

fn pixels(Size { width, height }: Size) -> f64 {
    f64::from(width) * f64::from(height)
}

/// The codec that the encoder makes of a picture of that size: the High profile, at the level that has room for it at 30
/// frames a second (Rec. ITU-T H.264, table A-1).
fn encoded(size: Option<Size>) -> VideoCodec {
    let macroblocks = |size: Size| u32::from(size.width.div_ceil(16)) * u32::from(size.height.div_ceil(16));
    let level = match size.map_or(u32::MAX, macroblocks) {
        0..=1350 => 30,
        1351..=3600 => 31,
        3601..=8192 => 40,
        _ => 51,
    };
    VideoCodec::Avc { profile: 100, constraints: 0, level }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: Size = Size { width: 1920, height: 1080 };
    const LIGHT: Light = Light { size: Size { width: 640, height: 360 }, kbps: 360 };

    fn camera(codec: &str, b_frames: bool) -> Camera {
        Camera { codec: codec.parse().unwrap(), b_frames, size: Some(HD) }
    }

    #[test]
    fn only_what_can_be_played_is_offered() {
        use Variant::{Copy, H264, Low};
        assert_eq!(offered(&camera("hvc1.1.6.L93.90", false), true), [Copy, H264, Low]);
        assert_eq!(offered(&camera("hvc1.1.6.L93.90", true), true), [H264, Low], "B-frames");
        assert_eq!(offered(&camera("avc1.64001F", false), true), [Copy, Low], "a transcode would add nothing");
        assert_eq!(offered(&camera("avc1.64001F", false), false), [Copy]);
        assert_eq!(offered(&camera("avc1.64001F", true), false), [H264]);
        assert_eq!(offered(&camera("avc1.6E001F", false), false), [Copy, H264], "High 10 is not for everybody");
    }

    #[test]
    fn what_has_not_run_is_estimated() {
        let text = multivariant(&camera("hvc1.1.6.L120.90", false), Some(LIGHT), |_| Known::default());
        assert_eq!(text, include_str!("golden/multivariant-estimated.m3u8"));
    }

    #[test]
    fn what_has_run_is_told_as_it_is() {
        let known = |variant| match variant {
            Variant::Low => Known::default(),
            _ => Known {
                codec: Some("avc1.640028".to_owned()),
                size: Some(HD),
                bit_rate: Some(3_000_001),
                frame_rate: Some(24.98),
            },
        };
        let text = multivariant(&camera("avc1.4D0028", true), Some(LIGHT), known);
        assert_eq!(text, include_str!("golden/multivariant-b-frames.m3u8"));
    }
}
