//! Codec strings of audio.

use std::fmt;
use std::str::FromStr;

use super::UnknownCodec;

/// The audio codecs that Sightline sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// AAC, `mp4a.40.N` (RFC 6381, section 3.3).
    Aac {
        /// The audio object type: 2 AAC-LC, 5 HE-AAC (ISO/IEC 14496-3, table 1.17).
        object_type: u8,
    },
    /// Opus in MP4 ("Encapsulation of Opus in ISO Base Media File Format", section 4.3.1).
    Opus,
}

impl AudioCodec {
    /// The MIME type of MP4 with this codec, for `MediaSource.isTypeSupported`.
    pub fn mime(self) -> String {
        format!("audio/mp4; codecs=\"{self}\"")
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aac { object_type } => write!(f, "mp4a.40.{object_type}"),
            Self::Opus => f.write_str("opus"),
        }
    }
}

impl FromStr for AudioCodec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let aac = || Some(Self::Aac { object_type: text.strip_prefix("mp4a.40.")?.parse().ok()? });
        match text {
            "opus" => Some(Self::Opus),
            _ => aac(),
        }
        .ok_or_else(|| super::unknown(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codec_strings_round_trip() {
        for text in ["mp4a.40.2", "mp4a.40.5", "opus"] {
            assert_eq!(text.parse::<AudioCodec>().unwrap().to_string(), text);
        }
        assert_eq!(AudioCodec::Opus.mime(), "audio/mp4; codecs=\"opus\"");
        for text in ["", "mp4a", "mp4a.40.", "mp4a.40.2.1", "mp4a.40.256", "Opus", "avc1.42E01E"] {
            assert!(text.parse::<AudioCodec>().is_err(), "{text:?}");
        }
    }
}
