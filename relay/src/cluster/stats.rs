//! Counters of the cluster since the relay started, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Stats {
    connections: AtomicU64,
    relays: AtomicU64,
    remote_streams: AtomicU64,
    interests: AtomicU64,
    sent_messages: AtomicU64,
    sent_bytes: AtomicU64,
    received_messages: AtomicU64,
    received_bytes: AtomicU64,
    joins: AtomicU64,
    gaps: AtomicU64,
}

impl Stats {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    pub(super) fn set_remote(&self, relays: usize, streams: usize) {
        self.relays.store(relays as u64, Relaxed);
        self.remote_streams.store(streams as u64, Relaxed);
    }

    pub(super) fn set_interests(&self, count: usize) {
        self.interests.store(count as u64, Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent_messages.fetch_add(1, Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received_messages.fetch_add(1, Relaxed);
        self.received_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn join(&self) {
        self.joins.fetch_add(1, Relaxed);
    }

    pub(super) fn gap(&self) {
        self.gaps.fetch_add(1, Relaxed);
    }

    /// Connections to the NATS server: two when all is well.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Other relays that are heard.
    pub fn relays(&self) -> u64 {
        self.relays.load(Relaxed)
    }

    /// Streams of other relays that are listed.
    pub fn remote_streams(&self) -> u64 {
        self.remote_streams.load(Relaxed)
    }

    /// Interests of other relays in renditions of this one.
    pub fn interests(&self) -> u64 {
        self.interests.load(Relaxed)
    }

    /// NATS messages of media sent, and their bytes.
    pub fn sent_total(&self) -> (u64, u64) {
        (self.sent_messages.load(Relaxed), self.sent_bytes.load(Relaxed))
    }

    /// NATS messages of media received, and their bytes.
    pub fn received_total(&self) -> (u64, u64) {
        (self.received_messages.load(Relaxed), self.received_bytes.load(Relaxed))
    }

    /// Requests for the newest GOP of a rendition of another relay.
    pub fn joins(&self) -> u64 {
        self.joins.load(Relaxed)
    }

    /// Gaps in the messages of another relay.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Relaxed)
    }
}
