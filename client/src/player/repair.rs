//! What to do when playing fails, the cheapest first.
//!
//! | trouble | first | again soon |
//! | --- | --- | --- |
//! | the picture stands still though media is there, and seeking has not helped | a new MediaSource on the same connection | a new connection |
//! | the browser took the MediaSource away | a new MediaSource on the same connection | the same |
//! | the browser refused what it was given | a new MediaSource on the same connection | a new connection |
//! | an error of decoding | a new MediaSource on the same connection | another codec |
//! | media is there and no picture ever comes of it | another codec | another codec |
//!
//! One decode error happens to any player (a damaged frame, a driver that resets). Two in short order, or no picture at
//! all, mean that the browser promised more than it can do. Holes and stalls are mended before any of this, by
//! [`edge`](super::edge).

use crate::time::Moment;

/// Troubles closer than this have one cause.
const SOON_MS: f64 = 10_000.0;

/// How playing failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The playhead does not move in spite of repairs, with media ahead of it; or it does and no frame is shown.
    #[error("the picture stands still though media is there")]
    Stalled,
    /// The browser closed the MediaSource: the page was frozen, or the system wanted its memory.
    #[error("the browser took the media source away")]
    Reclaimed,
    /// An operation was refused, other than for want of room.
    #[error("the browser refused what it was given: {0}")]
    Refused(String),
    /// `MEDIA_ERR_DECODE`, `MEDIA_ERR_SRC_NOT_SUPPORTED`, or an error of the SourceBuffer.
    #[error("the browser failed to decode")]
    Decode,
    /// Media is there and no picture came of it.
    #[error("no picture comes of what the browser was given")]
    NoPicture,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// A new MediaSource, fed over the connection that stands.
    Rebuild,
    /// A new MediaSource and a new connection.
    Reconnect,
    /// The browser cannot decode what it is sent: something else has to be sent.
    NextCodec,
}

/// Remembers the last trouble.
#[derive(Debug, Clone, Default)]
pub struct Ladder {
    last: Option<(std::mem::Discriminant<Trouble>, Moment)>,
}

impl Ladder {
    /// Playing failed: what to do.
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
            self.last = None; // another codec starts with a clean record
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
