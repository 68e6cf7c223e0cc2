//! The lines that a process prints. A thread reads them, so that the process never blocks on a full pipe.

use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::run;

/// A growing list of lines. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    /// Sources that have not ended.
    open: Arc<AtomicUsize>,
}

impl Lines {
    /// Reads `source` to its end in a new thread.
    pub fn read(&self, source: impl Read + Send + 'static) {
        let Self { lines, open } = self.clone();
        open.fetch_add(1, Ordering::AcqRel);
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
            open.fetch_sub(1, Ordering::AcqRel);
        });
    }

    /// Whether every source has ended, so that no line is missing.
    pub fn is_complete(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lines so far, as one text.
    pub fn text(&self) -> String {
        self.all().join("\n")
    }

    /// Waits for the first line for which `take` returns something.
    ///
    /// # Panics
    /// After `limit`, with all lines so far.
    pub async fn wait_for<T>(&self, what: &str, limit: Duration, take: impl Fn(&str) -> Option<T>) -> T {
        let found = async || self.all().iter().find_map(|line| take(line));
        let waited = tokio::time::timeout(limit, run::until(what, limit * 2, found)).await;
        waited.unwrap_or_else(|_| panic!("waited {limit:?} for {what}; what was printed:\n{}", self.text()))
    }
}
