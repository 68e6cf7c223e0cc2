//! Whether what is on screen is still being renewed. A still picture looks just like a live one.

use crate::time::Moment;

/// A picture that has not moved on for this long is old. Cameras at one frame a second are not.
const STALE_MS: f64 = 2_000.0;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    /// The last position that differed from the one before, and when it was reached.
    moved: Option<(f64, Moment)>,
    stale: bool,
}

impl Freshness {
    /// The playhead is at `position`; none while nothing is to be seen (a hidden page, no picture yet). Returns whether
    /// the picture is old, when that has changed.
    pub fn look(&mut self, position: Option<f64>, now: Moment) -> Option<bool> {
        let stale = match (position, self.moved) {
            (None, _) => {
                self.moved = None;
                false
            }
            (Some(position), Some((last, at))) if position == last => now.ms_since(at) >= STALE_MS,
            (Some(position), _) => {
                self.moved = Some((position, now));
                false
            }
        };
        (std::mem::replace(&mut self.stale, stale) != stale).then_some(stale)
    }

    /// Whether the picture was old at the last look.
    pub fn is_stale(&self) -> bool {
        self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    #[test]
    fn a_playhead_that_stands_still_shows_an_old_picture_until_it_moves() {
        let mut freshness = Freshness::default();
        assert_eq!(freshness.look(Some(1.0), at(0.0)), None);
        assert_eq!(freshness.look(Some(1.0), at(STALE_MS - 1.0)), None);
        assert!(!freshness.is_stale());
        assert_eq!(freshness.look(Some(1.0), at(STALE_MS)), Some(true));
        assert!(freshness.is_stale());
        assert_eq!(freshness.look(Some(1.0), at(STALE_MS + 250.0)), None, "said once");
        assert_eq!(freshness.look(Some(1.04), at(STALE_MS + 500.0)), Some(false));
    }

    #[test]
    fn a_hidden_page_is_not_held_against_the_picture() {
        let mut freshness = Freshness::default();
        freshness.look(Some(1.0), at(0.0));
        freshness.look(None, at(60_000.0));
        assert_eq!(freshness.look(Some(1.0), at(60_001.0)), None);
    }
}
