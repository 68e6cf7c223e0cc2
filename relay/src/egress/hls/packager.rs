//! A packager: the [`Window`] of one rendition, and the task that fills it while there are requests.
//!
//! An HLS viewer has no connection, only requests. Each request takes a [`Lease`]; the first one starts the task. The task
//! subscribes to the rendition once for all viewers. Some seconds after the last lease it unsubscribes and drops the window. A
//! viewer that has left costs nothing, and a new viewer costs as much as a returning one.
//!
//! The packager of audio also advances with each frame of the leading window ([`AudioFeed`]).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sightline_protocol::message::TrackKind;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::audio::AudioFeed;
use super::lead::{Lead, MediaTime};
use super::window::{SequenceNumbers, Window};
use crate::clock;
use crate::hub::rendition::{ClientGuard, Event, Protocol, Purpose, Rendition, Status, Subscription};
use crate::hub::ring::Step;

/// Time that a window outlasts the last request, in addition to one and a half target durations, within which a player reloads.
const GRACE: Duration = Duration::from_secs(5);
/// The same time while the target duration is unknown.
const GRACE_AT_START: Duration = Duration::from_secs(10);
/// Media sequence numbers start at this multiple of the seconds since the Unix epoch. Segments are too long for the numbers to
/// grow faster, so a later window starts with higher ones, also after a restart of the relay.
const NUMBERS_PER_SECOND: u64 = 2;

/// Maximum of clients that a packager remembers while it runs. They decide for which client an encoder counts, and one with
/// encoders left is enough.
const CLIENTS_MAX: usize = 16;

/// Why a request did not get what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitError {
    /// It did not arrive in time.
    Late,
    /// The relay is stopping.
    Stopping,
}

/// The state that requests read.
#[derive(Debug, Default)]
pub(super) struct PackagerState {
    /// `None` while there are no requests.
    pub(super) window: Option<Window>,
    /// The source's status.
    pub(super) status: Status,
    /// The time of the last fragment.
    pub(super) last_fragment: Option<Instant>,
    /// Requests in progress.
    leases: usize,
    /// The end of the last request.
    last_request: Option<Instant>,
    running: bool,
    /// Clients that requested the playlist, at most [`CLIENTS_MAX`].
    clients: Vec<ClientGuard>,
    /// The first numbers of the next window.
    numbers: SequenceNumbers,
    /// What waits for the leading window, of a packager of audio.
    audio: AudioFeed,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Packager {
    rendition: Arc<Rendition>,
    /// The packager of `copy`; its window leads this one's. `None` for that packager itself.
    leader: Option<Arc<Packager>>,
    /// Maximum bytes of the window.
    limit: usize,
    shutdown: CancellationToken,
    state: Mutex<PackagerState>,
    changed: watch::Sender<()>,
    /// Notified of each fragment, for the packager of audio.
    advanced: watch::Sender<()>,
}

/// A request in progress. Dropping it ends the request.
#[derive(Debug)]
#[must_use = "dropping it ends the lease"]
pub(super) struct Lease {
    packager: Arc<Packager>,
    /// Whether it belongs to a packager that this one leads, and not to a request.
    leads: bool,
}

impl Packager {
    /// An idle packager. Its window will hold at most `limit` bytes and follow that of `leader`.
    pub(super) fn new(
        rendition: Arc<Rendition>,
        leader: Option<Arc<Self>>,
        limit: usize,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let (changed, advanced) = (watch::Sender::new(()), watch::Sender::new(()));
        Arc::new(Self { rendition, leader, limit, shutdown, state: Mutex::default(), changed, advanced })
    }

    /// Starts the packager if it is idle, and keeps it running for the request and some seconds more.
    pub(super) fn lease(self: &Arc<Self>) -> Lease {
        self.acquire(false, None)
    }

    /// The same for a request of `client` for the playlist.
    pub(super) fn lease_for(self: &Arc<Self>, client: Option<IpAddr>) -> Lease {
        self.acquire(false, Some(client))
    }

    fn acquire(self: &Arc<Self>, leads: bool, client: Option<Option<IpAddr>>) -> Lease {
        let mut state = self.lock();
        state.leases += 1;
        if let Some(client) = client.filter(|_| state.clients.len() < CLIENTS_MAX)
            && !state.clients.iter().any(|known| known.client() == client)
        {
            state.clients.push(self.rendition.add_client(client));
            if matches!(state.status, Status::Offline { .. }) {
                // The encoder may have been refused for the other clients only.
                state.status = self.rendition.status();
            }
        }
        if !state.running {
            state.running = true;
            let SequenceNumbers { msn: used, discontinuity } = state.numbers;
            let msn = match self.rendition.kind() {
                TrackKind::Video => (clock::now().as_secs() * NUMBERS_PER_SECOND).max(used),
                // The numbers of the video, which may be below the clock's.
                TrackKind::Audio => used,
            };
            state.window = Some(Window::new(self.limit, SequenceNumbers { msn, discontinuity }).led_from(used));
            (state.status, state.last_fragment) = (Status::Starting, None);
            let run = PackagerTask { packager: self.clone(), stopped: false };
            tokio::spawn(run.run());
        }
        Lease { packager: self.clone(), leads }
    }

    /// Reads the state.
    pub(super) fn read<T>(&self, read: impl FnOnce(&PackagerState) -> T) -> T {
        read(&self.lock())
    }

    /// The leading window's position at `time`. Locks the leader while this packager is locked, never the other way round.
    fn lead(&self, time: MediaTime) -> Lead {
        let Some(leader) = &self.leader else { return Lead::None };
        leader.read(|state| state.window.as_ref().map_or(Lead::None, |window| window.lead_at(time)))
    }

    fn take(&self, event: Event, subscription: &mut Subscription) {
        let mut state = self.lock();
        let changed = match event {
            Event::Step(Step::Pending) => false,
            Event::Step(step) => {
                let is_fragment = matches!(step, Step::Fragment(_));
                if is_fragment {
                    state.last_fragment = Some(Instant::now());
                }
                let changed = match self.rendition.kind() {
                    TrackKind::Video => self.take_video(&mut state, step, subscription),
                    TrackKind::Audio => self.take_audio(&mut state, step, subscription),
                };
                drop(state);
                if is_fragment {
                    self.advanced.send_replace(());
                }
                changed
            }
            Event::Status(status) => {
                state.status = status;
                drop(state);
                true
            }
        };
        if changed {
            self.changed.send_replace(());
        }
    }

    /// Takes an item of the ring. Returns whether requests may be answered.
    fn take_video(&self, state: &mut PackagerState, step: Step, subscription: &mut Subscription) -> bool {
        let Some(window) = state.window.as_mut() else { return false };
        match step {
            Step::Init(init) => {
                // Starts with the oldest key frame, not the newest: a playlist should be long.
                subscription.start_at(init.timeline, Duration::ZERO);
                window.start_epoch(init);
                true
            }
            Step::Fragment(fragment) => window.push(fragment, clock::now().as_secs_f64(), |time| self.lead(time)),
            Step::Overrun(lost) => {
                debug!(rendition = self.rendition.label(), lost, "HLS packager fell behind the ring");
                window.lost();
                true
            }
            Step::Pending => false,
        }
    }

    /// The same for audio.
    fn take_audio(&self, state: &mut PackagerState, step: Step, subscription: &mut Subscription) -> bool {
        match step {
            Step::Init(init) => {
                subscription.start_at(init.timeline, Duration::ZERO);
                state.audio.start_epoch(init);
            }
            Step::Fragment(fragment) => state.audio.push(fragment),
            // A new encoder sends the seconds before a viewer came faster than they can be read: starts with what is left.
            Step::Overrun(_) if state.window.as_ref().is_some_and(|window| window.durations().is_none()) => {
                state.audio = AudioFeed::default();
                subscription.rewind();
            }
            Step::Overrun(lost) => {
                debug!(rendition = self.rendition.label(), lost, "HLS packager fell behind the ring");
            }
            Step::Pending => {}
        }
        self.advance(state)
    }

    /// Brings the window of audio up to the video. Returns whether new media is available.
    fn advance(&self, state: &mut PackagerState) -> bool {
        let (Some(leader), Some(window)) = (&self.leader, &mut state.window) else { return false };
        let (audio, now) = (&mut state.audio, clock::now().as_secs_f64());
        leader.read(|led| led.window.as_ref().is_some_and(|led| audio.advance(window, led, now)))
    }

    /// The leading window has a new frame.
    fn follow(&self) {
        let changed = self.advance(&mut self.lock());
        if changed {
            self.changed.send_replace(());
        }
    }

    /// The time at which the packager becomes idle. `None` during a request.
    fn idle_at(&self) -> Option<Instant> {
        let state = self.lock();
        let durations = state.window.as_ref().and_then(Window::durations);
        let reload = |durations: super::target_duration::TargetDurations| {
            Duration::from_secs(u64::from(durations.target_duration)) * 3 / 2
        };
        let grace = durations.map_or(GRACE_AT_START, |durations| GRACE + reload(durations));
        state.last_request.filter(|_| state.leases == 0).map(|last_request| last_request + grace)
    }

    // A panic while the lock was held leaves at worst a window without one part, which viewers can still read.
    fn lock(&self) -> MutexGuard<'_, PackagerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Waits until `read` returns a value, at most until `limit`.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub(super) async fn until<T>(
        &self,
        limit: Instant,
        mut read: impl FnMut(&PackagerState) -> Option<T>,
    ) -> Result<T, WaitError> {
        let mut changed = self.packager.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = self.packager.read(&mut read) {
                return Ok(found);
            }
            tokio::select! {
                // Cannot fail: the sender lives in the packager.
                changed = timeout_at(limit, changed.changed()) => if changed.is_err() {
                    return Err(WaitError::Late);
                },
                () = self.packager.shutdown.cancelled() => return Err(WaitError::Stopping),
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.packager.lock();
        state.leases -= 1;
        // The packager that was led has already waited for another request.
        let now = Instant::now();
        state.last_request = if self.leads { state.last_request.or(Some(now)) } else { Some(now) };
    }
}

/// The task that fills a packager. When it ends in any way, the packager is idle.
struct PackagerTask {
    packager: Arc<Packager>,
    /// Whether the packager is idle already, and may have been restarted.
    stopped: bool,
}

impl PackagerTask {
    async fn run(mut self) {
        let packager = self.packager.clone();
        let _leader_lease = packager.leader.as_ref().map(|leader| leader.acquire(true, None));
        let follows = packager.leader.as_ref().filter(|_| packager.rendition.kind() == TrackKind::Audio);
        let mut advanced = follows.map(|leader| leader.advanced.subscribe());
        let mut subscription = packager.rendition.subscribe(Purpose::View(Protocol::Hls));
        info!(rendition = packager.rendition.label(), "HLS started");
        let status = subscription.current_status();
        packager.take(Event::Status(status), &mut subscription);
        loop {
            let idle_at = packager.idle_at();
            let now = Instant::now();
            if idle_at.is_some_and(|at| at <= now) && self.stop() {
                break;
            }
            tokio::select! {
                event = subscription.event() => packager.take(event, &mut subscription),
                () = next_frame(advanced.as_mut()) => packager.follow(),
                // During a request, any time is suitable for the next check.
                () = sleep_until(idle_at.unwrap_or(now + GRACE)) => {}
                () = packager.shutdown.cancelled() => break,
            }
        }
        info!(rendition = packager.rendition.label(), "HLS stopped");
    }

    /// Makes the packager idle unless there is a new request.
    fn stop(&mut self) -> bool {
        let mut state = self.packager.lock();
        if state.leases == 0 {
            state.stop();
            self.stopped = true;
        }
        self.stopped
    }
}

/// Waits for a frame of the leading window. Pending without one. Cancel-safe.
async fn next_frame(advanced: Option<&mut watch::Receiver<()>>) {
    match advanced {
        // Cannot fail: the packager holds its leader.
        Some(advanced) => {
            let _ = advanced.changed().await;
        }
        None => std::future::pending().await,
    }
}

impl Drop for PackagerTask {
    fn drop(&mut self) {
        if !self.stopped {
            self.packager.lock().stop();
        }
    }
}

impl PackagerState {
    fn stop(&mut self) {
        self.running = false;
        self.clients.clear();
        self.audio = AudioFeed::default();
        if let Some(window) = self.window.take() {
            self.numbers = window.numbers();
        }
    }
}

#[cfg(test)]
mod tests;
