//! Decides the response to a QuotaExceededError.
//!
//! The player retries the same append after each eviction, at most three times. A browser that still refuses has room for less
//! than one GOP of this stream.

/// The response to a QuotaExceededError.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Remove played media up to the current GOP.
    EvictPlayed,
    /// Seek to the newest key frame and remove everything before it.
    EvictToNewestKeyframe,
    /// Start over with an empty buffer.
    GiveUp,
}

/// Counts the refusals of one append.
#[derive(Debug, Clone, Default)]
pub struct Quota {
    refusals: u8,
}

impl Quota {
    /// Handles a refused append.
    pub fn refused(&mut self) -> Answer {
        self.refusals = self.refusals.saturating_add(1);
        match self.refusals {
            1 => Answer::EvictPlayed,
            2 | 3 => Answer::EvictToNewestKeyframe,
            _ => Answer::GiveUp,
        }
    }

    /// Handles an accepted append.
    pub fn accepted(&mut self) {
        self.refusals = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn append_is_retried_three_times() {
        let mut quota = Quota::default();
        let answers: Vec<_> = (0..5).map(|_| quota.refused()).collect();
        assert_eq!(answers[0], Answer::EvictPlayed);
        assert_eq!(answers[1..3], [Answer::EvictToNewestKeyframe; 2]);
        assert_eq!(answers[3..], [Answer::GiveUp; 2]);
    }

    #[test]
    fn each_append_has_its_own_retries() {
        let mut quota = Quota::default();
        quota.refused();
        quota.refused();
        quota.accepted();
        assert_eq!(quota.refused(), Answer::EvictPlayed);
    }
}
