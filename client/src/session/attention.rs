//! Whether anybody can see the picture. What nobody can see need not be sent, nor decoded.

use crate::time::Moment;

/// Out of sight for this long before the stream is paused: somebody who scrolls past or changes tabs and back finds it
/// running.
const GRACE_MS: f64 = 2_000.0;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    /// The page is visible, or the picture floats above all pages.
    page: bool,
    /// The tile is on the part of the page that can be seen.
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
    /// The page is visible or not.
    pub(super) fn page(&mut self, visible: bool) {
        self.page = visible;
    }

    /// The tile is on screen or not.
    pub(super) fn tile(&mut self, on_screen: bool) {
        self.tile = on_screen;
    }

    /// Whether it is watched.
    pub(super) fn watched(&self) -> bool {
        self.watched
    }

    /// Whether it is watched from `now` on, if that is news: at once when it comes into sight, after some time out of it.
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
