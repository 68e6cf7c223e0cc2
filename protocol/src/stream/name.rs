//! Stream names: the rules for names, and their encoding in addresses.
//!
//! A name is a path, as in MediaMTX and in the endpoint `/ws/mse/{stream_path}`: `cam0`, `site/cam 1/ü`. Segments are separated
//! by `/`; every other character is data.
//!
//! | rule | reason |
//! | --- | --- |
//! | at most [`StreamName::MAX_LEN`] bytes of UTF-8 | names are metric labels, log fields and parts of file names |
//! | no empty segment, no `.`, no `..` | proxies and browsers resolve these (RFC 3986, section 5.2.4; nginx `merge_slashes`) |
//! | no `%` | a doubly encoded address is refused instead of naming another stream |
//! | no `\` | URL parsers of browsers treat it as `/` (URL standard, "path state") |
//! | no control and no invisible characters, no space at either end | two names that look alike are the same name |
//! | no `*` | it stands for any text in a [pattern](super::StreamPattern), so each name is a pattern that matches itself alone |
//!
//! A name is in Unicode Normalization Form C (UAX #15), so that `ü` as one character, and as `u` with a combining diaeresis,
//! are the same name. The relay normalizes (feature `normalize`); the page uses the browser's `String.prototype.normalize`,
//! which has the tables.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// Characters to percent-encode in a path segment: all but `unreserved` (RFC 3986, section 2.3), which no proxy changes.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a path, which keeps its slashes: many proxies decode `%2F`.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');
/// The number of characters of a refused text in the error: enough to recognize it, and bounded.
const SHOWN: usize = 48;

/// The name of a stream. See the [module](self) for its rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(String);

/// Why a text is not a [`StreamName`]: one sentence with the text, the fault and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream name {0}")]
pub struct InvalidStreamName(FaultyText);

/// A text with its fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} {fault}")]
pub(super) struct FaultyText {
    /// The text, or its beginning. The error text escapes control and invisible characters.
    shown: String,
    fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("is empty; give a name such as cam0 or site/cam1")]
    Empty,
    #[error("is not UTF-8; percent-encode the bytes of its UTF-8 form")]
    NotUtf8,
    #[error("has {0} bytes; shorten it to {max} bytes or fewer", max = StreamName::MAX_LEN)]
    TooLong(usize),
    #[error("contains the control character U+{:04X}; remove it", u32::from(*.0))]
    Control(char),
    #[error("contains the invisible character U+{:04X}; remove it", u32::from(*.0))]
    Invisible(char),
    #[error("contains %; write the character itself, since addresses are percent-encoded for you")]
    Percent,
    #[error("contains a backslash; separate segments with /")]
    Backslash,
    #[error("begins with /; remove it")]
    LeadingSlash,
    #[error("ends with /; remove it")]
    TrailingSlash,
    #[error("contains //; write a single /")]
    EmptySegment,
    #[error("contains the segment {0}; rename that segment")]
    DotSegment(&'static str),
    #[error("begins or ends with a space; remove the space")]
    OuterSpace,
    #[error("contains *, which stands for any text in patterns of streams; choose another name")]
    Asterisk,
    #[error("contains **; write a single *, which matches / as well")]
    DoubleAsterisk,
}

impl StreamName {
    /// The maximum length in bytes of UTF-8. With a time and an extension, it is still a file name (255 bytes on most systems).
    pub const MAX_LEN: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in an address's path, percent-encoded except for slashes: `site/cam%201/%C3%BC`.
    pub fn to_path(&self) -> Cow<'_, str> {
        utf8_percent_encode(&self.0, PATH).into()
    }

    /// Parses a name from an address's path and decodes it exactly once. `%2F` is a slash, as for proxies that decode it.
    ///
    /// # Errors
    /// See [`InvalidStreamName`].
    pub fn from_path(path: &str) -> Result<Self, InvalidStreamName> {
        decode(path)?.parse()
    }
}

/// Percent-decodes a path once.
pub(crate) fn decode(path: &str) -> Result<Cow<'_, str>, InvalidStreamName> {
    percent_decode_str(path).decode_utf8().map_err(|_| InvalidStreamName(Fault::NotUtf8.of(path)))
}

/// Percent-encodes one path segment; a `/` in it becomes `%2F`.
pub(crate) fn encode_segment(segment: &str) -> Cow<'_, str> {
    utf8_percent_encode(segment, SEGMENT).into()
}

impl Fault {
    pub(super) fn of(self, text: &str) -> FaultyText {
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        FaultyText { shown, fault: self }
    }
}

/// The first fault of a text that names and patterns share.
pub(super) fn fault(text: &str) -> Option<Fault> {
    if text.is_empty() {
        return Some(Fault::Empty);
    } else if text.len() > StreamName::MAX_LEN {
        return Some(Fault::TooLong(text.len()));
    }
    let of_character = |c: char| match c {
        '%' => Some(Fault::Percent),
        '\\' => Some(Fault::Backslash),
        _ if c.is_control() => Some(Fault::Control(c)),
        _ if is_invisible(c) => Some(Fault::Invisible(c)),
        _ => None,
    };
    if let Some(fault) = text.chars().find_map(of_character) {
        return Some(fault);
    } else if text.starts_with('/') {
        return Some(Fault::LeadingSlash);
    } else if text.ends_with('/') {
        return Some(Fault::TrailingSlash);
    } else if text.starts_with(' ') || text.ends_with(' ') {
        return Some(Fault::OuterSpace);
    }
    text.split('/').find_map(|segment| match segment {
        "" => Some(Fault::EmptySegment),
        "." => Some(Fault::DotSegment(".")),
        ".." => Some(Fault::DotSegment("..")),
        _ => None,
    })
}

/// Whether a character is invisible or looks like a space. That is white space other than U+0020 and the wide U+3000, and
/// characters with `Default_Ignorable_Code_Point` (UAX #44), including bidirectional controls. Joiners (U+200C, U+200D) and
/// variation selectors are allowed, because words and emoji need them.
fn is_invisible(c: char) -> bool {
    let space = c.is_whitespace() && !matches!(c, ' ' | '\u{3000}');
    space
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

/// Longer texts are refused before normalization, which shortens a text to a third at most (Hangul).
#[cfg(feature = "normalize")]
const NORMALIZED_MAX: usize = StreamName::MAX_LEN * 3;

#[cfg(feature = "normalize")]
pub(super) fn normalized(text: String) -> String {
    if text.is_ascii() || text.len() > NORMALIZED_MAX {
        return text;
    }
    icu_normalizer::ComposingNormalizerBorrowed::new_nfc().normalize(&text).into_owned()
}

#[cfg(not(feature = "normalize"))]
pub(super) fn normalized(text: String) -> String {
    text
}

impl TryFrom<String> for StreamName {
    type Error = InvalidStreamName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = normalized(text);
        match fault(&text).or_else(|| text.contains('*').then_some(Fault::Asterisk)) {
            None => Ok(Self(text)),
            Some(fault) => Err(InvalidStreamName(fault.of(&text))),
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

#[cfg(test)]
pub(crate) mod tests;
