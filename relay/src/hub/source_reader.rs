//! What reads a stream's source, for the catalogue and for metrics. Ingest writes it, the API reads it.

use std::sync::{Mutex, PoisonError};

use sightline_protocol::catalogue::ReaderName;

use super::changes::Changes;

/// What reads a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentReader {
    /// Its name.
    pub name: ReaderName,
    /// Why it is FFmpeg where the relay was to read the source itself.
    pub fallback: Option<Fallback>,
}

/// Why FFmpeg reads a source that the relay was to read itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The kind of reason: one of a few words.
    pub cause: &'static str,
    /// A clause without credentials.
    pub message: String,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct SourceReader {
    /// None until the source was read for the first time.
    current: Mutex<Option<CurrentReader>>,
    changes: Changes,
}

impl SourceReader {
    /// The reader is unknown until a source runs. `changes` then notifies the catalogue's listeners.
    pub(super) fn new(changes: Changes) -> Self {
        Self { current: Mutex::default(), changes }
    }

    /// What reads the source, or read it last.
    pub fn get(&self) -> Option<CurrentReader> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This reads the source from now on; none until that is known.
    pub fn set(&self, reader: Option<CurrentReader>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != reader {
            *current = reader;
            drop(current);
            self.changes.notify();
        }
    }
}
