//! When failures to decode mean that this browser needs another variant.
//!
//! One decode error happens to any player (a damaged frame, a driver that resets) and is mended by starting over. Two
//! in short order, or no picture at all from data that is there, mean that the browser promised more than it can do.

use crate::time::Moment;

/// Two errors closer than this are one cause.
const WINDOW_MS: f64 = 10_000.0;

/// How playing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The browser reported an error of the media (`MEDIA_ERR_DECODE` or `MEDIA_ERR_SRC_NOT_SUPPORTED`).
    Decode,
    /// Data is there and no picture came of it.
    NoPicture,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start over with the same variant.
    StartOver,
    /// This browser cannot decode this variant.
    Undecodable,
}

/// Remembers the last decode error.
#[derive(Debug, Clone, Default)]
pub struct Fallback {
    last: Option<Moment>,
}

impl Fallback {
    /// Playing failed.
    pub fn judge(&mut self, failure: Failure, now: Moment) -> Verdict {
        let last = self.last.replace(now);
        let repeated = last.is_some_and(|last| now.ms_since(last) < WINDOW_MS);
        if failure == Failure::NoPicture || repeated {
            self.last = None;
            return Verdict::Undecodable;
        }
        Verdict::StartOver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_quick_errors_are_a_verdict_and_one_is_not() {
        let mut fallback = Fallback::default();
        let at = Moment::from_ms;
        assert_eq!(fallback.judge(Failure::Decode, at(0.0)), Verdict::StartOver);
        assert_eq!(fallback.judge(Failure::Decode, at(WINDOW_MS)), Verdict::StartOver, "long ago");
        assert_eq!(fallback.judge(Failure::Decode, at(WINDOW_MS + 2000.0)), Verdict::Undecodable);
        assert_eq!(fallback.judge(Failure::Decode, at(WINDOW_MS + 3000.0)), Verdict::StartOver, "counted anew");
    }

    #[test]
    fn no_picture_at_all_needs_no_second_try() {
        assert_eq!(Fallback::default().judge(Failure::NoPicture, Moment::from_ms(0.0)), Verdict::Undecodable);
    }
}
