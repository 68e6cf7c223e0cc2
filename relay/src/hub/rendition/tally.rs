//! What has happened to a rendition since the relay started, counted where it happens and read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::metrics::histogram::Histogram;

/// Seconds, from one frame's time at 120 a second to what nobody should see.
const DELAYS: [f64; 9] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// See the module. Adding to it costs an atomic, and one lock that nobody else wants for each fragment.
#[derive(Debug)]
pub struct Tally {
    fragments: AtomicU64,
    bytes: AtomicU64,
    epochs: AtomicU64,
    failures: AtomicU64,
    skipped: AtomicU64,
    delay: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            fragments: AtomicU64::default(),
            bytes: AtomicU64::default(),
            epochs: AtomicU64::default(),
            failures: AtomicU64::default(),
            skipped: AtomicU64::default(),
            delay: Histogram::new(DELAYS),
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

    pub(super) fn skip(&self, fragments: u64) {
        self.skipped.fetch_add(fragments, Relaxed);
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

    /// Fragments that were left out for viewers who were behind, one by one and viewer by viewer.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    /// Seconds from a frame's arrival at this machine to the ring.
    pub fn delay(&self) -> &Histogram {
        &self.delay
    }
}
