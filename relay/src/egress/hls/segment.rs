//! Media segments and their parts (RFC 8216bis, sections 3 and 4.4.4.9), made of the shared fragments.
//!
//! Times are in seconds; start times count from the Unix epoch.

use std::sync::Arc;

use bytes::Bytes;
use sightline_media::fmp4::init::InitSegment;

use super::lead::MediaTime;

/// An init segment and its name.
#[derive(Debug, Clone)]
pub(super) struct Map {
    /// The media sequence number of the first segment that needs it, which makes the name unique.
    pub(super) id: u64,
    pub(super) init: Arc<InitSegment>,
}

/// A part of a segment: several fragments of one frame each.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) fragments: Vec<Bytes>,
    pub(super) duration: f64,
    /// Whether the part starts with a key frame.
    pub(super) independent: bool,
}

impl Part {
    pub(super) fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }
}

/// A segment. Complete, except for the last one of a window.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The media sequence number.
    pub(super) msn: u64,
    pub(super) map: Map,
    /// Whether another epoch starts with the segment.
    pub(super) discontinuity: bool,
    /// The discontinuity sequence number (RFC 8216bis, section 4.4.3.3).
    pub(super) discontinuity_sequence: u64,
    /// Capture time of the first frame.
    pub(super) start: f64,
    /// Media time of the first frame. `None` for a gap.
    pub(super) time: Option<MediaTime>,
    /// Total duration of the parts.
    pub(super) duration: f64,
    /// Total size of the parts.
    pub(super) bytes: usize,
    /// Whether the segment starts with a key frame.
    pub(super) independent: bool,
    /// Whether the segment stands for missing media.
    pub(super) gap: bool,
    pub(super) parts: Vec<Part>,
}

impl Segment {
    pub(super) fn push(&mut self, part: Part) {
        self.duration += part.duration;
        self.bytes += part.fragments.iter().map(Bytes::len).sum::<usize>();
        self.parts.push(part);
    }

    /// The start of the next segment.
    pub(super) fn end(&self) -> f64 {
        self.start + self.duration
    }

    /// All fragments of the segment.
    pub(super) fn fragments(&self) -> Vec<Bytes> {
        self.parts.iter().flat_map(|part| &part.fragments).cloned().collect()
    }
}
