//! RFC 6381 codec strings as browsers use them, and whether one video codec covers another.
//!
//! A browser reports what it plays by probes such as `hvc1.1.6.L186.B0`. A camera's exact string is never among them. The
//! browser plays its stream if a probe of the same profile has at least the camera's level.

use std::fmt;
use std::str::FromStr;

pub use audio::AudioCodec;

mod audio;

/// The video codec families that Sightline forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// ITU-T H.264, ISO/IEC 14496-10.
    H264,
    /// ITU-T H.265, ISO/IEC 23008-2.
    H265,
}

impl Family {
    /// The name in the plain dialect's `codec:` line.
    pub fn plain_name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "hevc",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
        })
    }
}

/// A parsed codec string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoCodec {
    /// `avc1.PPCCLL` (ISO/IEC 14496-15, Annex E; RFC 6381, section 3.3).
    Avc {
        /// `profile_idc`: 66 Baseline, 77 Main, 100 High.
        profile: u8,
        /// The byte of `constraint_set` flags.
        constraints: u8,
        /// `level_idc`: ten times the level.
        level: u8,
    },
    /// `hvc1.SP.C.TL.B…` (ISO/IEC 14496-15, Annex E.3).
    Hevc {
        /// `general_profile_space`, 0 to 3.
        profile_space: u8,
        /// `general_profile_idc`: 1 Main, 2 Main 10.
        profile: u8,
        /// `general_profile_compatibility_flags`, in the reversed bit order of the string.
        compatibility: u32,
        /// High tier rather than Main tier.
        high_tier: bool,
        /// `general_level_idc`: thirty times the level.
        level: u8,
        /// `general_constraint_indicator_flags`; the string omits trailing zero bytes.
        constraints: [u8; 6],
    },
}

/// The codec string in a MIME type such as [`VideoCodec::mime`] writes; the whole text if there is none.
pub fn codec_of(mime: &str) -> &str {
    mime.split_once("codecs=").map_or(mime, |(_, codecs)| codecs.trim_matches('"'))
}

/// A codec string of another codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a codec string of H.264, H.265, AAC or Opus: {0:?}")]
pub struct UnknownCodec(String);

impl VideoCodec {
    /// The codec's family.
    pub fn family(&self) -> Family {
        match self {
            Self::Avc { .. } => Family::H264,
            Self::Hevc { .. } => Family::H265,
        }
    }

    /// The MIME type of MP4 with this codec, for `MediaSource.isTypeSupported`.
    pub fn mime(&self) -> String {
        format!("video/mp4; codecs=\"{self}\"")
    }

    /// Whether a decoder of `self` plays `stream`: it has the same or a larger profile, and at least its level.
    pub fn covers(&self, stream: &Self) -> bool {
        match (self, stream) {
            (Self::Avc { profile, level, .. }, Self::Avc { profile: wanted, level: needed, .. }) => {
                level >= needed && avc_profile_includes(*profile, *wanted)
            }
            (
                Self::Hevc { profile_space, profile, high_tier, level, .. },
                Self::Hevc {
                    profile_space: wanted_space,
                    profile: wanted,
                    high_tier: needed_tier,
                    level: needed,
                    compatibility,
                    ..
                },
            ) => {
                // Bit j of the number is general_profile_compatibility_flag[j].
                let compatible = profile == wanted || compatibility >> u32::from(*profile).min(31) & 1 == 1;
                profile_space == wanted_space && compatible && level >= needed && (*high_tier || !needed_tier)
            }
            _ => false,
        }
    }
}

/// Decoders of High also play Main and Constrained Baseline, decoders of Main also the latter (Rec. ITU-T H.264, Annex A.2).
fn avc_profile_includes(decoder: u8, stream: u8) -> bool {
    const BASELINE: u8 = 66;
    const MAIN: u8 = 77;
    const HIGH: u8 = 100;
    decoder == stream
        || match decoder {
            MAIN => stream == BASELINE,
            HIGH => matches!(stream, BASELINE | MAIN),
            _ => false,
        }
}

impl fmt::Display for VideoCodec {
    /// Writes `hvc1` or `avc1`: Apple's players refuse `hev1`, and the relay sends no other sample entry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Avc { profile, constraints, level } => write!(f, "avc1.{profile:02X}{constraints:02X}{level:02X}"),
            Self::Hevc { profile_space, profile, compatibility, high_tier, level, constraints } => {
                let space = ["", "A", "B", "C"][usize::from(*profile_space & 3)];
                let tier = if *high_tier { 'H' } else { 'L' };
                write!(f, "hvc1.{space}{profile}.{compatibility:X}.{tier}{level}")?;
                let used = constraints.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                constraints[..used].iter().try_for_each(|byte| write!(f, ".{byte:X}"))
            }
        }
    }
}

impl FromStr for VideoCodec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (entry, rest) = text.split_once('.').ok_or_else(|| unknown(text))?;
        match entry {
            "avc1" | "avc3" => parse_avc(rest),
            "hvc1" | "hev1" => parse_hevc(rest),
            _ => None,
        }
        .ok_or_else(|| unknown(text))
    }
}

fn unknown(text: &str) -> UnknownCodec {
    UnknownCodec(text.chars().take(40).collect())
}

fn parse_avc(rest: &str) -> Option<VideoCodec> {
    let byte = |range| u8::from_str_radix(rest.get(range)?, 16).ok();
    (rest.len() == 6)
        .then(|| Some(VideoCodec::Avc { profile: byte(0..2)?, constraints: byte(2..4)?, level: byte(4..6)? }))?
}

fn parse_hevc(rest: &str) -> Option<VideoCodec> {
    let mut parts = rest.split('.');
    let profile = parts.next()?;
    let (profile_space, profile) = match profile.chars().next()? {
        c @ 'A'..='C' => (c as u8 - b'A' + 1, &profile[1..]),
        _ => (0, profile),
    };
    let compatibility = u32::from_str_radix(parts.next()?, 16).ok()?;
    let level = parts.next()?;
    let high_tier = match level.chars().next()? {
        'L' => false,
        'H' => true,
        _ => return None,
    };
    let mut constraints = [0; 6];
    let mut slots = constraints.iter_mut();
    for part in parts {
        *slots.next()? = u8::from_str_radix(part, 16).ok()?;
    }
    Some(VideoCodec::Hevc {
        profile_space,
        profile: profile.parse().ok()?,
        compatibility,
        high_tier,
        level: level[1..].parse().ok()?,
        constraints,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codec(text: &str) -> VideoCodec {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn codec_strings_round_trip() {
        for text in ["avc1.42E01E", "avc1.640034", "hvc1.1.6.L93.B0", "hvc1.2.4.H186.9D.8", "hvc1.A1.6.L63"] {
            assert_eq!(codec(text).to_string(), text);
        }
        assert_eq!(codec("hev1.1.6.L93.90").to_string(), "hvc1.1.6.L93.90");
        assert_eq!(codec_of(&codec("avc1.42E01E").mime()), "avc1.42E01E");
    }

    #[test]
    fn codec_covers_lower_profiles_and_levels_only() {
        let covers = |probe: &str, stream: &str| codec(probe).covers(&codec(stream));
        assert!(covers("hvc1.1.6.L186.B0", "hvc1.1.6.L93.90"));
        assert!(covers("hvc1.2.4.L186.B0", "hvc1.1.6.L93.90"), "Main says it is compatible with Main 10");
        assert!(!covers("hvc1.1.6.L186.B0", "hvc1.2.4.L93.90"), "Main 10 is not Main");
        assert!(!covers("hvc1.1.6.L93.B0", "hvc1.1.6.L120.90"), "the level is too high");
        assert!(!covers("hvc1.1.6.L186.B0", "hvc1.1.6.H93.90"), "High tier needs a High tier decoder");
        assert!(covers("avc1.640034", "avc1.4D401F"));
        assert!(!covers("avc1.42E034", "avc1.64001F"));
        assert!(!covers("avc1.640034", "hvc1.1.6.L93.90"));
        assert!(!covers("avc1.640034", "avc1.F4001F"), "High 4:4:4 is not High");
    }

    proptest! {
        #[test]
        fn parsing_any_text_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<VideoCodec>();
        }

        #[test]
        fn every_hevc_string_round_trips(
            profile_space in 0u8..4, profile in 1u8..12, compatibility: u32, high_tier: bool, level: u8,
            constraints: [u8; 6],
        ) {
            let codec = VideoCodec::Hevc { profile_space, profile, compatibility, high_tier, level, constraints };
            prop_assert_eq!(codec.to_string().parse::<VideoCodec>().unwrap(), codec);
        }
    }
}
