//! What happened on the page, in sentences, for somebody who looks for what is wrong.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

/// The oldest entries go. A stream that is well says little: this is days of it, or minutes of a bad one.
const ENTRIES_MAX: usize = 500;

/// How much an entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The course of things.
    Info,
    /// Something went wrong and is being mended.
    Warning,
    /// Something will not work without somebody doing something.
    Error,
}

impl Level {
    /// From the least on.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, in milliseconds since the Unix epoch.
    pub at: f64,
    /// How much it matters.
    pub level: Level,
    /// The stream that it is about; empty where it is about the page.
    pub stream: String,
    /// A sentence.
    pub text: String,
}

/// A line without the time, which the reader of the page wants in a form of its own.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, stream, text, .. } = self;
        let separator = if stream.is_empty() { "" } else { ": " };
        write!(f, "{:<7} {stream}{separator}{text}", level.as_str())
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Log {
    entries: VecDeque<Rc<Entry>>,
    /// How many were let go.
    forgotten: u64,
}

impl Log {
    /// Takes note of something.
    pub fn add(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.entries.push_back(Rc::new(entry));
    }

    /// What matters at least so much and contains `text`, in any case of letters; newest last.
    pub fn entries(&self, level: Level, text: &str) -> impl DoubleEndedIterator<Item = &Rc<Entry>> {
        let text = text.to_ascii_lowercase();
        self.entries
            .iter()
            .filter(move |entry| entry.level >= level && entry.to_string().to_ascii_lowercase().contains(&text))
    }

    /// All of it as a text of lines, times written by `time`.
    pub fn to_text(&self, time: impl Fn(f64) -> String) -> String {
        let forgotten = if self.forgotten > 0 {
            format!("({} earlier lines are not remembered)\n", self.forgotten)
        } else {
            String::new()
        };
        let lines = self.entries.iter().map(|entry| format!("{} {entry}\n", time(entry.at)));
        std::iter::once(forgotten).chain(lines).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(level: Level, text: &str) -> Entry {
        Entry { at: 7.0, level, stream: "yard".into(), text: text.into() }
    }

    #[test]
    fn entries_are_found_by_level_and_text() {
        let mut log = Log::default();
        for (level, text) in [(Level::Info, "Live."), (Level::Warning, "Lost."), (Level::Error, "No such stream.")] {
            log.add(entry(level, text));
        }
        let texts = |level, text: &str| log.entries(level, text).map(|entry| entry.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(Level::Info, ""), ["Live.", "Lost.", "No such stream."]);
        assert_eq!(texts(Level::Warning, ""), ["Lost.", "No such stream."]);
        assert_eq!(texts(Level::Info, "YARD: l"), ["Live.", "Lost."]);
        assert!(texts(Level::Error, "lost").is_empty());
        assert_eq!(
            log.to_text(|at| format!("@{at}")),
            "@7 info    yard: Live.\n@7 warning yard: Lost.\n@7 error   yard: No such stream.\n"
        );
    }

    #[test]
    fn what_is_forgotten_is_counted() {
        let mut log = Log::default();
        (0..ENTRIES_MAX + 3).for_each(|n| log.add(entry(Level::Info, &n.to_string())));
        assert_eq!(log.entries(Level::Info, "").count(), ENTRIES_MAX);
        assert!(log.to_text(|_| String::new()).starts_with("(3 earlier lines are not remembered)\n"));
    }
}
