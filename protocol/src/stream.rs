//! Names: of a stream, and of the variants in which a stream can be had.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a stream: 1 to 64 characters of `A-Z a-z 0-9 . _ -`, starting with a letter or a digit.
///
/// The alphabet is that of a URL path segment that needs no escaping, so that a name reads the same in a
/// configuration, in an address and in a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(String);

/// Why a text is not a [`StreamName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a stream name: 1 to {max} letters, digits, dots, dashes and underscores, starting with a letter or a digit",
    max = StreamName::MAX_LEN
)]
pub struct InvalidStreamName(String);

impl StreamName {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StreamName {
    type Error = InvalidStreamName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let valid = text.len() <= Self::MAX_LEN
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if valid {
            Ok(Self(text))
        } else {
            // The error is shown to people and written to logs: it never carries an unbounded text.
            Err(InvalidStreamName(text.chars().take(Self::MAX_LEN).collect()))
        }
    }
}

impl std::str::FromStr for StreamName {
    type Err = InvalidStreamName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the forms in which the relay can send a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The camera's own bytes, untouched.
    Copy,
    /// Transcoded to H.264 without B-frames, which every browser plays.
    H264,
    /// As [`Variant::H264`], with a smaller picture and few bits, for links that do not carry the others.
    Low,
}

impl Variant {
    /// Every variant there is.
    pub const ALL: [Self; 3] = [Self::Copy, Self::H264, Self::Low];
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Copy => "copy",
            Self::H264 => "h264",
            Self::Low => "low",
        })
    }
}

/// What a viewer asks for: a variant by name, or the relay's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantChoice {
    /// The relay picks: untouched where the browser can decode it, otherwise transcoded; lighter while the link is
    /// too slow for that.
    #[default]
    Auto,
    /// [`Variant::Copy`].
    Copy,
    /// [`Variant::H264`].
    H264,
    /// [`Variant::Low`].
    Low,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_path_segments_that_need_no_escaping() {
        for good in ["cam0", "mixer_program", "site-2.yard", "7"] {
            assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
        }
        let long = "x".repeat(StreamName::MAX_LEN + 1);
        for bad in ["", ".", "..", "-x", "a/b", "a b", "a%2fb", "caméra", "a\n", long.as_str()] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_invalid_name_in_json_is_refused() {
        assert!(serde_json::from_str::<StreamName>("\"a/b\"").is_err());
    }
}
