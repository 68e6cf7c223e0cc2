//! What waits to be appended: one init segment or a run of fragments at a time.
//!
//! In go the messages of the socket, out come the operations of the SourceBuffer. `B` is a handle to bytes that stay
//! in the browser. A viewer joins with a burst of up to a whole GOP while the buffer is busy with the init segment;
//! joining what has gathered makes the burst cost a handful of appends. When the browser takes nothing for long (a
//! ManagedMediaSource in the background) the queue drops up to its newest key frame, and never a single fragment.

use std::collections::VecDeque;

use super::timeline::Timeline;

/// The most bytes joined into one append: a GOP of ten seconds at 4 Mbit/s takes three. Larger appends would be
/// refused whole where the buffer is small.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// The most bytes that wait: some 30 s of 4 Mbit/s. Beyond it older GOPs are dropped.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// What a SourceBuffer needs before the first fragment of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Init<B> {
    /// The MIME type with the exact codec string.
    pub mime: String,
    /// Ticks a second of the fragments' decode times.
    pub timescale: u32,
    /// The init segment.
    pub payload: B,
}

/// A fragment, as its head describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment<B> {
    /// In ticks of the epoch's timescale.
    pub decode_time: u64,
    /// In ticks of the epoch's timescale.
    pub duration: u64,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Size of the payload.
    pub bytes: usize,
    /// The fragment.
    pub payload: B,
}

/// What to do with the SourceBuffer next.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation<B> {
    /// Append an init segment, after `changeType` if the MIME type is new.
    Init(Init<B>),
    /// Append these, end to end, with this `timestampOffset`.
    Fragments {
        /// In seconds.
        offset: f64,
        /// In order.
        payloads: Vec<B>,
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
    /// A new epoch begins. What waits of the one before is dropped: it would only delay the new picture.
    pub fn begin(&mut self, init: Init<B>) {
        *self = Self { init: Some(init), ..Self::default() };
    }

    /// A fragment arrived. Until a key frame comes, fragments that cannot be decoded are dropped.
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

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.init.is_none() && self.fragments.is_empty()
    }

    /// The media that waits, in ticks of the epoch's timescale.
    pub fn waiting_ticks(&self) -> u64 {
        self.duration
    }

    /// Takes the next operation, placing its fragments on `timeline`.
    pub fn next(&mut self, timeline: &mut Timeline) -> Option<Operation<B>> {
        if let Some(init) = self.init.take() {
            timeline.begin_epoch(init.timescale);
            return Some(Operation::Init(init));
        }
        let first = self.pop()?;
        let offset = timeline.place(first.decode_time, first.duration, first.keyframe);
        let mut bytes = first.bytes;
        let mut payloads = vec![first.payload];
        while let Some(next) = self.fragments.front()
            && bytes + next.bytes <= BATCH_BYTES_MAX
            && timeline.continues(next.decode_time)
        {
            bytes += next.bytes;
            timeline.place(next.decode_time, next.duration, next.keyframe);
            payloads.extend(self.pop().map(|fragment| fragment.payload));
        }
        Some(Operation::Fragments { offset, payloads })
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

#[cfg(test)]
mod tests;
