//! The window: the newest segments of one rendition, cut from its fragments while somebody watches by HLS.
//!
//! Fragments enter as the ring gives them out; what a playlist says, and what its names stand for, leaves. It is one for
//! all viewers of the rendition, and what it holds are the ring's own bytes, kept alive a while longer. When there are too
//! many of them, the oldest segments go, whoever wanted them; a segment that alone is half of what is allowed is ended
//! without waiting for a key frame.
//!
//! Nothing is listed until it is known what to promise ([`Shape`]): until the first segment is complete, or [`GATHER`] of
//! media have shown that it is a long one.

mod cut;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::segment::{Map, Part, Segment};
use super::shape::Shape;
use crate::fmp4::Fragment;
use crate::fmp4::init::InitSegment;

/// Media after which a first segment that has not ended is taken for a long one. Most GOPs are shorter, and players give a
/// playlist ten seconds.
const GATHER: f64 = 5.0;
/// A segment with less than this goes on at the next key frame: a GOP of a second, unevenly timed, is a segment.
const SEGMENT_MIN: f64 = 0.9;
/// A segment with more than this ends without a key frame: some cameras send one a minute.
const SEGMENT_MAX: f64 = 12.0;

/// Where the numbers of a window begin. Both must never go back while the address of the playlist is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Numbers {
    pub(super) msn: u64,
    pub(super) discontinuity: u64,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// These bytes, in this order.
    Here(Vec<Bytes>),
    /// It comes next.
    Soon,
    /// It was here.
    Gone,
    /// It is not, and nobody was told that it would be.
    Never,
}

/// See the [module](self). Nothing in it reads a clock.
#[derive(Debug)]
pub(super) struct Window {
    /// Most bytes of segments, but for one fragment.
    limit: usize,
    shape: Option<Shape>,
    /// What has come before there was a shape.
    gathered: Vec<(Fragment, f64)>,
    /// The current init segment, which gets its name with the first segment that needs it.
    init: Option<Arc<InitSegment>>,
    map: Option<Map>,
    /// Complete segments.
    segments: VecDeque<Segment>,
    /// The one that grows.
    open: Option<Segment>,
    /// The part of it that grows.
    part: Part,
    /// The number of the next segment, and of the newest discontinuity.
    next: Numbers,
    /// The number of the first listed segment; never goes back, even where a longer list would fit again.
    listed_from: u64,
    /// Whether what comes next does not go on from what came last.
    broken: bool,
}

impl Window {
    /// An empty window that holds at most `limit` bytes.
    pub(super) fn new(limit: usize, first: Numbers) -> Self {
        Self {
            limit,
            shape: None,
            gathered: Vec::new(),
            init: None,
            map: None,
            segments: VecDeque::new(),
            open: None,
            part: Part::default(),
            next: first,
            listed_from: first.msn,
            broken: false,
        }
    }

    /// A new epoch begins.
    pub(super) fn start_epoch(&mut self, init: Arc<InitSegment>) {
        if self.shape.is_none() {
            self.gathered.clear();
        }
        self.end_segment();
        self.init = Some(init);
        self.map = None;
        self.broken = true;
    }

    /// Fragments were lost; the next is a key frame.
    pub(super) fn lost(&mut self) {
        if self.shape.is_none() {
            self.gathered.clear();
        }
        self.end_segment();
        self.broken = true;
    }

    /// The next fragment has come, at `now`. Whether there is more to be had.
    pub(super) fn push(&mut self, fragment: Fragment, now: f64) -> bool {
        if self.shape.is_some() {
            return self.append(&fragment, now);
        }
        self.gathered.push((fragment, now));
        let Some(shape) = self.first_shape() else { return false };
        self.shape = Some(shape.0);
        if !shape.1 {
            self.announce_gap();
        }
        for (fragment, now) in std::mem::take(&mut self.gathered) {
            self.append(&fragment, now);
        }
        true
    }

    /// What can be promised by what has been gathered, if that is enough, and whether the first segment has ended in it.
    fn first_shape(&self) -> Option<(Shape, bool)> {
        let seconds = |fragment: &Fragment| self.seconds(fragment.head.duration);
        let (mut first, mut total, mut bytes) = (None, 0.0, 0);
        for (fragment, _) in &self.gathered {
            if first.is_none() && fragment.head.keyframe && total >= SEGMENT_MIN {
                first = Some(total);
            }
            total += seconds(fragment);
            bytes += fragment.bytes.len();
        }
        (first.is_some() || total >= GATHER || bytes > self.limit / 2).then(|| {
            let frames: Vec<f64> = self.gathered.iter().map(|(fragment, _)| seconds(fragment)).collect();
            (Shape::of(&frames, first), first.is_some())
        })
    }

    /// What the playlist promises; none until there is something to list.
    pub(super) fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// The init segment of the current epoch.
    pub(super) fn init(&self) -> Option<&Arc<InitSegment>> {
        self.init.as_ref()
    }

    /// The complete segments of the playlist.
    pub(super) fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.msn >= self.listed_from)
    }

    /// The segment that grows, once it has a part.
    pub(super) fn open(&self) -> Option<&Segment> {
        self.open.as_ref().filter(|open| !open.parts.is_empty())
    }

    /// The number of the segment that grows, or will, and how many parts it has.
    pub(super) fn edge(&self) -> (u64, usize) {
        self.open.as_ref().map_or((self.next.msn, 0), |open| (open.msn, open.parts.len()))
    }

    /// The part that comes next, as far as it can be told: where the segment is as long as the one before, that is the
    /// first of the next one.
    pub(super) fn hint(&self) -> (u64, usize) {
        let (msn, parts) = self.edge();
        let before = self.segments.back().filter(|before| !before.gap);
        match (self.open(), before, self.shape) {
            (Some(open), Some(before), Some(shape))
                if open.duration + shape.part_target / 2.0 >= before.duration && !open.discontinuity =>
            {
                (msn + 1, 0)
            }
            _ => (msn, parts),
        }
    }

    /// How many parts the complete segment `msn` has.
    pub(super) fn parts_of(&self, msn: u64) -> Option<usize> {
        Some(self.find(msn)?.parts.len())
    }

    /// The init segment of that name.
    pub(super) fn map(&self, id: u64) -> Option<&Bytes> {
        let maps = self.segments.iter().chain(&self.open).map(|segment| &segment.map);
        Some(&maps.into_iter().find(|map| map.id == id)?.init.bytes)
    }

    /// The segment of that number.
    pub(super) fn segment(&self, msn: u64) -> Found {
        match self.find(msn) {
            Some(segment) => Found::Here(segment.fragments()),
            None if msn < self.oldest() => Found::Gone,
            None => Found::Never,
        }
    }

    /// A part of the segment of that number.
    pub(super) fn part(&self, msn: u64, part: usize) -> Found {
        let (open, parts) = self.edge();
        let segment = self.find(msn).or(self.open.as_ref().filter(|open| open.msn == msn));
        match segment.and_then(|segment| segment.parts.get(part)) {
            Some(part) => Found::Here(part.fragments.clone()),
            None if msn < self.oldest() => Found::Gone,
            None if (msn, part) == (open, parts) || (msn, part) == (open + 1, 0) => Found::Soon,
            None => Found::Never,
        }
    }

    /// Where a window that comes after this one may begin.
    pub(super) fn numbers(&self) -> Numbers {
        let msn = self.next.msn + u64::from(self.open.is_some());
        Numbers { msn, discontinuity: self.next.discontinuity + 1 }
    }

    /// The number of the oldest segment that can be had.
    fn oldest(&self) -> u64 {
        self.segments.front().map_or(self.edge().0, |segment| segment.msn)
    }

    fn find(&self, msn: u64) -> Option<&Segment> {
        let index = msn.checked_sub(self.segments.front()?.msn)?;
        self.segments.get(usize::try_from(index).ok()?)
    }

    fn seconds(&self, ticks: u64) -> f64 {
        self.init.as_ref().map_or(0.0, |init| init.time(ticks).as_secs_f64())
    }
}

#[cfg(test)]
pub(super) mod tests;
