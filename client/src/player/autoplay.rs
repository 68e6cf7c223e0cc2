//! Decides when to call `play()`, and whether the browser requires a user gesture for it. Pure.

use crate::browser::error::DomError;
use crate::time::Moment;

/// Minimum interval between `play()` calls. A video that cannot play rejects at once; a new call on each rejection would block
/// the page's event loop.
const INTERVAL_MS: f64 = 1_000.0;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Autoplay {
    state: State,
    asked: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The result of `play()` is awaited.
    Asked,
    /// The browser requires a user gesture.
    TapNeeded,
    /// No result is awaited.
    Settled,
}

impl Autoplay {
    /// The state of a player that calls `play()` for the first time.
    pub fn new(now: Moment) -> Self {
        Self { state: State::Asked, asked: now }
    }

    /// Handles a call of `play()`.
    pub fn asked(&mut self, now: Moment) {
        *self = Self::new(now);
    }

    /// Handles the result of `play()`. Returns whether the browser requires a user gesture, if the result tells.
    pub fn settled(&mut self, result: &Result<(), DomError>) -> Option<bool> {
        let needed = matches!(result, Err(DomError::NotAllowed));
        // Other errors come from a source that was replaced or has failed: a later call is due.
        self.state = if needed { State::TapNeeded } else { State::Settled };
        (needed || result.is_ok()).then_some(needed)
    }

    /// Whether to call `play()` for a visible video that is paused.
    pub fn is_due(&self, now: Moment) -> bool {
        self.state == State::Settled && now.ms_since(self.asked) >= INTERVAL_MS
    }

    /// Whether the browser requires a user gesture.
    pub fn needs_tap(&self) -> bool {
        self.state == State::TapNeeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    #[test]
    fn call_is_repeated_after_an_interval_unless_a_gesture_is_needed() {
        let mut autoplay = Autoplay::new(at(0.0));
        assert!(!autoplay.is_due(at(5_000.0)), "its result is awaited");
        assert_eq!(autoplay.settled(&Err(DomError::Aborted)), None);
        assert!(!autoplay.is_due(at(999.0)) && autoplay.is_due(at(1_000.0)));
        autoplay.asked(at(1_000.0));
        assert_eq!((autoplay.settled(&Err(DomError::NotAllowed)), autoplay.needs_tap()), (Some(true), true));
        assert!(!autoplay.is_due(at(9_000.0)));
        autoplay.asked(at(9_000.0));
        assert_eq!((autoplay.settled(&Ok(())), autoplay.needs_tap()), (Some(false), false));
    }
}
