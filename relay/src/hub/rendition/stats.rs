//! Counters of a rendition since the relay started, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use sightline_protocol::message::GapReason;

use super::Rendition;

/// Bucket bounds in seconds, from about one frame interval at 120 frames per second to an unacceptable delay.
const LATENCY_BUCKETS: [f64; 9] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// See the [module](self). An update costs an atomic operation; a fragment also takes one uncontended lock.
#[derive(Debug)]
pub struct RenditionStats {
    fragments: AtomicU64,
    bytes: AtomicU64,
    epochs: AtomicU64,
    failures: AtomicU64,
    /// By [`GapReason`], in the order of its variants.
    skipped: [AtomicU64; 3],
    in_flight: AtomicU64,
    ingest_latency: Histogram,
    delivery_latency: Histogram,
}

impl Default for RenditionStats {
    fn default() -> Self {
        Self {
            fragments: AtomicU64::default(),
            bytes: AtomicU64::default(),
            epochs: AtomicU64::default(),
            failures: AtomicU64::default(),
            skipped: Default::default(),
            in_flight: AtomicU64::default(),
            ingest_latency: Histogram::new(LATENCY_BUCKETS),
            delivery_latency: Histogram::new(LATENCY_BUCKETS),
        }
    }
}

impl RenditionStats {
    pub(super) fn epoch(&self) {
        self.epochs.fetch_add(1, Relaxed);
    }

    /// Counts a fragment of `bytes` that entered the ring `ingest_latency` seconds after its frame reached this machine.
    pub(super) fn fragment(&self, bytes: usize, ingest_latency: Option<f64>) {
        self.fragments.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(ingest_latency) = ingest_latency {
            self.ingest_latency.observe(ingest_latency);
        }
    }

    pub(super) fn failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(super) fn skip(&self, fragments: u64, why: GapReason) {
        self.skipped[why as usize].fetch_add(fragments, Relaxed);
    }

    /// Records the time from a fragment's publication to a viewer's acknowledgement.
    pub fn record_delivery(&self, after: Duration) {
        self.delivery_latency.observe(after.as_secs_f64());
    }

    /// Fragments published.
    pub fn fragments(&self) -> u64 {
        self.fragments.load(Relaxed)
    }

    /// Bytes of the fragments published.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Epochs started.
    pub fn epochs(&self) -> u64 {
        self.epochs.load(Relaxed)
    }

    /// Failures of the source; each is followed by a restart.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Fragments skipped, summed over viewers.
    pub fn skipped(&self, why: GapReason) -> u64 {
        self.skipped[why as usize].load(Relaxed)
    }

    /// Bytes in flight to the viewers that acknowledge.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Seconds from a fragment's publication to its acknowledgement.
    pub fn delivery_latency(&self) -> &Histogram {
        &self.delivery_latency
    }

    /// Seconds from a frame's arrival at this machine to its publication.
    pub fn ingest_latency(&self) -> &Histogram {
        &self.ingest_latency
    }
}

/// One viewer's share of [`RenditionStats::in_flight`]. Dropping it subtracts the share.
#[derive(Debug)]
pub struct InFlightBytes {
    rendition: Arc<Rendition>,
    bytes: u64,
}

impl InFlightBytes {
    /// No bytes in flight yet, of `rendition`.
    pub fn new(rendition: Arc<Rendition>) -> Self {
        Self { rendition, bytes: 0 }
    }

    /// Sets the bytes in flight to the viewer and the rendition that it is sent.
    pub fn set(&mut self, rendition: &Arc<Rendition>, bytes: u64) {
        if !Arc::ptr_eq(rendition, &self.rendition) {
            self.subtract();
            (self.rendition, self.bytes) = (rendition.clone(), 0);
        }
        if bytes != self.bytes {
            // A negative difference wraps around, and so does the sum.
            self.rendition.stats.in_flight.fetch_add(bytes.wrapping_sub(self.bytes), Relaxed);
            self.bytes = bytes;
        }
    }

    fn subtract(&self) {
        self.rendition.stats.in_flight.fetch_sub(self.bytes, Relaxed);
    }
}

impl Drop for InFlightBytes {
    fn drop(&mut self) {
        self.subtract();
    }
}
