//! A reader of a rendition: its position in the ring, and the source's changes of status.

use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::message::GapReason;
use tokio::sync::watch;

use super::{ClientGuard, Purpose, Rendition, Status};
use crate::hub::ring::{Cursor, Step};

/// An event of a [`Subscription`].
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The next item of the ring; never [`Step::Pending`].
    Step(Step),
    /// The source's new status.
    Status(Status),
}

/// A subscription to a rendition with a position in its ring. Dropping it unsubscribes.
#[derive(Debug)]
#[must_use = "dropping it unsubscribes"]
pub struct Subscription {
    pub(super) rendition: Arc<Rendition>,
    pub(super) cursor: Cursor,
    pub(super) published: watch::Receiver<()>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) purpose: Purpose,
    /// The viewer's entry in [`Clients`].
    pub(super) client: Option<ClientGuard>,
}

impl Subscription {
    /// The rendition.
    pub fn rendition(&self) -> &Arc<Rendition> {
        &self.rendition
    }

    /// The next item of the ring, or [`Step::Pending`].
    pub fn step(&mut self) -> Step {
        let step = self.rendition.read().read(&mut self.cursor);
        if let Step::Overrun(lost) = step {
            self.skipped(lost, GapReason::Overrun);
        }
        step
    }

    /// Counts fragments that this viewer was not sent.
    fn skipped(&self, fragments: u64, why: GapReason) {
        if matches!(self.purpose, Purpose::View(_)) {
            self.rendition.stats.skip(fragments, why);
        }
    }

    /// The next item of the ring or the source's next change of status, whichever comes first. Cancel-safe.
    pub async fn event(&mut self) -> Event {
        loop {
            self.mark_seen();
            match self.step() {
                Step::Pending => {}
                step => return Event::Step(step),
            }
            if let Some(status) = self.status_change() {
                return Event::Status(status);
            }
            self.published().await;
        }
    }

    /// Marks all publications so far as seen. To be called before looking for them.
    pub fn mark_seen(&mut self) {
        self.published.mark_unchanged();
    }

    /// Waits for a publication since [`Self::mark_seen`]. A change of status is one too, so that a viewer waits for one channel.
    /// Cancel-safe.
    pub async fn published(&mut self) {
        // Cannot fail: the sender lives in `self.rendition`.
        let _ = self.published.changed().await;
    }

    /// The source's status, if it has changed since it was last seen.
    pub fn status_change(&mut self) -> Option<Status> {
        self.status.has_changed().unwrap_or(false).then(|| self.current_status())
    }

    /// Waits for the source's next change of status. Cancel-safe.
    pub async fn next_status(&mut self) -> Status {
        let _ = self.status.changed().await;
        self.current_status()
    }

    /// The source's status. Marks it as seen: [`Self::event`] returns later changes only.
    pub fn current_status(&mut self) -> Status {
        self.status.borrow_and_update().clone()
    }

    /// The duration of media between the cursor and the newest fragment.
    pub fn lag(&self) -> Duration {
        self.rendition.read().lag(&self.cursor)
    }

    /// Moves the cursor to the start position of a new reader: the init segment, then the newest key frame.
    pub fn rewind(&mut self) {
        self.cursor = Cursor::default();
    }

    /// Starts the epoch that has just begun at `time` of `timeline`, if the ring holds that time.
    pub fn start_at(&mut self, timeline: u32, time: Duration) {
        self.rendition.read().start_at(&mut self.cursor, timeline, time);
    }

    /// Moves the cursor to the newest key frame if its lag exceeds `tolerated`. Returns the number of skipped fragments, which
    /// count under `why`.
    pub fn skip_if_behind(&mut self, tolerated: Duration, why: GapReason) -> u64 {
        let ring = self.rendition.read();
        let skipped = if ring.lag(&self.cursor) > tolerated { ring.skip(&mut self.cursor) } else { 0 };
        drop(ring);
        self.skipped(skipped, why);
        skipped
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let purpose = self.purpose;
        self.rendition.update_subscribers(|subscribers| *subscribers.count(purpose) -= 1);
    }
}
