//! What waits to be appended: one init segment or a run of fragments at a time.
//!
//! In go the messages of the socket, out come the operations of the SourceBuffer. `B` is a handle to bytes that stay
//! in the browser. A viewer joins with a burst of up to a whole GOP while the buffer is busy with the init segment;
//! joining what has gathered makes the burst cost a handful of appends. When the browser takes nothing for long (a
//! ManagedMediaSource in the background) the queue drops up to its newest key frame, and never a single fragment.

use std::collections::VecDeque;

use super::timeline::{Placed, Timeline};

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
    /// Which of the source's timelines they are on.
    pub timeline: u32,
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
    /// Composition time offset of its frame, in ticks of the epoch's timescale.
    pub composition_offset: i64,
    /// When its frame was captured, in milliseconds on the relay's clock, where that is known.
    pub capture: Option<f64>,
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
        /// Where each frame is shown on the timeline, in seconds, and when it was captured.
        frames: Vec<(f64, Option<f64>)>,
        /// Whether they follow what was appended before them as they did at the camera.
        continues: bool,
        /// The stretch of the source's timeline that they are, in seconds.
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
    // Saturating: a composition offset before the timeline's start is nonsense, and is shown at the start.
    let time = fragment.decode_time.saturating_add_signed(fragment.composition_offset);
    (timeline.seconds(time) + offset, fragment.capture)
}

#[cfg(test)]
mod tests;
