//! The lines a process prints. A thread reads them, so that the process never blocks on a full pipe.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::run;

/// A growing list of lines; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Reads `source` to its end in a thread of its own.
    pub fn read(&self, source: impl Read + Send + 'static) {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    /// Every line so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every line so far, as one text.
    pub fn text(&self) -> String {
        self.all().join("\n")
    }

    /// Waits for the first line from which `take` takes something.
    ///
    /// # Panics
    /// After `limit`, with every line that did come.
    pub async fn wait_for<T>(&self, what: &str, limit: Duration, take: impl Fn(&str) -> Option<T>) -> T {
        let found = async || self.all().iter().find_map(|line| take(line));
        let waited = tokio::time::timeout(limit, run::until(what, limit * 2, found)).await;
        waited.unwrap_or_else(|_| panic!("waited {limit:?} for {what}; what was printed:\n{}", self.text()))
    }
}
