//! Decides the response to a playback failure, the cheapest first.
//!
//! | failure | first response | when it recurs soon |
//! | --- | --- | --- |
//! | the video stands still with media ahead, and seeking has not helped | a new MediaSource on the same connection | a new connection |
//! | the browser closed the MediaSource | a new MediaSource on the same connection | the same |
//! | the browser refused an operation | a new MediaSource on the same connection | a new connection |
//! | a decode error | a new MediaSource on the same connection | another codec |
//! | media is appended and no frame is ever presented | another codec | another codec |
//!
//! Any player meets a single decode error (a damaged frame, a driver reset). Two in short order, or no presented frame at all,
//! mean that the browser cannot decode a codec that it reported as supported. [`live_edge`](super::live_edge) handles gaps and stalls
//! before any of this.

use crate::time::Moment;

/// Failures closer together than this have one cause.
const SOON_MS: f64 = 10_000.0;

/// A playback failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaybackError {
    /// The playhead stands still in spite of seeks, with media ahead; or it moves and no frame is presented.
    #[error("the video stands still with media ahead")]
    Stalled,
    /// The browser closed the MediaSource: the page was frozen, or the system reclaimed its memory.
    #[error("the browser closed the MediaSource")]
    Reclaimed,
    /// The browser refused an operation, for a reason other than the quota.
    #[error("the browser refused the media: {0}")]
    Refused(String),
    /// `MEDIA_ERR_DECODE`, `MEDIA_ERR_SRC_NOT_SUPPORTED`, or an error of the SourceBuffer.
    #[error("the browser failed to decode")]
    Decode,
    /// The browser does not support the MIME type, or media was appended and no frame was presented.
    #[error("the browser presents no frame of this media")]
    NoFrame,
}

/// The response to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// A new MediaSource, fed over the current connection.
    Rebuild,
    /// A new MediaSource and a new connection.
    Reconnect,
    /// Another codec: the browser cannot decode the current one.
    NextCodec,
}

/// Remembers the last failure.
#[derive(Debug, Clone, Default)]
pub struct RecoveryPolicy {
    last: Option<(std::mem::Discriminant<PlaybackError>, Moment)>,
}

impl RecoveryPolicy {
    /// Returns the response to a failure.
    pub fn respond(&mut self, error: &PlaybackError, now: Moment) -> Recovery {
        let kind = std::mem::discriminant(error);
        let last = self.last.replace((kind, now));
        let again = last.is_some_and(|(last, at)| last == kind && now.ms_since(at) < SOON_MS);
        let recovery = match (error, again) {
            (PlaybackError::NoFrame, _) | (PlaybackError::Decode, true) => Recovery::NextCodec,
            (PlaybackError::Stalled | PlaybackError::Refused(_), true) => Recovery::Reconnect,
            (PlaybackError::Reclaimed, _) | (_, false) => Recovery::Rebuild,
        };
        if recovery == Recovery::NextCodec {
            self.last = None; // another codec starts with no failures
        }
        recovery
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Recovery::{NextCodec, Rebuild, Reconnect};

    fn respond(steps: &[(PlaybackError, f64)]) -> Vec<Recovery> {
        let mut recovery_policy = RecoveryPolicy::default();
        steps.iter().map(|(error, ms)| recovery_policy.respond(error, Moment::from_ms(*ms))).collect()
    }

    #[test]
    fn second_decode_error_within_the_window_changes_the_codec() {
        let decode = |ms| (PlaybackError::Decode, ms);
        assert_eq!(
            respond(&[decode(0.0), decode(SOON_MS), decode(SOON_MS + 2000.0), decode(SOON_MS + 3000.0)]),
            [Rebuild, Rebuild, NextCodec, Rebuild],
            "the first was long ago, and the new codec counts anew"
        );
        assert_eq!(respond(&[(PlaybackError::NoFrame, 0.0)]), [NextCodec]);
    }

    #[test]
    fn repeated_failure_reconnects() {
        let refused = || PlaybackError::Refused("InvalidStateError".into());
        assert_eq!(respond(&[(PlaybackError::Stalled, 0.0), (PlaybackError::Stalled, 5000.0)]), [Rebuild, Reconnect]);
        assert_eq!(respond(&[(refused(), 0.0), (refused(), 1.0), (refused(), 2.0)]), [Rebuild, Reconnect, Reconnect]);
        assert_eq!(respond(&[(refused(), 0.0), (PlaybackError::Decode, 1.0)]), [Rebuild, Rebuild], "two causes");
        assert_eq!(respond(&[(PlaybackError::Reclaimed, 0.0), (PlaybackError::Reclaimed, 1.0)]), [Rebuild, Rebuild]);
    }
}
