//! One variant of one stream, or its audio: its ring, what its source is doing, and who holds it.
//!
//! The ingest side publishes into it; viewers and transcoders hold a [`Subscription`] and read from it. A rendition
//! holds no list of its viewers, only their number: that is what starts and stops the source.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use sightline_protocol::catalogue::VariantInfo;
use sightline_protocol::message::{GapReason, OfflineReason, StreamState, TrackKind};
use sightline_protocol::stream::{StreamName, Variant};
use tokio::sync::watch;
use tokio::time::Instant;

use super::changes::Changes;
use super::ring::{Cursor, Limits, Ring, Step};
use crate::clock;
use crate::fmp4::Fragment;
use crate::fmp4::init::{InitSegment, PictureOrder};

pub use tally::{OnTheWay, Tally};

mod tally;

/// What the source of a rendition is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// Nobody watches; nothing runs.
    #[default]
    Idle,
    /// Started; no picture yet.
    Starting,
    /// Fragments arrive, and a reader that joins gets a picture at once.
    Live,
    /// Failed, and will be tried again.
    Offline {
        /// The kind of failure.
        reason: OfflineReason,
        /// One sentence for the person, without credentials.
        message: Arc<str>,
        /// When it will be tried again.
        retry_at: Instant,
    },
}

impl Status {
    /// The status as it goes over the wire at the time `now`.
    pub fn to_wire(&self, now: Instant) -> StreamState {
        match self {
            Self::Idle => StreamState::Idle,
            Self::Starting => StreamState::Starting,
            Self::Live => StreamState::Live,
            Self::Offline { reason, message, retry_at } => StreamState::Offline {
                reason: *reason,
                message: message.to_string(),
                retry_in_ms: retry_at.saturating_duration_since(now).as_millis() as u64,
            },
        }
    }
}

/// By which way somebody watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// WebSocket, `sightline.v1`.
    Mse,
    /// WebSocket without a subprotocol.
    Plain,
    /// WebRTC.
    WebRtc,
    /// HLS, all whose viewers hold a rendition together.
    Hls,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mse, Self::Plain, Self::WebRtc, Self::Hls];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::Plain => "plain",
            Self::WebRtc => "webrtc",
            Self::Hls => "hls",
        }
    }
}

/// Who holds a rendition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holders {
    viewers: [usize; Way::ALL.len()],
    /// Transcoders that read it.
    pub transcoders: usize,
}

impl Holders {
    /// Whether anybody does.
    pub fn any(self) -> bool {
        self.viewers() + self.transcoders > 0
    }

    /// Viewers.
    pub fn viewers(self) -> usize {
        self.viewers.iter().sum()
    }

    /// Viewers by that way.
    pub fn viewers_by(self, way: Way) -> usize {
        self.viewers[way as usize]
    }
}

/// What a [`Subscription`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody watches.
    View(Way),
    /// Another variant is made from it.
    Transcode,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Rendition {
    stream: StreamName,
    kind: TrackKind,
    variant: Variant,
    ring: RwLock<Ring>,
    /// Something was published, or the status has changed.
    published: watch::Sender<()>,
    status: watch::Sender<Status>,
    holders: watch::Sender<Holders>,
    changes: Changes,
    tally: Tally,
}

impl fmt::Display for Rendition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TrackKind::Video => write!(f, "{}/{}", self.stream, self.variant),
            TrackKind::Audio => write!(f, "{}/audio", self.stream),
        }
    }
}

impl Rendition {
    /// An idle rendition of the picture.
    pub fn new(stream: StreamName, variant: Variant, limits: Limits, changes: Changes) -> Arc<Self> {
        Self::idle(stream, TrackKind::Video, variant, limits, changes)
    }

    /// An idle rendition of the audio. It is the source's own, as [`Variant::Copy`] is, and goes with every variant.
    pub fn audio(stream: StreamName, limits: Limits, changes: Changes) -> Arc<Self> {
        Self::idle(stream, TrackKind::Audio, Variant::Copy, limits, changes)
    }

    fn idle(stream: StreamName, kind: TrackKind, variant: Variant, limits: Limits, changes: Changes) -> Arc<Self> {
        Arc::new(Self {
            stream,
            kind,
            variant,
            ring: RwLock::new(Ring::new(limits)),
            published: watch::Sender::new(()),
            status: watch::Sender::new(Status::default()),
            holders: watch::Sender::new(Holders::default()),
            changes,
            tally: Tally::default(),
        })
    }

    /// The name of the stream.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Whether it is the stream's picture or its sound.
    pub fn kind(&self) -> TrackKind {
        self.kind
    }

    /// What has happened to it so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Which variant of the stream this is.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Begins a new epoch.
    pub fn start_epoch(&self, init: InitSegment) {
        self.tally.epoch();
        self.write().start_epoch(Arc::new(init));
        self.changes.say();
    }

    /// Publishes the newest fragment.
    pub fn publish(&self, fragment: Fragment) {
        let delay = fragment.head.capture.map(|capture| ((clock::unix_ms() - capture.unix_ms()) / 1e3).max(0.0));
        self.tally.fragment(fragment.bytes.len(), delay);
        let starts = {
            let mut ring = self.write();
            ring.push(fragment);
            ring.has_keyframe()
        };
        if starts {
            self.set_status(Status::Live);
        }
        self.published.send_replace(());
    }

    /// Ends the epoch, because the source failed.
    pub fn fail(&self, status: Status) {
        self.tally.failure();
        self.stop(status);
    }

    /// Ends the epoch, because the source ended or nobody watches.
    pub fn stop(&self, status: Status) {
        self.write().stop();
        self.set_status(status);
    }

    /// Says what the source is doing.
    pub fn set_status(&self, status: Status) {
        let changed = self.status.send_if_modified(|current| {
            let changed = *current != status;
            if changed {
                *current = status;
            }
            changed
        });
        if changed {
            self.published.send_replace(());
            self.changes.say();
        }
    }

    /// Who holds it, now and whenever that changes.
    pub fn holders(&self) -> watch::Receiver<Holders> {
        self.holders.subscribe()
    }

    /// Takes hold of the rendition, which starts its source if nobody held it.
    pub fn subscribe(self: &Arc<Self>, purpose: Purpose) -> Subscription {
        self.hold(|holders| *holders.count(purpose) += 1);
        Subscription {
            published: self.published.subscribe(),
            status: self.status.subscribe(),
            rendition: self.clone(),
            cursor: Cursor::default(),
            purpose,
        }
    }

    fn hold(&self, change: impl FnOnce(&mut Holders)) {
        self.holders.send_modify(change);
        self.changes.say();
    }

    /// In what order the pictures of the current epoch, or of the last one, are shown.
    pub fn order(&self) -> Option<PictureOrder> {
        Some(self.read().init()?.order)
    }

    /// What its source is doing.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The number of the newest key frame that can be read.
    pub fn newest_keyframe(&self) -> Option<u64> {
        self.read().newest_keyframe()
    }

    /// Bits a second, where they can be measured.
    pub fn bit_rate(&self) -> Option<u64> {
        self.read().rates().map(|(_, bits)| bits)
    }

    /// Frames a second, where they can be measured.
    pub fn frame_rate(&self) -> Option<f64> {
        self.read().rates().map(|(frames, _)| frames)
    }

    /// The rendition as the catalogue shows it at the time `now`.
    pub fn info(&self, now: Instant) -> VariantInfo {
        let ring = self.read();
        let rates = ring.rates();
        VariantInfo {
            variant: self.variant,
            state: self.status.borrow().to_wire(now),
            codec: ring.init().map(|init| init.codec.to_string()),
            size: ring.init().and_then(|init| init.size),
            frame_rate: rates.map(|(frames, _)| (frames * 100.0).round() / 100.0),
            bit_rate: rates.map(|(_, bits)| bits),
            viewers: self.holders.borrow().viewers(),
        }
    }

    // A panic while the lock was held leaves a ring that is at worst one fragment short: reading on serves viewers.
    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holders {
    fn count(&mut self, purpose: Purpose) -> &mut usize {
        match purpose {
            Purpose::View(way) => &mut self.viewers[way as usize],
            Purpose::Transcode => &mut self.transcoders,
        }
    }
}

/// What a [`Subscription`] waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Something to read; never [`Step::Pending`].
    Step(Step),
    /// The source does something else now.
    Status(Status),
}

/// A hold on a rendition and a place in its ring; dropping it lets go.
#[derive(Debug)]
#[must_use = "dropping it lets go of the rendition"]
pub struct Subscription {
    rendition: Arc<Rendition>,
    cursor: Cursor,
    published: watch::Receiver<()>,
    status: watch::Receiver<Status>,
    purpose: Purpose,
}

impl Subscription {
    /// The rendition.
    pub fn rendition(&self) -> &Arc<Rendition> {
        &self.rendition
    }

    /// The next thing to read, or [`Step::Pending`].
    pub fn step(&mut self) -> Step {
        let step = self.rendition.read().read(&mut self.cursor);
        if let Step::Overrun(lost) = step {
            self.skipped(lost, GapReason::Overrun);
        }
        step
    }

    /// Takes note of what this reader was not given.
    fn skipped(&self, fragments: u64, why: GapReason) {
        if matches!(self.purpose, Purpose::View(_)) {
            self.rendition.tally.skip(fragments, why);
        }
    }

    /// The next thing to read or, when there is none, the source's next change of state; whatever comes first.
    /// Cancel-safe.
    pub async fn event(&mut self) -> Event {
        loop {
            self.published.mark_unchanged();
            match self.step() {
                Step::Pending => {}
                step => return Event::Step(step),
            }
            if let Some(status) = self.news().await {
                return Event::Status(status);
            }
        }
    }

    /// Waits until there is something to read, or returns the source's change of state, which is said with what is published:
    /// a viewer waits in one queue and not in two.
    async fn news(&mut self) -> Option<Status> {
        // The senders live in `self.rendition`: they cannot be gone.
        if !self.status.has_changed().unwrap_or(false) {
            let _ = self.published.changed().await;
        }
        self.status.has_changed().unwrap_or(false).then(|| self.current_status())
    }

    /// The source's next change of state, for a reader that does not read at the moment. Cancel-safe.
    pub async fn status_change(&mut self) -> Status {
        let _ = self.status.changed().await;
        self.current_status()
    }

    /// Waits until a key frame newer than number `after` can be read, or for the source's next change of state, which is
    /// then returned. Cancel-safe.
    pub async fn keyframe_or_status(&mut self, after: Option<u64>) -> Option<Status> {
        loop {
            self.published.mark_unchanged();
            if self.rendition.newest_keyframe() > after {
                return None;
            }
            if let Some(status) = self.news().await {
                return Some(status);
            }
        }
    }

    /// What the source is doing now; [`Self::event`] then tells of changes after it.
    pub fn current_status(&mut self) -> Status {
        self.status.borrow_and_update().clone()
    }

    /// How much media waits to be read.
    pub fn lag(&self) -> Duration {
        self.rendition.read().lag(&self.cursor)
    }

    /// Goes back to where a new reader begins: the init segment, then the newest key frame.
    pub fn rewind(&mut self) {
        self.cursor = Cursor::default();
    }

    /// Starts the epoch that has just begun at `time` of that timeline, where it is there.
    pub fn start_at(&mut self, timeline: u32, time: Duration) {
        self.rendition.read().start_at(&mut self.cursor, timeline, time);
    }

    /// Moves on to the newest key frame if the reader is more than `tolerated` behind, for the reason of `why`; returns how
    /// many fragments that leaves out.
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
        self.rendition.hold(|holders| *holders.count(purpose) -= 1);
    }
}
