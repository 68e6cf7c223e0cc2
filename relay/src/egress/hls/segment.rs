//! Media segments and their parts (RFC 8216bis, sections 3 and 4.4.4.9): runs of the fragments that every viewer shares.
//!
//! Times are in seconds; a start is counted since the Unix epoch.

use std::sync::Arc;

use bytes::Bytes;

use crate::fmp4::init::InitSegment;

/// An init segment and the name it is asked for by.
#[derive(Debug, Clone)]
pub(super) struct Map {
    /// The media sequence number of the first segment that needs it: as unique as that is.
    pub(super) id: u64,
    pub(super) init: Arc<InitSegment>,
}

/// A part of a segment: several fragments of one frame each.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) fragments: Vec<Bytes>,
    pub(super) duration: f64,
    /// Whether it starts with a key frame.
    pub(super) independent: bool,
}

impl Part {
    pub(super) fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }
}

/// A segment; complete, but for the last one of a window.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Its media sequence number.
    pub(super) msn: u64,
    pub(super) map: Map,
    /// Whether another epoch begins with it.
    pub(super) discontinuity: bool,
    /// Its discontinuity sequence number (RFC 8216bis, section 4.4.3.3).
    pub(super) discontinuity_sequence: u64,
    /// When its first frame was captured.
    pub(super) start: f64,
    /// Of its parts.
    pub(super) duration: f64,
    /// Of its parts.
    pub(super) bytes: usize,
    /// Whether it starts with a key frame.
    pub(super) independent: bool,
    /// Whether it stands for media that nobody has.
    pub(super) gap: bool,
    pub(super) parts: Vec<Part>,
}

impl Segment {
    pub(super) fn push(&mut self, part: Part) {
        self.duration += part.duration;
        self.bytes += part.fragments.iter().map(Bytes::len).sum::<usize>();
        self.parts.push(part);
    }

    /// Where the next one starts.
    pub(super) fn end(&self) -> f64 {
        self.start + self.duration
    }

    /// All its fragments.
    pub(super) fn fragments(&self) -> Vec<Bytes> {
        self.parts.iter().flat_map(|part| &part.fragments).cloned().collect()
    }
}
