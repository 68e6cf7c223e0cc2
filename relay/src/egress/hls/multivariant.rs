//! Writes the multivariant playlist (RFC 8216bis, section 4.4.6). Input: the camera's format, its audio and the variants' known
//! properties.
//!
//! A variant for HLS viewers alone should not run before one requests it. Until it has run, its codec string is the one that
//! its encoder will most likely produce: players ignore a variant with a codec that they do not play.

use sightline_protocol::codec::{AudioCodec, VideoCodec};
use sightline_protocol::message::Size;
use sightline_protocol::stream::Variant;

use super::file_name::{FileName, RenditionName};
use super::playlist::VERSION;
use crate::ingest::ffmpeg::low::LowVariant;

/// The GROUP-ID of the audio.
const GROUP: &str = "audio";
/// Ratio of a variant's peak to its average bit rate, in tenths: BANDWIDTH is the peak.
const PEAK_TENTHS: u64 = 15;
/// Minimum ratio between the listed bandwidths of adjacent variants, in tenths.
const STEP_TENTHS: u64 = 11;
/// Bits per pixel of a camera or of the relay's encoder, if none has been measured.
const BITS_A_PIXEL: f64 = 0.1;
/// Bits per second of audio, if none has been measured: that of the relay's encoder, and of most cameras.
const AUDIO_BITS: u64 = 64_000;
/// The frame rate for that estimate.
const USUAL_RATE: f64 = 25.0;

/// The camera's format.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CameraInfo {
    pub(super) codec: VideoCodec,
    pub(super) b_frames: bool,
    pub(super) size: Option<Size>,
}

/// The group of audio renditions of all variants, with one rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AudioGroup {
    pub(super) codec: AudioCodec,
    /// Measured bits per second.
    pub(super) bit_rate: Option<u64>,
}

/// The measured properties of a variant that has run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct MeasuredVariant {
    pub(super) codec: Option<String>,
    pub(super) size: Option<Size>,
    pub(super) bit_rate: Option<u64>,
    pub(super) frame_rate: Option<f64>,
}

/// The variants to offer, the best first: `copy` if players can show it, a transcode if some players cannot, and `low`.
pub(super) fn offered(camera: &CameraInfo, has_low: bool) -> Vec<Variant> {
    // Baseline, Main and High play everywhere.
    let plays_everywhere = matches!(camera.codec, VideoCodec::Avc { profile: 66 | 77 | 100, .. });
    let copy = (!camera.b_frames).then_some(Variant::Copy);
    let h264 = (camera.b_frames || !plays_everywhere).then_some(Variant::H264);
    let low = has_low.then_some(Variant::Low);
    copy.into_iter().chain(h264).chain(low).collect()
}

/// The playlist of a stream with this camera. `known` returns the properties of a variant.
///
/// Players rank variants by bandwidth (hls.js by AVERAGE-BANDWIDTH, VLC and GStreamer by BANDWIDTH). A camera with a static
/// scene may send less than its transcodes, so each variant is listed with more than the next lower one.
pub(super) fn multivariant(
    camera: &CameraInfo,
    low: Option<LowVariant>,
    audio: Option<AudioGroup>,
    known: impl Fn(Variant) -> MeasuredVariant,
) -> String {
    let mut entries = Vec::new();
    let mut least = 0;
    for variant in offered(camera, low.is_some()).into_iter().rev() {
        let (average, line) = stream_inf((camera, low, audio), variant, &known(variant), least);
        entries.push(format!("{line}\n{variant}/{}\n", FileName::Playlist));
        least = average * STEP_TENTHS / 10;
    }
    entries.extend(audio.map(|_| media()));
    entries.push(header());
    entries.reverse();
    entries.concat()
}

/// The only audio rendition: players take it unless the viewer chooses none.
fn media() -> String {
    format!(
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{GROUP}\",NAME=\"Sound\",DEFAULT=YES,AUTOSELECT=YES,URI=\"{}/{}\"\n",
        RenditionName::Audio,
        FileName::Playlist
    )
}

fn header() -> String {
    format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n")
}

/// The playlist of a viewer that chose the quality `low`: that variant alone. `camera` is the main stream, or the sub stream
/// that is `low`.
pub(super) fn low_only(
    camera: &CameraInfo,
    low: Option<LowVariant>,
    audio: Option<AudioGroup>,
    known: impl Fn(Variant) -> MeasuredVariant,
) -> String {
    let (_, line) = stream_inf((camera, low, audio), Variant::Low, &known(Variant::Low), 0);
    let media = audio.map(|_| media()).unwrap_or_default();
    format!("{}{media}{line}\n{}/{}\n", header(), Variant::Low, FileName::Playlist)
}

/// The listed average bandwidth of a variant, at least `least`, and its tag.
fn stream_inf(
    (camera, low, audio): (&CameraInfo, Option<LowVariant>, Option<AudioGroup>),
    variant: Variant,
    known: &MeasuredVariant,
    least: u64,
) -> (u64, String) {
    let expected = match (variant, low) {
        (Variant::Low, Some(low)) => Some(low.size),
        _ => camera.size,
    };
    let size = known.size.or(expected);
    let codec = known.codec.clone().unwrap_or_else(|| match variant {
        Variant::Copy => camera.codec.to_string(),
        Variant::H264 | Variant::Low => encoded(size).to_string(),
    });
    let usual = || match (variant, low) {
        (Variant::Low, Some(low)) => u64::from(low.kbps) * 1000,
        _ => size.map_or(2_000_000, |size| (pixels(size) * USUAL_RATE * BITS_A_PIXEL) as u64),
    };
    let average = known.bit_rate.unwrap_or_else(usual).max(least);
    // Both include the audio (section 4.4.6.2).
    let with_audio = average + audio.map_or(0, |audio| audio.bit_rate.unwrap_or(AUDIO_BITS));
    let mut line = format!(
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={with_audio},CODECS=\"{codec}",
        with_audio * PEAK_TENTHS / 10
    );
    match audio {
        Some(AudioGroup { codec, .. }) => line += &format!(",{codec}\",AUDIO=\"{GROUP}\""),
        None => line.push('"'),
    }
    if let Some(Size { width, height }) = size {
        line += &format!(",RESOLUTION={width}x{height}");
    }
    if let Some(rate) = known.frame_rate {
        line += &format!(",FRAME-RATE={rate:.3}");
    }
    // Required without captions in the video (section 4.4.6.2); otherwise players offer some.
    (average, line + ",CLOSED-CAPTIONS=NONE")
}

fn pixels(Size { width, height }: Size) -> f64 {
    f64::from(width) * f64::from(height)
}

/// The encoder's codec for video of that size: the High profile, at a level that suffices for 30 frames per second (Rec. ITU-T
/// H.264, table A-1).
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
    const LOW: LowVariant = LowVariant { size: Size { width: 640, height: 360 }, kbps: 360 };

    fn camera(codec: &str, b_frames: bool) -> CameraInfo {
        CameraInfo { codec: codec.parse().unwrap(), b_frames, size: Some(HD) }
    }

    #[test]
    fn only_playable_variants_are_offered() {
        use Variant::{Copy, H264, Low};
        assert_eq!(offered(&camera("hvc1.1.6.L93.90", false), true), [Copy, H264, Low]);
        assert_eq!(offered(&camera("hvc1.1.6.L93.90", true), true), [H264, Low], "B-frames");
        assert_eq!(offered(&camera("avc1.64001F", false), true), [Copy, Low], "a transcode would add nothing");
        assert_eq!(offered(&camera("avc1.64001F", false), false), [Copy]);
        assert_eq!(offered(&camera("avc1.64001F", true), false), [H264]);
        assert_eq!(offered(&camera("avc1.6E001F", false), false), [Copy, H264], "High 10 is not for everybody");
    }

    #[test]
    fn variant_that_has_not_run_is_estimated() {
        let text = multivariant(&camera("hvc1.1.6.L120.90", false), Some(LOW), None, |_| MeasuredVariant::default());
        assert_eq!(text, include_str!("golden/multivariant-estimated.m3u8"));
    }

    #[test]
    fn audio_is_a_group_of_every_variant() {
        let audio = AudioGroup { codec: AudioCodec::Aac { object_type: 2 }, bit_rate: None };
        let camera = camera("hvc1.1.6.L120.90", false);
        let text = multivariant(&camera, Some(LOW), Some(audio), |_| MeasuredVariant::default());
        assert_eq!(text, include_str!("golden/multivariant-audio.m3u8"));
        let measured = AudioGroup { codec: AudioCodec::Opus, bit_rate: Some(32_000) };
        let text = multivariant(&camera, None, Some(measured), |_| MeasuredVariant::default());
        assert!(text.contains(",opus\",AUDIO=\"audio\""), "{text}");
    }

    #[test]
    fn better_variant_has_more_bandwidth_for_a_static_scene() {
        let quiet = |variant| MeasuredVariant {
            bit_rate: (variant == Variant::Copy).then_some(70_000),
            ..MeasuredVariant::default()
        };
        for codec in ["avc1.64001F", "hvc1.1.6.L93.90"] {
            let text = multivariant(&camera(codec, false), Some(LOW), None, quiet);
            for name in ["BANDWIDTH", "AVERAGE-BANDWIDTH"] {
                let values =
                    text.lines().filter_map(|line| line.split([',', ':']).find_map(|part| part.strip_prefix(name)));
                let values: Vec<u64> = values.map(|value| value[1..].parse().unwrap()).collect();
                assert!(values.len() >= 2 && values.windows(2).all(|pair| pair[0] > pair[1]), "{name} in {text}");
            }
        }
    }

    #[test]
    fn quality_low_lists_that_variant_alone() {
        let text = low_only(&camera("avc1.64001F", false), Some(LOW), None, |_| MeasuredVariant::default());
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(lines[1..], ["low/media.m3u8"]);
        assert!(lines[0].contains("RESOLUTION=640x360") && lines[0].contains("CODECS=\"avc1.64001E\""), "{text}");
        let measured = |_| MeasuredVariant { codec: Some("hvc1.1.6.L63.90".to_owned()), ..MeasuredVariant::default() };
        let text = low_only(&camera("hvc1.1.6.L63.90", false), None, None, measured);
        assert!(text.contains("CODECS=\"hvc1.1.6.L63.90\"") && text.ends_with("\nlow/media.m3u8\n"), "{text}");
    }

    #[test]
    fn variant_that_has_run_has_measured_properties() {
        let known = |variant| match variant {
            Variant::Low => MeasuredVariant::default(),
            _ => MeasuredVariant {
                codec: Some("avc1.640028".to_owned()),
                size: Some(HD),
                bit_rate: Some(3_000_001),
                frame_rate: Some(24.98),
            },
        };
        let text = multivariant(&camera("avc1.4D0028", true), Some(LOW), None, known);
        assert_eq!(text, include_str!("golden/multivariant-b-frames.m3u8"));
    }
}
