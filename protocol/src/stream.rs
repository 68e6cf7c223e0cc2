//! Names of streams, patterns of names, variants, and a viewer's choices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) mod name;
mod pattern;

pub use name::{InvalidStreamName, StreamName};
pub use pattern::{InvalidStreamPattern, StreamPattern};

/// A form in which the relay can send a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The camera's own stream, unchanged.
    Copy,
    /// Transcoded to H.264 without B-frames, which every browser plays.
    H264,
    /// As [`Variant::H264`], with a smaller size and bit rate, for links that do not carry the others.
    Low,
}

impl Variant {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Copy, Self::H264, Self::Low];

    /// The name in addresses, messages and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::H264 => "h264",
            Self::Low => "low",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A viewer's choice: a variant by name, or the automatic choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantChoice {
    /// The relay chooses: `copy` if the browser can decode it, otherwise `h264`, and `low` while the link is too slow for that.
    #[default]
    Auto,
    /// [`Variant::Copy`].
    Copy,
    /// [`Variant::H264`].
    H264,
    /// [`Variant::Low`].
    Low,
}

/// How much video a viewer wants, in `?quality=` and in [`crate::message::Play::quality`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// The relay chooses by the size at which the video is shown, and by the link.
    #[default]
    Auto,
    /// [`Variant::Copy`] or [`Variant::H264`], whatever the size and the link.
    High,
    /// [`Variant::Low`].
    Low,
}

impl Quality {
    /// In the order of the selector.
    pub const ALL: [Self; 3] = [Self::Auto, Self::High, Self::Low];

    /// The name in addresses and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::High => "high",
            Self::Low => "low",
        }
    }

    /// The quality that the query of an address names, if it names one.
    ///
    /// # Errors
    /// If the value is none of [`Self::ALL`].
    pub fn in_query(query: &str) -> Result<Option<Self>, InvalidQuality> {
        let value =
            query.split('&').find_map(|pair| pair.strip_prefix("quality=").or((pair == "quality").then_some("")));
        value.map(str::parse).transpose()
    }
}

impl FromStr for Quality {
    type Err = InvalidQuality;

    fn from_str(text: &str) -> Result<Self, InvalidQuality> {
        Self::ALL.into_iter().find(|quality| quality.as_str() == text).ok_or(InvalidQuality)
    }
}

/// A text that is no [`Quality`]. The error does not repeat it, since it comes from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", Self::MESSAGE)]
pub struct InvalidQuality;

impl InvalidQuality {
    /// The error's text.
    pub const MESSAGE: &str = "the parameter `quality` must be auto, high or low";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_read_from_a_query() {
        for quality in Quality::ALL {
            let name = quality.as_str();
            assert_eq!(Quality::in_query(&format!("token=a&quality={name}&x")), Ok(Some(quality)));
            assert_eq!(serde_json::to_value(quality).unwrap(), name);
        }
        for query in ["", "xquality=low", "qualitys=low", "token=quality=low"] {
            assert_eq!(Quality::in_query(query), Ok(None), "{query}");
        }
        for query in ["quality=", "quality", "quality=Low", "quality=80", "quality=low%20"] {
            assert_eq!(Quality::in_query(query), Err(InvalidQuality), "{query}");
        }
        let error = InvalidQuality.to_string();
        assert!(Quality::ALL.iter().all(|quality| error.contains(quality.as_str())), "{error}");
    }
}
