//! The ring: the init segment and the newest GOPs of one rendition.
//!
//! Fragments enter at the end in the source's order and leave at the front. A reader is a [`Cursor`], a few words; it never
//! blocks the writer. When full, the ring drops the oldest fragments, read or not. A reader that has lost fragments resumes at
//! the newest key frame and gets their number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;

use crate::config::DEFAULT_RING_BYTES;

/// Fragments needed to measure a rate: the first timestamps of an RTSP session are often bunched.
const RATE_FRAGMENTS_MIN: usize = 12;
/// The newest frames of which the median tells when the timeline was captured: about a second, in which few frames are lost.
const CAPTURE_FRAMES: usize = 25;

/// Longer than any interruption after which a viewer still wants the media that it missed.
const KEEP_MEDIA: Duration = Duration::from_secs(2);

/// The limits of a ring.
#[derive(Debug, Clone, Copy)]
pub struct RingLimits {
    /// Maximum bytes of fragments.
    pub bytes: usize,
    /// Media to keep, in whole GOPs, so that a short stall costs a reader nothing. The current GOP is kept unless it exceeds
    /// `bytes`.
    pub keep: Duration,
}

impl RingLimits {
    /// RingLimits with the default [`keep`](Self::keep).
    pub fn new(bytes: usize) -> Self {
        Self { bytes, keep: KEEP_MEDIA }
    }
}

impl Default for RingLimits {
    fn default() -> Self {
        Self::new(DEFAULT_RING_BYTES)
    }
}

/// A read position in a [`Ring`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    epoch: u64,
    /// The number of the fragment to read next. `None` until there is a key frame to start from.
    next: Option<u64>,
}

/// The result of reading at a [`Cursor`].
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing new.
    Pending,
    /// A new epoch starts; its fragments follow, beginning with a key frame.
    Init(Arc<InitSegment>),
    /// The next fragment.
    Fragment(Arc<Fragment>),
    /// The reader has lost this many fragments; the next fragment is a key frame.
    Overrun(u64),
}

/// See the [module](self). Reads no clock.
#[derive(Debug)]
pub struct Ring {
    limits: RingLimits,
    /// Number of init segments so far; 0 before the first.
    epoch: u64,
    init: Option<Arc<InitSegment>>,
    /// Whether the source still writes this epoch.
    live: bool,
    fragments: VecDeque<Arc<Fragment>>,
    /// The number of `fragments[0]`. Numbers continue across epochs, so that an old cursor never matches a new epoch.
    first: u64,
    /// The numbers of the key frames in `fragments`.
    keyframes: VecDeque<u64>,
    bytes: usize,
}

impl Ring {
    /// An empty ring.
    pub fn new(limits: RingLimits) -> Self {
        Self {
            limits,
            epoch: 0,
            init: None,
            live: false,
            fragments: VecDeque::new(),
            first: 0,
            keyframes: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Starts an epoch. Fragments of the previous epoch can no longer be read.
    pub fn start_epoch(&mut self, init: Arc<InitSegment>) {
        self.stop();
        self.epoch += 1;
        self.init = Some(init);
        self.live = true;
    }

    /// Ends the epoch. Nothing can be read until the next one; the init segment stays available.
    pub fn stop(&mut self) {
        self.first += self.fragments.len() as u64;
        self.fragments.clear();
        self.keyframes.clear();
        self.bytes = 0;
        self.live = false;
    }

    /// Appends the newest fragment and evicts what exceeds the limits.
    pub fn push(&mut self, fragment: impl Into<Arc<Fragment>>) {
        let fragment = fragment.into();
        if fragment.head.keyframe {
            self.keyframes.push_back(self.end());
        }
        self.bytes += fragment.bytes.len();
        self.fragments.push_back(fragment);
        self.evict();
    }

    /// The next item at `cursor`, which moves past it.
    pub fn read(&self, cursor: &mut Cursor) -> Step {
        let Some(init) = self.init.as_ref().filter(|_| self.live) else {
            return Step::Pending;
        };
        if cursor.epoch != self.epoch {
            *cursor = Cursor { epoch: self.epoch, next: None };
            return Step::Init(init.clone());
        }
        match cursor.next {
            Some(next) if next < self.first => {
                cursor.next = self.keyframes.back().copied();
                let resumed = cursor.next.unwrap_or(self.end());
                return Step::Overrun(resumed - next);
            }
            Some(_) => {}
            None => cursor.next = self.keyframes.back().copied(),
        }
        let Some(next) = cursor.next else {
            return Step::Pending;
        };
        let Some(fragment) = self.fragments.get((next - self.first) as usize) else {
            return Step::Pending;
        };
        cursor.next = Some(next + 1);
        Step::Fragment(fragment.clone())
    }

    /// Moves `cursor`, at the beginning of the epoch, to the first key frame that has not ended at `time` of `timeline`. If
    /// there is none, the cursor starts with the newest key frame.
    pub fn start_at(&self, cursor: &mut Cursor, timeline: u32, time: Duration) {
        let of_epoch = |init: &&Arc<InitSegment>| init.timeline == timeline && cursor.epoch == self.epoch;
        if self.init.as_ref().filter(of_epoch).is_none() || cursor.next.is_some() {
            return;
        }
        let number = |number: &&u64| {
            let head = &self.fragments[(**number - self.first) as usize].head;
            self.media_time(head.decode_time + head.duration) > time
        };
        cursor.next = self.keyframes.iter().find(number).copied();
    }

    /// Moves `cursor` forward to the newest key frame, if that is ahead. Returns the number of skipped fragments.
    pub fn skip(&self, cursor: &mut Cursor) -> u64 {
        match (cursor.next, self.keyframes.back()) {
            (Some(next), Some(&keyframe)) if cursor.epoch == self.epoch && keyframe > next => {
                cursor.next = Some(keyframe);
                keyframe - next
            }
            _ => 0,
        }
    }

    /// The number of the newest key frame. Numbers continue across epochs.
    pub fn newest_keyframe(&self) -> Option<u64> {
        self.keyframes.back().copied()
    }

    /// The duration of media between `cursor` and the newest fragment.
    pub fn lag(&self, cursor: &Cursor) -> Duration {
        let waiting = cursor
            .next
            .filter(|_| cursor.epoch == self.epoch)
            .and_then(|next| self.fragments.get(next.saturating_sub(self.first) as usize));
        match (waiting, self.fragments.back()) {
            (Some(next), Some(newest)) => {
                self.media_time(newest.head.decode_time.saturating_sub(next.head.decode_time))
            }
            _ => Duration::ZERO,
        }
    }

    /// The init segment of the current epoch, or of the last one.
    pub fn init(&self) -> Option<&Arc<InitSegment>> {
        self.init.as_ref()
    }

    /// Whether a new reader gets a frame at once.
    pub fn has_keyframe(&self) -> bool {
        !self.keyframes.is_empty()
    }

    /// Frames and bits per second over the ring's contents. `None` below [`RATE_FRAGMENTS_MIN`] fragments.
    pub fn rates(&self) -> Option<(f64, u64)> {
        let (first, last) = (self.fragments.front()?, self.fragments.back()?);
        let ticks = (last.head.decode_time + last.head.duration).saturating_sub(first.head.decode_time);
        let seconds = self.media_time(ticks).as_secs_f64();
        let frames: u32 = self.fragments.iter().map(|fragment| fragment.head.samples).sum();
        (self.fragments.len() >= RATE_FRAGMENTS_MIN && seconds > 0.0)
            .then(|| (f64::from(frames) / seconds, (self.bytes as f64 * 8.0 / seconds) as u64))
    }

    /// The median duration of the ring's fragments, in ticks of the track. `None` below [`RATE_FRAGMENTS_MIN`] fragments.
    pub fn usual_duration(&self) -> Option<u64> {
        let mut durations: Vec<u64> = self.fragments.iter().map(|fragment| fragment.head.duration).collect();
        durations.sort_unstable();
        durations.get(durations.len() / 2).copied().filter(|_| durations.len() >= RATE_FRAGMENTS_MIN)
    }

    /// The time at which the start of the timeline was captured, in seconds since the Unix epoch: the median of the newest frames.
    /// Capture times become more accurate with each frame, and frames around a lost one are not where their time says. A
    /// frame counts by its presentation time: a reordered one arrives after its turn. `None` without capture times.
    pub fn captured_from(&self) -> Option<f64> {
        let timescale = f64::from(self.init.as_ref()?.timescale.max(1));
        let start = |fragment: &Arc<Fragment>| {
            let head = &fragment.head;
            let presented = (head.decode_time as f64 + head.composition_offset as f64) / timescale;
            Some(head.capture?.unix_ms() / 1e3 - presented)
        };
        let mut starts: Vec<f64> = self.fragments.iter().rev().filter_map(start).take(CAPTURE_FRAMES).collect();
        starts.sort_unstable_by(f64::total_cmp);
        // Of two in the middle the earlier one: a frame is delayed more often than it is ahead.
        starts.get(starts.len().saturating_sub(1) / 2).copied()
    }

    /// The number of the next fragment.
    fn end(&self) -> u64 {
        self.first + self.fragments.len() as u64
    }

    fn evict(&mut self) {
        while self.bytes > self.limits.bytes && self.fragments.len() > 1 {
            self.pop();
        }
        // Evicts whole GOPs while the remaining ones hold enough media.
        while let Some(&second) = self.keyframes.get(usize::from(self.keyframes.front() == Some(&self.first)))
            && self.lag(&Cursor { epoch: self.epoch, next: Some(second) }) >= self.limits.keep
        {
            while self.first < second {
                self.pop();
            }
        }
    }

    fn pop(&mut self) {
        if let Some(gone) = self.fragments.pop_front() {
            self.bytes -= gone.bytes.len();
            if self.keyframes.front() == Some(&self.first) {
                self.keyframes.pop_front();
            }
            self.first += 1;
        }
    }

    fn media_time(&self, ticks: u64) -> Duration {
        self.init.as_ref().map_or(Duration::ZERO, |init| init.time(ticks))
    }
}

#[cfg(test)]
mod tests;
