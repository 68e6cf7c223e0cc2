//! Decides when to tell the relay the size of the video on the page. Pure.

use sightline_protocol::message::Size;

/// The size of a video that is not on the page.
const HIDDEN: Size = Size { width: 0, height: 0 };

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct SizeReport {
    /// The size that the relay knows. None before `play`.
    known: Option<Size>,
    /// The size at the last check. While the page arranges its tiles, sizes change.
    last: Option<Size>,
}

impl SizeReport {
    /// Records the size in a `play` message.
    pub(super) fn told(&mut self, size: Size) {
        self.known = Some(size);
    }

    /// Handles a check. Returns the size to tell, if it has changed and was the same at the last check.
    pub(super) fn check(&mut self, size: Size) -> Option<Size> {
        let stays = self.last.replace(size) == Some(size);
        let is_news = stays && size != HIDDEN && self.known.is_some_and(|known| known != size);
        is_news.then(|| *self.known.insert(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size { width: 320, height: 180 };
    const LARGE: Size = Size { width: 1920, height: 1080 };

    #[test]
    fn changed_size_is_told_once_it_stays() {
        let mut report = SizeReport::default();
        assert_eq!((report.check(LARGE), report.check(LARGE)), (None, None), "`play` comes first");
        report.told(SMALL);
        assert_eq!(report.check(SMALL), None);
        let between = Size { width: 700, height: 400 };
        let told = [between, LARGE, LARGE, LARGE, SMALL, LARGE].map(|size| report.check(size));
        assert_eq!(told, [None, None, Some(LARGE), None, None, None]);
    }

    #[test]
    fn hidden_video_keeps_its_size() {
        let mut report = SizeReport::default();
        report.told(HIDDEN);
        assert_eq!((report.check(SMALL), report.check(SMALL)), (None, Some(SMALL)));
        assert_eq!((report.check(HIDDEN), report.check(HIDDEN)), (None, None));
    }
}
