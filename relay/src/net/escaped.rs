//! Text that a client, a camera or another program chose, made safe for a log line, an error or an answer.

use std::fmt::{self, Write as _};

/// Maximum length of foreign text, in characters before escaping.
const MAX: usize = 300;

/// Displays a value with control characters and invisible characters escaped, and at most [`MAX`] characters of it. A log line
/// stays one line, and a terminal executes nothing of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escape = Escape { out: f, left: MAX };
        match write!(escape, "{}", self.0) {
            // The text was cut, which is no error of the formatter.
            Err(fmt::Error) if escape.left == 0 => Ok(()),
            written => written,
        }
    }
}

struct Escape<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left == 0 {
                self.out.write_char('…')?;
                return Err(fmt::Error);
            }
            self.left -= 1;
            match c {
                '"' | '\'' | '\\' => self.out.write_char(c)?,
                // Escapes controls, line separators, bidirectional overrides and unassigned code points.
                c => write!(self.out, "{}", c.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn controls_are_escaped_and_other_text_is_unchanged() {
        assert_eq!(Escaped("site/cam 1/ü \"a\"").to_string(), "site/cam 1/ü \"a\"");
        assert_eq!(Escaped("a\r\nWARN forged\u{1b}[2J").to_string(), "a\\r\\nWARN forged\\u{1b}[2J");
        assert_eq!(Escaped("\u{2028}\u{202e}").to_string(), "\\u{2028}\\u{202e}");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(Escaped("x".repeat(MAX)).to_string(), "x".repeat(MAX));
        assert_eq!(Escaped("x".repeat(31_000)).to_string(), format!("{}…", "x".repeat(MAX)));
        let pieces = Escaped(format_args!("{}{}", "x".repeat(MAX), "y")).to_string();
        assert_eq!(pieces, format!("{}…", "x".repeat(MAX)));
    }

    proptest! {
        #[test]
        fn no_text_contains_a_control_character(text in any::<String>()) {
            prop_assert!(!Escaped(text).to_string().contains(char::is_control));
        }
    }
}
