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
//! mean that the browser cannot decode a codec that it reported as supported. [`edge`](super::edge) handles gaps and stalls
//! before any of this.

use crate::time::Moment;

/// Failures closer together than this have one cause.
const SOON_MS: f64 = 10_000.0;

/// A playback failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The playhead stands still in spite of seeks, with media ahead; or it moves and no frame is presented.
    #[error("the picture stands still though media is there")]
    Stalled,
    /// The browser closed the MediaSource: the page was frozen, or the system reclaimed its memory.
    #[error("the browser took the media source away")]
    Reclaimed,
    /// The browser refused an operation, for a reason other than the quota.
    #[error("the browser refused what it was given: {0}")]
    Refused(String),
    /// `MEDIA_ERR_DECODE`, `MEDIA_ERR_SRC_NOT_SUPPORTED`, or an error of the SourceBuffer.
    #[error("the browser failed to decode")]
    Decode,
    /// The browser does not support the MIME type, or media was appended and no frame was presented.
    #[error("no picture comes of what the browser was given")]
    NoPicture,
}

/// The response to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// A new MediaSource, fed over the current connection.
    Rebuild,
    /// A new MediaSource and a new connection.
    Reconnect,
    /// Another codec: the browser cannot decode the current one.
    NextCodec,
}

/// Remembers the last failure.
#[derive(Debug, Clone, Default)]
pub struct Ladder {
    last: Option<(std::mem::Discriminant<Trouble>, Moment)>,
}

impl Ladder {
    /// Returns the response to a failure.
    pub fn climb(&mut self, trouble: &Trouble, now: Moment) -> Repair {
        let kind = std::mem::discriminant(trouble);
        let last = self.last.replace((kind, now));
        let again = last.is_some_and(|(last, at)| last == kind && now.ms_since(at) < SOON_MS);
        let repair = match (trouble, again) {
            (Trouble::NoPicture, _) | (Trouble::Decode, true) => Repair::NextCodec,
            (Trouble::Stalled | Trouble::Refused(_), true) => Repair::Reconnect,
            (Trouble::Reclaimed, _) | (_, false) => Repair::Rebuild,
        };
        if repair == Repair::NextCodec {
            self.last = None; // another codec starts with no failures
        }
        repair
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Repair::{NextCodec, Rebuild, Reconnect};

    fn climb(steps: &[(Trouble, f64)]) -> Vec<Repair> {
        let mut ladder = Ladder::default();
        steps.iter().map(|(trouble, ms)| ladder.climb(trouble, Moment::from_ms(*ms))).collect()
    }

    #[test]
    fn two_quick_decode_errors_mean_another_codec_and_one_does_not() {
        let decode = |ms| (Trouble::Decode, ms);
        assert_eq!(
            climb(&[decode(0.0), decode(SOON_MS), decode(SOON_MS + 2000.0), decode(SOON_MS + 3000.0)]),
            [Rebuild, Rebuild, NextCodec, Rebuild],
            "the first was long ago, and the new codec counts anew"
        );
        assert_eq!(climb(&[(Trouble::NoPicture, 0.0)]), [NextCodec]);
    }

    #[test]
    fn what_a_new_media_source_does_not_mend_a_new_connection_may() {
        let refused = || Trouble::Refused("InvalidStateError".into());
        assert_eq!(climb(&[(Trouble::Stalled, 0.0), (Trouble::Stalled, 5000.0)]), [Rebuild, Reconnect]);
        assert_eq!(climb(&[(refused(), 0.0), (refused(), 1.0), (refused(), 2.0)]), [Rebuild, Reconnect, Reconnect]);
        assert_eq!(climb(&[(refused(), 0.0), (Trouble::Decode, 1.0)]), [Rebuild, Rebuild], "two causes");
        assert_eq!(climb(&[(Trouble::Reclaimed, 0.0), (Trouble::Reclaimed, 1.0)]), [Rebuild, Rebuild]);
    }
}
