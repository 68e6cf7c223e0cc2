//! Limits how often the log repeats a line. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Minimum interval between two lines about one cause.
pub(crate) const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The time of the last line about one cause.
#[derive(Debug, Default)]
pub(crate) struct LogInterval {
    logged: Option<Instant>,
}

impl LogInterval {
    /// Whether a line at `now` is written. If so, the next one is due after [`LOG_INTERVAL`].
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.logged.is_none_or(|logged| now >= logged + LOG_INTERVAL);
        if due {
            self.logged = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lasting_error_is_logged_once_a_minute() {
        let (mut interval, begun) = (LogInterval::default(), Instant::now());
        let lines = (0..1200).filter(|&tick| interval.is_due(begun + Duration::from_millis(100) * tick)).count();
        assert_eq!(lines, 2);
    }
}
