//! Saves a session's recordings and reports their progress.

use js_sys::ArrayBuffer;
use sightline_protocol::message::Track;
use web_sys::Blob;

use super::recorder::Recorder;
use super::reporter::Reporter;
use crate::browser::error::DomError;
use crate::browser::{self, file};
use crate::state::{Level, Recorded, TileEvent};

/// See the module.
pub(super) struct Recording {
    reporter: Reporter,
    recorder: Recorder,
    reported: Option<Recorded>,
}

impl Recording {
    pub(super) fn new(reporter: Reporter) -> Self {
        Self { reporter, recorder: Recorder::default(), reported: None }
    }

    /// Announces a track: the next message is its init segment.
    pub(super) fn announce(&mut self, track: &Track) {
        self.recorder.announce(track);
    }

    /// Handles an init segment or a fragment.
    pub(super) fn media(&mut self, bytes: &ArrayBuffer) {
        let ended = self.recorder.media(bytes);
        self.save(ended);
    }

    /// Starts a recording, or ends it and saves the file.
    pub(super) fn set_enabled(&mut self, enabled: bool) {
        if enabled {
            self.recorder.start();
        } else {
            let ended = self.recorder.stop();
            self.save(ended);
        }
        self.report();
    }

    /// Reports the size of the current file, if it has changed.
    pub(super) fn report(&mut self) {
        let recorded = self.recorder.recorded();
        if std::mem::replace(&mut self.reported, recorded) != recorded {
            self.reporter.event(TileEvent::Recording(recorded));
        }
    }

    /// Saves an ended file, or reports that recording failed.
    fn save(&mut self, ended: Result<Option<Blob>, DomError>) {
        // Called for every fragment: return first when no file has ended.
        let recording = match ended {
            Ok(None) => return,
            Ok(Some(blob)) => Ok(blob),
            Err(error) => {
                self.recorder = Recorder::default();
                Err(error)
            }
        };
        let name = file::name(self.reporter.stream().as_str(), &browser::iso_time(browser::unix_ms()), "mp4");
        match recording.and_then(|blob| file::save(&blob, &name)) {
            Ok(()) => self.reporter.note(Level::Info, format!("Saved the recording as {name}.")),
            Err(error) => {
                self.reporter.note(Level::Error, format!("The browser does not save the recording: {error}."));
            }
        }
    }
}
