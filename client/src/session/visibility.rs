//! Decides whether the video is visible. An invisible video needs no media and no decoding.

use crate::time::Moment;

/// Delay from invisible to paused: a user who scrolls past, or switches tabs and back, finds the stream running.
const GRACE_MS: f64 = 2_000.0;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Visibility {
    /// The page is visible, or the video is in a picture-in-picture window.
    page: bool,
    /// The tile is within the viewport.
    tile: bool,
    unseen_since: Option<Moment>,
    visible: bool,
}

impl Default for Visibility {
    fn default() -> Self {
        Self { page: true, tile: true, unseen_since: None, visible: true }
    }
}

impl Visibility {
    /// Sets the page's visibility.
    pub(super) fn set_page_visible(&mut self, visible: bool) {
        self.page = visible;
    }

    /// Sets whether the tile is within the viewport.
    pub(super) fn set_tile_visible(&mut self, on_screen: bool) {
        self.tile = on_screen;
    }

    /// Whether the video counts as visible.
    pub(super) fn is_visible(&self) -> bool {
        self.visible
    }

    /// Returns the visibility from `now` on, when it changes: at once to visible, after the delay to invisible.
    pub(super) fn poll(&mut self, now: Moment) -> Option<bool> {
        if self.page && self.tile {
            self.unseen_since = None;
            return (!std::mem::replace(&mut self.visible, true)).then_some(true);
        }
        let since = *self.unseen_since.get_or_insert(now);
        (now.ms_since(since) >= GRACE_MS && std::mem::replace(&mut self.visible, false)).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    #[test]
    fn invisible_tile_pauses_after_the_grace_and_resumes_at_once() {
        let mut visibility = Visibility::default();
        assert_eq!(visibility.poll(at(0.0)), None);
        visibility.set_tile_visible(false);
        assert_eq!(visibility.poll(at(1.0)), None);
        assert_eq!(visibility.poll(at(GRACE_MS)), None);
        assert_eq!(visibility.poll(at(GRACE_MS + 1.0)), Some(false));
        assert_eq!(visibility.poll(at(GRACE_MS + 2.0)), None, "said once");
        visibility.set_page_visible(false);
        visibility.set_tile_visible(true);
        assert_eq!(visibility.poll(at(9_000.0)), None, "now the page is hidden");
        visibility.set_page_visible(true);
        assert_eq!((visibility.poll(at(9_001.0)), visibility.is_visible()), (Some(true), true));
    }

    #[test]
    fn short_invisibility_changes_nothing() {
        let mut visibility = Visibility::default();
        for n in 0..10 {
            visibility.set_page_visible(n % 2 == 0);
            assert_eq!(visibility.poll(at(f64::from(n) * (GRACE_MS - 1.0))), None);
        }
    }
}
