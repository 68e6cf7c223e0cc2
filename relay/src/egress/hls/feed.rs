//! A feed: the [`Window`] of one rendition, and the task that fills it while somebody asks.
//!
//! An HLS viewer has no connection: its requests are all there is of it. Each takes a [`Lease`], the first of which starts
//! the task; the task holds the rendition as one viewer, for all of them, and lets go of it and of the window some seconds
//! after the last lease. So a viewer that has gone costs nothing, however many there were, and one that has never been
//! seen before costs as much as one that comes back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::window::{Numbers, Window};
use crate::clock;
use crate::hub::rendition::{Event, Purpose, Rendition, Status, Subscription, Way};
use crate::hub::ring::Step;

/// How long a window outlasts the last request, beside one and a half target durations, within which a player reloads.
const GRACE: Duration = Duration::from_secs(5);
/// The same while it is not known how long segments are.
const GRACE_AT_START: Duration = Duration::from_secs(10);
/// Media sequence numbers begin at this many times the seconds since the Unix epoch. No segment is so short that they
/// would grow faster than that, so a later window begins with higher ones, also after the relay was started anew.
const NUMBERS_A_SECOND: u64 = 2;

/// Why a request was not answered with what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It did not come in time.
    Late,
    /// The relay is stopping.
    Stopping,
}

/// What a request looks at.
#[derive(Debug, Default)]
pub(super) struct State {
    /// None while nobody asks.
    pub(super) window: Option<Window>,
    /// What the source is doing.
    pub(super) status: Status,
    /// When the last fragment came.
    pub(super) fed: Option<Instant>,
    /// Requests under way.
    leases: usize,
    /// When the last one ended.
    released: Option<Instant>,
    running: bool,
    /// Where the next window may begin.
    numbers: Numbers,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Feed {
    rendition: Arc<Rendition>,
    /// Most bytes of the window.
    limit: usize,
    shutdown: CancellationToken,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

/// A request under way; dropping it ends that.
#[derive(Debug)]
#[must_use = "dropping it ends the lease"]
pub(super) struct Lease {
    feed: Arc<Feed>,
}

impl Feed {
    /// A feed at rest, whose window will hold at most `limit` bytes.
    pub(super) fn new(rendition: Arc<Rendition>, limit: usize, shutdown: CancellationToken) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), watch::Sender::new(()));
        Arc::new(Self { rendition, limit, shutdown, state, changed })
    }

    /// Keeps the feed alive for the time of a request and some seconds more, and starts it if it is at rest.
    pub(super) fn lease(self: &Arc<Self>) -> Lease {
        let mut state = self.lock();
        state.leases += 1;
        if !state.running {
            state.running = true;
            let msn = (clock::now().as_secs() * NUMBERS_A_SECOND).max(state.numbers.msn);
            let discontinuity = state.numbers.discontinuity;
            state.window = Some(Window::new(self.limit, Numbers { msn, discontinuity }));
            (state.status, state.fed) = (Status::Starting, None);
            let run = Run { feed: self.clone(), rests: false };
            tokio::spawn(run.run());
        }
        Lease { feed: self.clone() }
    }

    /// Looks at the state now.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    fn take(&self, event: Event, subscription: &mut Subscription) {
        let mut state = self.lock();
        let Some(window) = state.window.as_mut() else { return };
        let news = match event {
            Event::Step(Step::Init(init)) => {
                // Not from the newest key frame on but from the oldest: a list should be long.
                subscription.start_at(init.timeline, Duration::ZERO);
                window.start_epoch(init);
                true
            }
            Event::Step(Step::Fragment(fragment)) => {
                let news = window.push(fragment, clock::now().as_secs_f64());
                state.fed = Some(Instant::now());
                news
            }
            Event::Step(Step::Overrun(lost)) => {
                debug!(rendition = %self.rendition, lost, "HLS fell behind");
                window.lost();
                true
            }
            Event::Step(Step::Pending) => false,
            Event::Status(status) => {
                state.status = status;
                true
            }
        };
        drop(state);
        if news {
            self.changed.send_replace(());
        }
    }

    /// When the feed is to rest; none while a request is under way.
    fn rests_at(&self) -> Option<Instant> {
        let state = self.lock();
        let shape = state.window.as_ref().and_then(Window::shape);
        let reload = |shape: super::shape::Shape| Duration::from_secs(u64::from(shape.target_duration)) * 3 / 2;
        let grace = shape.map_or(GRACE_AT_START, |shape| GRACE + reload(shape));
        state.released.filter(|_| state.leases == 0).map(|released| released + grace)
    }

    // A panic while the lock was held leaves a window that is at worst a part short: reading on serves viewers.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Waits until `look` finds something in the state, at most until `limit`.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub(super) async fn until<T>(
        &self,
        limit: Instant,
        mut look: impl FnMut(&State) -> Option<T>,
    ) -> Result<T, Unanswered> {
        let mut changed = self.feed.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = self.feed.look(&mut look) {
                return Ok(found);
            }
            tokio::select! {
                // The sender lives in the feed: it cannot be gone.
                changed = timeout_at(limit, changed.changed()) => if changed.is_err() {
                    return Err(Unanswered::Late);
                },
                () = self.feed.shutdown.cancelled() => return Err(Unanswered::Stopping),
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        state.leases -= 1;
        state.released = Some(Instant::now());
    }
}

/// The task that fills a feed. However it ends, the feed is then at rest.
struct Run {
    feed: Arc<Feed>,
    /// Whether it is already, and may have been started anew.
    rests: bool,
}

impl Run {
    async fn run(mut self) {
        let feed = self.feed.clone();
        let mut subscription = feed.rendition.subscribe(Purpose::View(Way::Hls));
        info!(rendition = %feed.rendition, "HLS started");
        let status = subscription.current_status();
        feed.take(Event::Status(status), &mut subscription);
        loop {
            let rest = feed.rests_at();
            let now = Instant::now();
            if rest.is_some_and(|rest| rest <= now) && self.rest() {
                break;
            }
            tokio::select! {
                event = subscription.event() => feed.take(event, &mut subscription),
                // With a request under way, some time is as good as any other to look again.
                () = sleep_until(rest.unwrap_or(now + GRACE)) => {}
                () = feed.shutdown.cancelled() => break,
            }
        }
        info!(rendition = %feed.rendition, "HLS stopped");
    }

    /// Comes to rest, unless a request has come meanwhile.
    fn rest(&mut self) -> bool {
        let mut state = self.feed.lock();
        if state.leases == 0 {
            state.rest();
            self.rests = true;
        }
        self.rests
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.rests {
            self.feed.lock().rest();
        }
    }
}

impl State {
    fn rest(&mut self) {
        self.running = false;
        if let Some(window) = self.window.take() {
            self.numbers = window.numbers();
        }
    }
}

#[cfg(test)]
mod tests;
