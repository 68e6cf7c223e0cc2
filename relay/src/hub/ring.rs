//! The ring: the init segment and the newest GOPs of one rendition.
//!
//! Fragments enter at the end in the order FFmpeg wrote them and leave at the front. A reader is a [`Cursor`], a few
//! words; it never holds anything back, and a reader that falls out of the ring is moved to the newest key frame and
//! told how much it missed. When full, the oldest fragments go, whoever has not read them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::fmp4::Fragment;
use crate::fmp4::init::InitSegment;

/// Fragments from which a rate is told: the first timestamps of an RTSP session are often bunched.
const MEASURABLE: usize = 12;

/// What a ring keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes of fragments.
    pub bytes: usize,
    /// Media to keep beside the current GOP, so that a reader's hiccup costs it nothing.
    pub keep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        // A 10 s GOP at 20 Mbit/s is 25 MB. Two seconds outlast any hiccup after which a viewer still wants the past.
        Self { bytes: 32 * 1024 * 1024, keep: Duration::from_secs(2) }
    }
}

/// A reader's place in a [`Ring`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    epoch: u64,
    /// The number of the fragment to read next; none until there is a key frame to start from.
    next: Option<u64>,
}

/// What a [`Cursor`] finds.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing new.
    Pending,
    /// A new epoch begins; its fragments follow, from a key frame on.
    Init(Arc<InitSegment>),
    /// The next fragment.
    Fragment(Fragment),
    /// This many fragments were lost to the reader; the next one is a key frame.
    Overrun(u64),
}

/// See the [module](self). Nothing in it reads a clock.
#[derive(Debug)]
pub struct Ring {
    limits: Limits,
    /// Counts init segments; 0 before the first.
    epoch: u64,
    init: Option<Arc<InitSegment>>,
    /// Whether the source still writes this epoch.
    live: bool,
    fragments: VecDeque<Fragment>,
    /// The number of `fragments[0]`. Numbers go on over epochs, so that an old cursor never fits a new epoch.
    first: u64,
    /// The numbers of the key frames in `fragments`.
    keyframes: VecDeque<u64>,
    bytes: usize,
}

impl Ring {
    /// An empty ring.
    pub fn new(limits: Limits) -> Self {
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

    /// Begins a new epoch: fragments of the one before can no longer be read.
    pub fn start_epoch(&mut self, init: Arc<InitSegment>) {
        self.stop();
        self.epoch += 1;
        self.init = Some(init);
        self.live = true;
    }

    /// Ends the epoch. Nothing can be read until the next; what is known of the stream stays known.
    pub fn stop(&mut self) {
        self.first += self.fragments.len() as u64;
        self.fragments.clear();
        self.keyframes.clear();
        self.bytes = 0;
        self.live = false;
    }

    /// Appends the newest fragment and lets go of what exceeds the limits.
    pub fn push(&mut self, fragment: Fragment) {
        if fragment.head.keyframe {
            self.keyframes.push_back(self.end());
        }
        self.bytes += fragment.bytes.len();
        self.fragments.push_back(fragment);
        self.evict();
    }

    /// The next thing for `cursor`, which moves past it.
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

    /// Moves `cursor`, at the beginning of the epoch, to the first key frame that has not ended at `time` of that timeline.
    /// Where there is none it stays, and starts with the newest.
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

    /// Moves `cursor` forward to the newest key frame, if that is ahead of it, and returns how many fragments it
    /// leaves out.
    pub fn skip(&self, cursor: &mut Cursor) -> u64 {
        match (cursor.next, self.keyframes.back()) {
            (Some(next), Some(&keyframe)) if cursor.epoch == self.epoch && keyframe > next => {
                cursor.next = Some(keyframe);
                keyframe - next
            }
            _ => 0,
        }
    }

    /// The number of the newest key frame. Numbers go on over epochs.
    pub fn newest_keyframe(&self) -> Option<u64> {
        self.keyframes.back().copied()
    }

    /// How much media lies between `cursor` and the newest fragment.
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

    /// Whether a reader that joins now gets a picture at once.
    pub fn has_keyframe(&self) -> bool {
        !self.keyframes.is_empty()
    }

    /// Frames and bits a second over what the ring holds; `None` until that is [`MEASURABLE`].
    pub fn rates(&self) -> Option<(f64, u64)> {
        let (first, last) = (self.fragments.front()?, self.fragments.back()?);
        let ticks = (last.head.decode_time + last.head.duration).saturating_sub(first.head.decode_time);
        let seconds = self.media_time(ticks).as_secs_f64();
        let frames: u32 = self.fragments.iter().map(|fragment| fragment.head.samples).sum();
        (self.fragments.len() >= MEASURABLE && seconds > 0.0)
            .then(|| (f64::from(frames) / seconds, (self.bytes as f64 * 8.0 / seconds) as u64))
    }

    /// The number that the next fragment will get.
    fn end(&self) -> u64 {
        self.first + self.fragments.len() as u64
    }

    fn evict(&mut self) {
        while self.bytes > self.limits.bytes && self.fragments.len() > 1 {
            self.pop();
        }
        // Whole GOPs, as long as the ones after the first hold enough.
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
