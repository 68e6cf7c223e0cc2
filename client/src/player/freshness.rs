//! Whether what is on screen is still being renewed. A still picture looks just like a live one.
//!
//! Two things stand still: the playhead, where media is missing; or the frames alone, while the playhead goes on, where a
//! browser's decoder or its way to the screen has died without a word.

use crate::time::Moment;

/// A playhead that has not moved on for this long shows an old picture. Cameras at one frame a second do not.
const STALE_MS: f64 = 2_000.0;
/// The same of the frames: decoders that start, and seeks into a long GOP, take their time.
const FROZEN_MS: f64 = 4_000.0;
/// So many frames must have been there to be shown meanwhile: one that lasts for seconds, of a slow camera or before a gap, is
/// shown for as long as it lasts.
const DUE: u64 = 10;

/// What the video looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Its `currentTime`.
    pub position: f64,
    /// Its count of frames; always zero where a browser does not count.
    pub shown: u32,
    /// How many frames it has been given; none where that is not known, and they come without gaps.
    pub given: Option<u64>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    /// The last look at which the playhead was not where it was before, and when that was.
    moved: Option<(f64, Moment)>,
    /// The same of the frames.
    renewed: Option<(Look, Moment)>,
    stale: bool,
    frozen: bool,
}

impl Freshness {
    /// The video looks so; none while nothing is to be seen (a hidden page, no picture yet). Returns whether the picture is
    /// old, when that has changed.
    pub fn look(&mut self, look: Option<Look>, now: Moment) -> Option<bool> {
        let stale = match look {
            Some(look) => {
                let stands = self.stands(look.position, now);
                self.frozen = self.freezes(look, now);
                stands || self.frozen
            }
            None => {
                (self.moved, self.renewed, self.frozen) = (None, None, false);
                false
            }
        };
        (std::mem::replace(&mut self.stale, stale) != stale).then_some(stale)
    }

    /// Whether the picture was old at the last look.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether no frame was shown for long at the last look, though there were some to show.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn stands(&mut self, position: f64, now: Moment) -> bool {
        match self.moved {
            Some((last, at)) if position == last => now.ms_since(at) >= STALE_MS,
            _ => {
                self.moved = Some((position, now));
                false
            }
        }
    }

    fn freezes(&mut self, look: Look, now: Moment) -> bool {
        match self.renewed {
            Some((last, at)) if look.shown == last.shown && look.shown > 0 => {
                let due = look.given.zip(last.given).is_none_or(|(now, then)| now.saturating_sub(then) >= DUE);
                // A playhead that stands still has another cause, and its own remedy.
                due && look.position != last.position && now.ms_since(at) >= FROZEN_MS
            }
            _ => {
                self.renewed = Some((look, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    /// Of a browser that does not count frames.
    fn place(position: f64) -> Option<Look> {
        Some(Look { position, shown: 0, given: None })
    }

    #[test]
    fn a_playhead_that_stands_still_shows_an_old_picture_until_it_moves() {
        let mut freshness = Freshness::default();
        assert_eq!(freshness.look(place(1.0), at(0.0)), None);
        assert_eq!(freshness.look(place(1.0), at(STALE_MS - 1.0)), None);
        assert!(!freshness.is_stale());
        assert_eq!(freshness.look(place(1.0), at(STALE_MS)), Some(true));
        assert!(freshness.is_stale() && !freshness.is_frozen());
        assert_eq!(freshness.look(place(1.0), at(STALE_MS + 250.0)), None, "said once");
        assert_eq!(freshness.look(place(1.04), at(STALE_MS + 500.0)), Some(false));
    }

    #[test]
    fn a_hidden_page_is_not_held_against_the_picture() {
        let mut freshness = Freshness::default();
        freshness.look(place(1.0), at(0.0));
        freshness.look(None, at(60_000.0));
        assert_eq!(freshness.look(place(1.0), at(60_001.0)), None);
    }

    /// Looks every 250 ms at a playhead that moves on, with these counts of shown and given frames.
    fn goes_on(counts: impl Fn(u32) -> (u32, Option<u64>)) -> (Vec<(u32, bool)>, bool) {
        let (mut freshness, mut told) = (Freshness::default(), Vec::new());
        for quarter in 0..60 {
            let (shown, given) = counts(quarter);
            let look = Look { position: f64::from(quarter) / 4.0, shown, given };
            told.extend(freshness.look(Some(look), at(f64::from(quarter) * 250.0)).map(|stale| (quarter, stale)));
        }
        (told, freshness.is_frozen())
    }

    #[test]
    fn frames_that_stand_still_while_the_playhead_goes_on_are_frozen() {
        let frozen = (vec![(16, true)], true);
        assert_eq!(goes_on(|quarter| (3, Some(u64::from(quarter)))), frozen);
        assert_eq!(goes_on(|_| (3, None)), frozen);
        assert_eq!(goes_on(|quarter| (3 + quarter / 30, None)).0, [(16, true), (30, false), (46, true)]);
    }

    #[test]
    fn a_frame_that_lasts_is_not_frozen() {
        assert_eq!(goes_on(|quarter| (1 + quarter / 20, Some(u64::from(quarter / 20)))), (vec![], false));
        assert_eq!(goes_on(|_| (0, None)), (vec![], false), "not counted");
    }
}
