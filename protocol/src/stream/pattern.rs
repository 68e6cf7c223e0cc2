//! Patterns of stream names: what an access token or a rule of an identity provider permits.
//!
//! `*` stands for any text, also for none, and also for `/`. Every other character stands for itself.
//!
//! | pattern | matches | does not match |
//! | --- | --- | --- |
//! | `cam0` | `cam0` | `cam01`, `site/cam0` |
//! | `studio/*` | `studio/a`, `studio/a/b` | `studio`, `studio2/a` |
//! | `cam*` | `cam`, `cam0`, `cam0/left` | `site/cam0` |
//! | `*/gate` | `north/gate`, `north/2/gate` | `gate`, `north/gate2` |
//! | `*` | every stream | |
//!
//! A pattern follows the rules of a [`StreamName`] in all else, including Unicode normalization. A name contains no `*`, so it is
//! also a pattern, which matches that name alone.

use std::fmt;

use super::StreamName;
use super::name::{Fault, FaultyText, fault, normalized};

/// Stands for any text.
const ANY: char = '*';

/// A pattern of stream names. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamPattern(String);

/// Why a text is not a [`StreamPattern`]: one sentence with the text, the fault and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream pattern {0}")]
pub struct InvalidStreamPattern(FaultyText);

impl StreamPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches every name.
    pub fn is_all(&self) -> bool {
        self.0 == "*"
    }

    /// Whether the pattern is a name, which matches that name alone.
    pub fn is_name(&self) -> bool {
        !self.0.contains(ANY)
    }

    /// Whether the pattern matches `name`. Reads each of the two texts once, from left to right. With `*` as the only wildcard,
    /// the first occurrence of each part leaves the most text for the next ones, so no other has to be tried.
    pub fn matches(&self, name: &StreamName) -> bool {
        let mut parts = self.0.split(ANY);
        let first = parts.next().unwrap_or_default();
        let Some(rest) = name.as_str().strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        let Some(mut rest) = rest.strip_suffix(last) else { return false };
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        true
    }
}

impl TryFrom<String> for StreamPattern {
    type Error = InvalidStreamPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = normalized(text);
        match fault(&text).or_else(|| text.contains("**").then_some(Fault::DoubleAsterisk)) {
            None => Ok(Self(text)),
            Some(fault) => Err(InvalidStreamPattern(fault.of(&text))),
        }
    }
}

impl std::str::FromStr for StreamPattern {
    type Err = InvalidStreamPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<StreamName> for StreamPattern {
    fn from(name: StreamName) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for StreamPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
