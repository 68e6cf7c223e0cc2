//! Queues media for the SourceBuffer: one init segment or a run of fragments at a time.
//!
//! Input: the messages of the socket. Output: operations of the SourceBuffer. `B` is a handle to bytes that stay in the
//! browser. A new viewer receives a burst of up to a whole GOP while the SourceBuffer is busy with the init segment. The queue
//! joins the waiting fragments, so that the burst costs a handful of appends. A full queue drops everything before its newest
//! key frame, never a single fragment. It fills while the browser accepts no appends (a ManagedMediaSource in the background).

use std::collections::VecDeque;

use super::timeline::{Placed, Timeline};

/// Maximum bytes per append: a GOP of ten seconds at 4 Mbit/s takes three. A small buffer would refuse a larger append as a
/// whole.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// Maximum bytes in the queue: some 30 s at 4 Mbit/s. Beyond that, older GOPs are dropped.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// The init segment of an epoch, which the SourceBuffer needs before the first fragment.
#[derive(Debug, Clone, PartialEq)]
pub struct Init<B> {
    /// The MIME type with the exact codec string.
    pub mime: String,
    /// Ticks per second of the fragments' decode times.
    pub timescale: u32,
    /// The source timeline of those decode times.
    pub timeline: u32,
    /// The init segment.
    pub payload: B,
}

/// A fragment, with the fields of its head.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment<B> {
    /// In ticks of the epoch's timescale.
    pub decode_time: u64,
    /// In ticks of the epoch's timescale.
    pub duration: u64,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Composition time offset of its frame, in ticks of the epoch's timescale.
    pub composition_offset: i64,
    /// The capture time of its frame, in milliseconds on the relay's clock, if known.
    pub capture: Option<f64>,
    /// Size of the payload, in bytes.
    pub bytes: usize,
    /// The fragment's bytes.
    pub payload: B,
}

/// The next operation of the SourceBuffer.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation<B> {
    /// Append an init segment, after `changeType` if the MIME type is new.
    Init(Init<B>),
    /// Append these fragments, end to end, with this `timestampOffset`.
    Fragments {
        /// In seconds.
        offset: f64,
        /// In order.
        payloads: Vec<B>,
        /// Each frame's position on the timeline, in seconds, and capture time.
        frames: Vec<(f64, Option<f64>)>,
        /// Whether they continue the previous append without a gap in the source.
        continues: bool,
        /// Their start and end on the source timeline, in seconds.
        source: (f64, f64),
    },
}

/// See the module.
#[derive(Debug)]
pub struct Queue<B> {
    init: Option<Init<B>>,
    fragments: VecDeque<Fragment<B>>,
    bytes: usize,
    duration: u64,
    needs_keyframe: bool,
}

impl<B> Default for Queue<B> {
    fn default() -> Self {
        Self { init: None, fragments: VecDeque::new(), bytes: 0, duration: 0, needs_keyframe: true }
    }
}

impl<B> Queue<B> {
    /// Begins a new epoch and drops the fragments of the previous one: they would only delay the new video.
    pub fn begin(&mut self, init: Init<B>) {
        *self = Self { init: Some(init), ..Self::default() };
    }

    /// Queues a fragment. Until a key frame arrives, fragments that cannot be decoded are dropped.
    pub fn push(&mut self, fragment: Fragment<B>) {
        if self.needs_keyframe && !fragment.keyframe {
            return;
        }
        self.needs_keyframe = false;
        self.bytes += fragment.bytes;
        self.duration += fragment.duration;
        self.fragments.push_back(fragment);
        if self.bytes > WAITING_BYTES_MAX {
            self.drop_to_newest_keyframe();
        }
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.init.is_none() && self.fragments.is_empty()
    }

    /// The duration of the queued media, in ticks of the epoch's timescale.
    pub fn waiting_ticks(&self) -> u64 {
        self.duration
    }

    /// Takes the next operation and places its fragments on `timeline`.
    pub fn next(&mut self, timeline: &mut Timeline) -> Option<Operation<B>> {
        if let Some(init) = self.init.take() {
            timeline.begin_epoch(init.timescale);
            return Some(Operation::Init(init));
        }
        let first = self.pop()?;
        let Placed { offset, start, continues } = place(&first, timeline);
        let mut frames = vec![shown(&first, offset, timeline)];
        let mut bytes = first.bytes;
        let mut payloads = vec![first.payload];
        while let Some(next) = self.fragments.front()
            && bytes + next.bytes <= BATCH_BYTES_MAX
            && timeline.continues(next.decode_time)
        {
            bytes += next.bytes;
            place(next, timeline);
            frames.push(shown(next, offset, timeline));
            payloads.extend(self.pop().map(|fragment| fragment.payload));
        }
        let source = (start - offset, timeline.end() - offset);
        Some(Operation::Fragments { offset, payloads, frames, continues, source })
    }

    fn pop(&mut self) -> Option<Fragment<B>> {
        let fragment = self.fragments.pop_front()?;
        self.bytes -= fragment.bytes;
        self.duration -= fragment.duration;
        Some(fragment)
    }

    fn drop_to_newest_keyframe(&mut self) {
        // Index 0 would drop nothing: a GOP larger than the queue is dropped whole.
        let keep = self.fragments.iter().rposition(|fragment| fragment.keyframe).filter(|&index| index > 0);
        let dropped = keep.unwrap_or(self.fragments.len());
        for _ in 0..dropped {
            self.pop();
        }
        self.needs_keyframe = self.fragments.is_empty();
    }
}

fn place<B>(fragment: &Fragment<B>, timeline: &mut Timeline) -> Placed {
    timeline.place(fragment.decode_time, fragment.composition_offset, fragment.duration, fragment.keyframe)
}

fn shown<B>(fragment: &Fragment<B>, offset: f64, timeline: &Timeline) -> (f64, Option<f64>) {
    // Saturates: a composition offset before the timeline's start is invalid; its frame is shown at the start.
    let time = fragment.decode_time.saturating_add_signed(fragment.composition_offset);
    (timeline.seconds(time) + offset, fragment.capture)
}

#[cfg(test)]
mod tests;
