//! One variant of one stream, or its audio: its ring, its source's status and its subscribers.
//!
//! Ingest publishes to it; viewers and transcoders read through a [`Subscription`]. A rendition keeps only counts of its
//! subscriptions, in total and per client; the counts start and stop the source.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::{InitSegment, Reordering};
use sightline_protocol::catalogue::VariantInfo;
use sightline_protocol::message::{OfflineReason, StreamState, TrackKind};
use sightline_protocol::stream::{StreamName, Variant};
use tokio::sync::watch;
use tokio::time::Instant;

use super::changes::Changes;
use super::ring::{Cursor, Ring, RingLimits};

pub use clients::{ClientGuard, Clients};
pub use stats::{InFlightBytes, RenditionStats};
pub use subscription::{Event, Subscription};

mod clients;
mod stats;
mod subscription;

/// The status of a rendition's source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// No subscribers; nothing runs.
    #[default]
    Idle,
    /// Started; no frame yet.
    Starting,
    /// Fragments arrive, and a new reader gets a frame at once.
    Live,
    /// Failed; a retry is scheduled.
    Offline {
        /// The kind of failure.
        reason: OfflineReason,
        /// One sentence for the viewer, without credentials.
        message: Arc<str>,
        /// The time of the next retry.
        retry_at: Instant,
    },
}

impl Status {
    /// The status in its wire form at `now`.
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

/// The protocol of a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// WebSocket, `sightline.v1`.
    Mse,
    /// WebSocket without a subprotocol.
    Plain,
    /// WebSocket in the API of go2rtc.
    Go2rtc,
    /// WebRTC.
    WebRtc,
    /// HLS; all HLS viewers share one subscription.
    Hls,
    /// Other relays of the cluster; all of them share one subscription.
    Cluster,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 6] = [Self::Mse, Self::Plain, Self::Go2rtc, Self::WebRtc, Self::Hls, Self::Cluster];

    /// The protocol's label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::Plain => "plain",
            Self::Go2rtc => "go2rtc",
            Self::WebRtc => "webrtc",
            Self::Hls => "hls",
            Self::Cluster => "cluster",
        }
    }
}

/// A form of a source's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioForm {
    /// AAC and Opus unchanged, other codecs as AAC: what Media Source Extensions play.
    AsIs,
    /// Opus: what WebRTC plays.
    Opus,
}

impl AudioForm {
    /// All forms.
    pub const ALL: [Self; 2] = [Self::AsIs, Self::Opus];

    /// The form's name in metrics and log lines, in place of a variant's.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsIs => "audio",
            Self::Opus => "opus",
        }
    }
}

/// Subscriptions to a rendition, by purpose and protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubscriberCounts {
    viewers: [usize; Protocol::ALL.len()],
    /// Transcoders that read the rendition.
    pub transcoders: usize,
    /// Viewers that get the source's audio in packets.
    pub listeners: usize,
}

impl SubscriberCounts {
    /// Whether there is a subscription.
    pub fn any(self) -> bool {
        self.viewers() + self.transcoders + self.listeners > 0
    }

    /// Viewers of all protocols.
    pub fn viewers(self) -> usize {
        self.viewers.iter().sum()
    }

    /// Viewers of one protocol.
    pub fn viewers_by(self, protocol: Protocol) -> usize {
        self.viewers[protocol as usize]
    }
}

/// The purpose of a [`Subscription`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A viewer watches.
    View(Protocol),
    /// A transcoder makes another variant.
    Transcode,
    /// A viewer gets the source's audio in packets, beside any video.
    Listen,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Rendition {
    stream: StreamName,
    variant: Variant,
    /// The form of audio. `None` for video.
    audio_form: Option<AudioForm>,
    ring: RwLock<Ring>,
    /// Notified after a publication and after a change of status.
    published: watch::Sender<()>,
    status: watch::Sender<Status>,
    subscribers: watch::Sender<SubscriberCounts>,
    clients: watch::Sender<Clients>,
    changes: Changes,
    stats: RenditionStats,
    awaits_key_frame: AtomicBool,
}

impl Rendition {
    /// An idle rendition of video.
    pub fn new(stream: StreamName, variant: Variant, limits: RingLimits, changes: Changes) -> Arc<Self> {
        Self::idle(stream, (variant, None), limits, changes)
    }

    /// An idle rendition of audio. Audio belongs to the source, as [`Variant::Copy`] does, and accompanies every variant.
    pub fn audio(stream: StreamName, form: AudioForm, limits: RingLimits, changes: Changes) -> Arc<Self> {
        Self::idle(stream, (Variant::Copy, Some(form)), limits, changes)
    }

    fn idle(
        stream: StreamName,
        (variant, audio_form): (Variant, Option<AudioForm>),
        limits: RingLimits,
        changes: Changes,
    ) -> Arc<Self> {
        Arc::new(Self {
            stream,
            variant,
            audio_form,
            ring: RwLock::new(Ring::new(limits)),
            published: watch::Sender::new(()),
            status: watch::Sender::new(Status::default()),
            subscribers: watch::Sender::new(SubscriberCounts::default()),
            clients: watch::Sender::new(Clients::default()),
            changes,
            stats: RenditionStats::default(),
            awaits_key_frame: AtomicBool::new(false),
        })
    }

    /// The rendition's name in log lines. A `String`, because the log quotes and escapes it: names may have spaces and quotes.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.stream, self.name())
    }

    /// The rendition's name within its stream: the variant of video, the form of audio.
    pub fn name(&self) -> &'static str {
        self.audio_form.map_or_else(|| self.variant.as_str(), AudioForm::name)
    }

    /// The name of the stream.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Whether the rendition is video or audio.
    pub fn kind(&self) -> TrackKind {
        if self.audio_form.is_some() { TrackKind::Audio } else { TrackKind::Video }
    }

    /// The rendition's counters.
    pub fn stats(&self) -> &RenditionStats {
        &self.stats
    }

    /// The rendition's variant.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Starts an epoch.
    pub fn start_epoch(&self, init: InitSegment) {
        self.stats.epoch();
        self.write().start_epoch(Arc::new(init));
        self.changes.notify();
    }

    /// Publishes a fragment at `now`, in milliseconds since the Unix epoch. Measures the fragment's ingest latency.
    pub fn publish(&self, fragment: Fragment, now: f64) {
        let latency = fragment.head.capture.map(|capture| ((now - capture.unix_ms()) / 1e3).max(0.0));
        self.stats.fragment(fragment.bytes.len(), latency);
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

    /// Ends the epoch because the source failed.
    pub fn fail(&self, status: Status) {
        self.stats.failure();
        self.stop(status);
    }

    /// Whether the source sends video that can be shown from its next key frame on.
    pub fn awaits_key_frame(&self) -> bool {
        self.awaits_key_frame.load(Ordering::Relaxed)
    }

    /// Sets [`Self::awaits_key_frame`]. Returns whether that changed.
    pub fn set_awaits_key_frame(&self, awaits: bool) -> bool {
        let changed = self.awaits_key_frame.swap(awaits, Ordering::Relaxed) != awaits;
        if changed {
            self.changes.notify();
        }
        changed
    }

    /// Ends the epoch because the source ended or has no subscribers.
    pub fn stop(&self, status: Status) {
        self.set_awaits_key_frame(false);
        self.write().stop();
        self.set_status(status);
    }

    /// Sets the source's status.
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
            self.changes.notify();
        }
    }

    /// The counts of subscriptions, and their changes.
    pub fn subscribers(&self) -> watch::Receiver<SubscriberCounts> {
        self.subscribers.subscribe()
    }

    /// The clients with viewers of this rendition, and their changes.
    pub fn clients(&self) -> watch::Receiver<Clients> {
        self.clients.subscribe()
    }

    /// Adds a viewer of `client`, which must come before its subscription: the first subscription starts the source.
    pub fn add_client(self: &Arc<Self>, client: Option<IpAddr>) -> ClientGuard {
        let (guard, ends_refusal) = ClientGuard::new(self, client);
        if ends_refusal {
            // The new viewer must not see the refusal of others.
            self.set_status(Status::Starting);
        }
        guard
    }

    /// Subscribes for a viewer of `client`.
    pub fn subscribe_for(self: &Arc<Self>, protocol: Protocol, client: Option<IpAddr>) -> Subscription {
        let guard = self.add_client(client);
        let mut subscription = self.subscribe(Purpose::View(protocol));
        subscription.client = Some(guard);
        subscription
    }

    /// Subscribes. The first subscription starts the source.
    pub fn subscribe(self: &Arc<Self>, purpose: Purpose) -> Subscription {
        self.update_subscribers(|subscribers| *subscribers.count(purpose) += 1);
        Subscription {
            published: self.published.subscribe(),
            status: self.status.subscribe(),
            rendition: self.clone(),
            cursor: Cursor::default(),
            purpose,
            client: None,
        }
    }

    fn update_subscribers(&self, change: impl FnOnce(&mut SubscriberCounts)) {
        self.subscribers.send_modify(change);
        self.changes.notify();
    }

    /// The init segment of the current epoch, or of the last one.
    pub fn init(&self) -> Option<Arc<InitSegment>> {
        self.read().init().cloned()
    }

    /// The frame order of the current epoch, or of the last one.
    pub fn reordering(&self) -> Option<Reordering> {
        Some(self.read().init()?.reordering)
    }

    /// The source's status.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The number of the newest key frame in the ring.
    pub fn newest_keyframe(&self) -> Option<u64> {
        self.read().newest_keyframe()
    }

    /// Bits per second. `None` until the ring holds enough fragments.
    pub fn bit_rate(&self) -> Option<u64> {
        self.read().rates().map(|(_, bits)| bits)
    }

    /// Frames per second. `None` until the ring holds enough fragments.
    pub fn frame_rate(&self) -> Option<f64> {
        self.read().rates().map(|(frames, _)| frames)
    }

    /// The median duration of a fragment, in ticks of the track. `None` until the ring holds enough fragments.
    pub fn usual_duration(&self) -> Option<u64> {
        self.read().usual_duration()
    }

    /// See [`Ring::captured_from`].
    pub fn captured_from(&self) -> Option<f64> {
        self.read().captured_from()
    }

    /// The rendition's entry in the catalogue at `now`.
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
            viewers: self.subscribers.borrow().viewers(),
        }
    }

    // A panic while the lock was held leaves at worst a ring without its newest fragment, which viewers can still read.
    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SubscriberCounts {
    fn count(&mut self, purpose: Purpose) -> &mut usize {
        match purpose {
            Purpose::View(protocol) => &mut self.viewers[protocol as usize],
            Purpose::Transcode => &mut self.transcoders,
            Purpose::Listen => &mut self.listeners,
        }
    }
}
