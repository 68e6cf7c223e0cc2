//! Decides when the page hides its controls: a while after the last input. Pure: time and pointer positions go in.

use crate::time::Moment;

/// Without input for this long, controls and cursor hide. Video players wait two to four seconds.
const HIDE_AFTER_MS: f64 = 3_000.0;

/// The action when the timer fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Hide the controls.
    Hide,
    /// Check again after this many milliseconds.
    LookAfter(f64),
}

/// The time of the last input.
#[derive(Debug, Clone, Copy)]
pub struct Activity {
    last: Moment,
    pointer: Option<(i32, i32)>,
}

impl Activity {
    /// A page that has just been opened counts as active.
    pub fn new(now: Moment) -> Self {
        Self { last: now, pointer: None }
    }

    /// Handles a key, a button or the wheel.
    pub fn pressed(&mut self, now: Moment) {
        self.last = now;
    }

    /// Handles the pointer's position on the screen. Returns whether it moved: browsers also report a resting pointer when the
    /// page moves below it, or when the cursor changes its shape.
    pub fn pointed(&mut self, at: (i32, i32), now: Moment) -> bool {
        let moved = self.pointer.replace(at) != Some(at);
        if moved {
            self.last = now;
        }
        moved
    }

    /// Handles the timer. `held` is whether something on the page must stay visible: an open menu, a control with keyboard
    /// focus.
    pub fn look(&self, held: bool, now: Moment) -> Next {
        match HIDE_AFTER_MS - now.ms_since(self.last) {
            _ if held => Next::LookAfter(HIDE_AFTER_MS),
            // A timer may fire a fraction of a millisecond early.
            left if left < 1.0 => Next::Hide,
            left => Next::LookAfter(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    #[test]
    fn controls_hide_three_seconds_after_the_last_input() {
        let mut activity = Activity::new(at(0.0));
        assert_eq!(activity.look(false, at(2_000.0)), Next::LookAfter(1_000.0));
        activity.pressed(at(2_500.0));
        assert_eq!(activity.look(false, at(3_000.0)), Next::LookAfter(2_500.0));
        assert_eq!(activity.look(false, at(5_499.5)), Next::Hide);
    }

    #[test]
    fn resting_pointer_is_no_input() {
        let mut activity = Activity::new(at(0.0));
        assert!(activity.pointed((10, 10), at(1_000.0)));
        assert!(!activity.pointed((10, 10), at(3_500.0)));
        assert_eq!(activity.look(false, at(4_000.0)), Next::Hide);
        assert!(activity.pointed((10, 11), at(4_500.0)));
        assert_eq!(activity.look(false, at(5_000.0)), Next::LookAfter(2_500.0));
    }

    #[test]
    fn open_menu_keeps_controls() {
        let activity = Activity::new(at(0.0));
        assert_eq!(activity.look(true, at(60_000.0)), Next::LookAfter(HIDE_AFTER_MS));
        assert_eq!(activity.look(false, at(63_000.0)), Next::Hide);
    }
}
