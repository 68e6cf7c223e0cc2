//! How a run of a source or an encoder ended.

use std::time::Duration;

use sightline_protocol::message::OfflineReason;

use super::reader::Unsupported;

/// How long to wait for FFmpeg's standard error after its end. A grandchild may keep the pipe open.
pub(super) const STDERR_GRACE: Duration = Duration::from_millis(500);

/// How a run ended.
#[derive(Debug)]
pub(super) enum RunOutcome {
    /// No subscriber for the idle timeout, or shutdown.
    Idle,
    /// The rendition that it reads began a new epoch or went offline.
    InputChanged,
    /// FFmpeg could not copy the source's audio, and gave up the video with it.
    AudioRefused,
    /// The direct reader does not support the camera.
    Unsupported {
        /// Why not.
        unsupported: Unsupported,
        /// For how long there was media.
        played: Duration,
    },
    /// FFmpeg cannot go on because the source's clock was set back, or counts something else than time.
    ClockRewind {
        /// For how long there was media.
        played: Duration,
    },
    /// Another reader takes over.
    Fallback,
    /// It ended by itself or had to be ended.
    Failed {
        /// The kind of failure.
        reason: OfflineReason,
        /// The cause and its remedy.
        message: String,
        /// For how long there was media.
        played: Duration,
    },
}

impl RunOutcome {
    /// A failure after media for as long as `played`, if there was any.
    pub(super) fn failed(reason: OfflineReason, message: String, played: Option<Duration>) -> Self {
        Self::Failed { reason, message, played: played.unwrap_or_default() }
    }
}
