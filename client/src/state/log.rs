//! The page's log, in sentences, for troubleshooting.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

/// When full, the oldest entry is dropped. A healthy stream logs little: this covers days, or minutes of a failing stream.
const ENTRIES_MAX: usize = 500;

/// The severity of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Normal operation.
    Info,
    /// A failure from which the page or the relay recovers.
    Warning,
    /// A failure that a person must fix.
    Error,
}

impl Level {
    /// In ascending order.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    /// The name of the level.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The time, in milliseconds since the Unix epoch.
    pub at: f64,
    /// The severity.
    pub level: Level,
    /// The stream's name; empty for the page itself.
    pub stream: String,
    /// A sentence.
    pub text: String,
}

/// A line without the time, which each view formats on its own.
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
    /// The number of dropped entries.
    forgotten: u64,
}

impl Log {
    /// Adds an entry.
    pub fn add(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.entries.push_back(Rc::new(entry));
    }

    /// The entries of at least this level that contain `text`, ignoring ASCII case; oldest first.
    pub fn entries(&self, level: Level, text: &str) -> impl DoubleEndedIterator<Item = &Rc<Entry>> {
        let text = text.to_ascii_lowercase();
        self.entries
            .iter()
            .filter(move |entry| entry.level >= level && entry.to_string().to_ascii_lowercase().contains(&text))
    }

    /// The whole log as lines of text, with times formatted by `time`.
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
    fn entries_are_filtered_by_level_and_text() {
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
    fn dropped_entries_are_counted() {
        let mut log = Log::default();
        (0..ENTRIES_MAX + 3).for_each(|n| log.add(entry(Level::Info, &n.to_string())));
        assert_eq!(log.entries(Level::Info, "").count(), ENTRIES_MAX);
        assert!(log.to_text(|_| String::new()).starts_with("(3 earlier lines are not remembered)\n"));
    }
}
