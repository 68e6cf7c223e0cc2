//! What has happened to a rendition since the relay started, counted where it happens and read when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use sightline_protocol::message::GapReason;

use super::Rendition;

/// Seconds, from one frame's time at 120 a second to what nobody should see.
const DELAYS: [f64; 9] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// See the module. Adding to it costs an atomic, and one lock that nobody else wants for each fragment.
#[derive(Debug)]
pub struct Tally {
    fragments: AtomicU64,
    bytes: AtomicU64,
    epochs: AtomicU64,
    failures: AtomicU64,
    /// By reason, in the order of its variants.
    skipped: [AtomicU64; 3],
    in_flight: AtomicU64,
    delay: Histogram,
    acknowledged: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            fragments: AtomicU64::default(),
            bytes: AtomicU64::default(),
            epochs: AtomicU64::default(),
            failures: AtomicU64::default(),
            skipped: Default::default(),
            in_flight: AtomicU64::default(),
            delay: Histogram::new(DELAYS),
            acknowledged: Histogram::new(DELAYS),
        }
    }
}

impl Tally {
    pub(super) fn epoch(&self) {
        self.epochs.fetch_add(1, Relaxed);
    }

    /// A fragment of so many bytes is in the ring, so many seconds after its frame reached this machine.
    pub(super) fn fragment(&self, bytes: usize, delay: Option<f64>) {
        self.fragments.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(delay) = delay {
            self.delay.observe(delay);
        }
    }

    pub(super) fn failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(super) fn skip(&self, fragments: u64, why: GapReason) {
        self.skipped[why as usize].fetch_add(fragments, Relaxed);
    }

    /// A viewer has acknowledged a fragment that was in the ring for so long, or on its way.
    pub fn acknowledge(&self, after: Duration) {
        self.acknowledged.observe(after.as_secs_f64());
    }

    /// Fragments published.
    pub fn fragments(&self) -> u64 {
        self.fragments.load(Relaxed)
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Epochs begun.
    pub fn epochs(&self) -> u64 {
        self.epochs.load(Relaxed)
    }

    /// How often the source failed: each time FFmpeg is started anew.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Fragments that were left out for viewers, one by one and viewer by viewer.
    pub fn skipped(&self, why: GapReason) -> u64 {
        self.skipped[why as usize].load(Relaxed)
    }

    /// Bytes on their way to viewers who acknowledge.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Seconds from the ring to the acknowledgement.
    pub fn acknowledged(&self) -> &Histogram {
        &self.acknowledged
    }

    /// Seconds from a frame's arrival at this machine to the ring.
    pub fn delay(&self) -> &Histogram {
        &self.delay
    }
}

/// A viewer's part of [`Tally::in_flight`], which goes with the viewer.
#[derive(Debug)]
pub struct OnTheWay {
    rendition: Arc<Rendition>,
    bytes: u64,
}

impl OnTheWay {
    /// Nothing yet, of this rendition.
    pub fn new(rendition: Arc<Rendition>) -> Self {
        Self { rendition, bytes: 0 }
    }

    /// So much is on its way to the viewer now, who is sent this rendition.
    pub fn set(&mut self, rendition: &Arc<Rendition>, bytes: u64) {
        if !Arc::ptr_eq(rendition, &self.rendition) {
            self.take_back();
            (self.rendition, self.bytes) = (rendition.clone(), 0);
        }
        if bytes != self.bytes {
            // Wraps around where it becomes less, as the sum does.
            self.rendition.tally.in_flight.fetch_add(bytes.wrapping_sub(self.bytes), Relaxed);
            self.bytes = bytes;
        }
    }

    fn take_back(&self) {
        self.rendition.tally.in_flight.fetch_sub(self.bytes, Relaxed);
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.take_back();
    }
}
