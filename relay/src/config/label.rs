//! What people read instead of a stream's name, and the group that it belongs to. Addresses have the name.

use serde::Deserialize;

/// Maximum bytes of a title or a group, as of a stream's name.
const BYTES: usize = 128;

/// The title and the group of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// Shown in place of the name.
    pub title: Option<String>,
    /// The group, such as a building. Streams of one group have the same text.
    pub group: Option<String>,
}

/// A line of text for people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Line(String);

impl Line {
    /// The text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl TryFrom<String> for Line {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let problem = if text.trim().is_empty() {
            "is empty"
        } else if text.trim() != text {
            "begins or ends with a space"
        } else if text.len() > BYTES {
            "is longer than 128 bytes"
        } else if text.chars().any(char::is_control) {
            "has a control character"
        } else {
            return Ok(Self(text));
        };
        Err(format!("the text {problem}; write one line, such as \"Front door\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_is_one_line_of_text() {
        assert_eq!(Line::try_from("Front door · Süd".to_owned()).unwrap().into_text(), "Front door · Süd");
        for (text, problem) in [
            (String::new(), "is empty"),
            ("  ".to_owned(), "is empty"),
            (" a".to_owned(), "a space"),
            ("a\nb".to_owned(), "control character"),
            ("ü".repeat(65), "128 bytes"),
        ] {
            assert!(Line::try_from(text.clone()).unwrap_err().contains(problem), "{text:?}");
        }
    }
}
