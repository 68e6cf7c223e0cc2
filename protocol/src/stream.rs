//! Names of streams, patterns of names, and variants.

use std::fmt;

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
