//! Reports a stream's events to the page, and notes for troubleshooting to the browser's console as well.

use sightline_protocol::stream::StreamName;

use super::Report;
use crate::browser;
use crate::state::{Level, TileEvent};

/// See the module.
#[derive(Clone)]
pub(super) struct Reporter {
    stream: StreamName,
    report: Report,
}

impl Reporter {
    pub(super) fn new(stream: StreamName, report: Report) -> Self {
        Self { stream, report }
    }

    /// The stream.
    pub(super) fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Reports an event.
    pub(super) fn event(&self, event: TileEvent) {
        (self.report)(event);
    }

    /// Logs a note on the page and, above the level Info, in the console.
    pub(super) fn note(&self, level: Level, text: String) {
        if level > Level::Info {
            browser::warn(&format!("sightline: {}: {text}", self.stream));
        }
        self.event(TileEvent::Note(level, text));
    }

    /// Records a User Timing mark of the stream.
    pub(super) fn mark(&self, what: &str) {
        browser::mark(&self.stream, what);
    }
}
