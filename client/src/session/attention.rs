//! Decides whether the video is visible. An invisible video needs no media and no decoding.

use crate::time::Moment;

/// Delay from invisible to paused: a user who scrolls past, or switches tabs and back, finds the stream running.
const GRACE_MS: f64 = 2_000.0;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    /// The page is visible, or the video is in a picture-in-picture window.
    page: bool,
    /// The tile is within the viewport.
    tile: bool,
    unseen_since: Option<Moment>,
    watched: bool,
}

impl Default for Attention {
    fn default() -> Self {
        Self { page: true, tile: true, unseen_since: None, watched: true }
    }
}

impl Attention {
    /// Sets the page's visibility.
    pub(super) fn page(&mut self, visible: bool) {
        self.page = visible;
    }

    /// Sets whether the tile is within the viewport.
    pub(super) fn tile(&mut self, on_screen: bool) {
        self.tile = on_screen;
    }

    /// Whether the video counts as visible.
    pub(super) fn watched(&self) -> bool {
        self.watched
    }

    /// Returns the visibility from `now` on, when it changes: at once to visible, after the delay to invisible.
    pub(super) fn news(&mut self, now: Moment) -> Option<bool> {
        if self.page && self.tile {
            self.unseen_since = None;
            return (!std::mem::replace(&mut self.watched, true)).then_some(true);
        }
        let since = *self.unseen_since.get_or_insert(now);
        (now.ms_since(since) >= GRACE_MS && std::mem::replace(&mut self.watched, false)).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    #[test]
    fn what_is_out_of_sight_for_a_while_is_paused_and_resumes_at_once() {
        let mut attention = Attention::default();
        assert_eq!(attention.news(at(0.0)), None);
        attention.tile(false);
        assert_eq!(attention.news(at(1.0)), None);
        assert_eq!(attention.news(at(GRACE_MS)), None);
        assert_eq!(attention.news(at(GRACE_MS + 1.0)), Some(false));
        assert_eq!(attention.news(at(GRACE_MS + 2.0)), None, "said once");
        attention.page(false);
        attention.tile(true);
        assert_eq!(attention.news(at(9_000.0)), None, "now the page is hidden");
        attention.page(true);
        assert_eq!((attention.news(at(9_001.0)), attention.watched()), (Some(true), true));
    }

    #[test]
    fn a_glance_away_changes_nothing() {
        let mut attention = Attention::default();
        for n in 0..10 {
            attention.page(n % 2 == 0);
            assert_eq!(attention.news(at(f64::from(n) * (GRACE_MS - 1.0))), None);
        }
    }
}
