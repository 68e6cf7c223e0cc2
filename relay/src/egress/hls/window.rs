//! The window: the newest segments of one rendition, made from its fragments while there are HLS viewers.
//!
//! Input: fragments in the ring's order. Output: playlists and the media of their names. All viewers of the rendition share the
//! window. It holds the ring's own bytes for longer. When full, it drops the oldest segments; a segment of half the limit ends
//! without a key frame.
//!
//! The window of a transcode follows that of `copy` ([`Lead`]), and so does the window of audio ([`follower`]).
//!
//! Nothing is listed until [`TargetDurations`] are known: until the first segment is complete, or [`GATHER_SECONDS`] of media
//! have shown that it is a long one.

mod follower;
mod segmenter;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::lead::{Lead, LedSegment, MediaTime, Position};
use super::segment::{Map, Part, Segment};
use super::target_duration::TargetDurations;
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;

/// Media after which an unfinished first segment counts as long. Most GOPs are shorter, and players wait ten seconds for a
/// playlist.
const GATHER_SECONDS: f64 = 5.0;
/// A shorter segment continues at the next key frame: an uneven GOP of about a second is one segment.
const SEGMENT_SECONDS_MIN: f64 = 0.9;
/// A longer segment ends without a key frame: some cameras send one per minute.
const SEGMENT_SECONDS_MAX: f64 = 12.0;

/// The longest target duration, in seconds, that transcodes follow.
const FOLLOWED_TARGET_MAX: u32 = 4;

/// The first numbers of a window. Both must never decrease for the same playlist address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SequenceNumbers {
    pub(super) msn: u64,
    pub(super) discontinuity: u64,
}

/// The media of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    /// These bytes, in this order.
    Available(Vec<Bytes>),
    /// The media is announced and comes next.
    Pending,
    /// The media has left the window.
    Evicted,
    /// The media does not exist and was not announced.
    NotFound,
}

/// See the [module](self). Reads no clock. A field for each number that a playlist states, beside the segments.
#[derive(Debug)]
pub(super) struct Window {
    /// Maximum bytes of segments; exceeded by one fragment at most.
    limit: usize,
    durations: Option<TargetDurations>,
    /// Fragments from before the durations were known, with their arrival times.
    gathered: Vec<(Arc<Fragment>, f64)>,
    /// Seconds of media from before the leading window's start.
    skipped: f64,
    /// The current init segment. It gets its name with the first segment that needs it.
    init: Option<Arc<InitSegment>>,
    map: Option<Map>,
    /// Complete segments.
    segments: VecDeque<Segment>,
    /// The open segment.
    open: Option<Segment>,
    /// Its open part.
    part: Part,
    /// The number of the next segment, and of the newest discontinuity.
    next: SequenceNumbers,
    /// The lowest number that the first segment may have.
    floor: u64,
    /// The number of the first listed segment. Never decreases, even if a longer playlist would fit again.
    listed_from: u64,
    /// Whether the next media does not continue the previous.
    broken: bool,
    /// The leading window's segment at the start of the open one.
    led: Option<u64>,
    /// The end of the newest fragment.
    reached: Option<MediaTime>,
}

impl Window {
    /// An empty window that holds at most `limit` bytes.
    pub(super) fn new(limit: usize, first: SequenceNumbers) -> Self {
        Self {
            limit,
            durations: None,
            gathered: Vec::new(),
            skipped: 0.0,
            init: None,
            map: None,
            segments: VecDeque::new(),
            open: None,
            part: Part::default(),
            next: first,
            floor: first.msn,
            listed_from: first.msn,
            broken: false,
            led: None,
            reached: None,
        }
    }

    /// Allows lower numbers, from `floor` on, for a leading window with lower ones. No earlier window has used these.
    pub(super) fn led_from(self, floor: u64) -> Self {
        Self { floor: floor.min(self.floor), ..self }
    }

    /// Starts an epoch.
    pub(super) fn start_epoch(&mut self, init: Arc<InitSegment>) {
        if self.durations.is_none() {
            self.gathered.clear();
        }
        self.end_segment();
        self.init = Some(init);
        self.map = None;
        self.broken = true;
    }

    /// Records lost fragments; the next one is a key frame.
    pub(super) fn lost(&mut self) {
        if self.durations.is_none() {
            self.gathered.clear();
        }
        self.end_segment();
        self.broken = true;
    }

    /// Appends a fragment at `now`. `leader` returns the leading window's position at a time. Returns whether new media is
    /// available.
    pub(super) fn push(
        &mut self,
        fragment: impl Into<Arc<Fragment>>,
        now: f64,
        leader: impl Fn(MediaTime) -> Lead,
    ) -> bool {
        let fragment = fragment.into();
        self.reached = self.media_time(fragment.head.decode_time + fragment.head.duration);
        if self.durations.is_some() {
            return self.append(&fragment, now, &leader);
        }
        self.gathered.push((fragment, now));
        let mut lead = self.lead_at_start(&leader);
        while lead == Lead::Later && self.skip_to_key_frame() {
            lead = self.lead_at_start(&leader);
        }
        let Some((mut durations, complete)) = self.first_durations(lead, &leader) else { return false };
        if let Some(position) = lead.position() {
            durations.target_duration = durations.target_duration.max(position.target_duration);
            self.join(position, u64::from(!complete));
        }
        self.durations = Some(durations);
        if !complete {
            self.announce_gap();
        }
        for (fragment, now) in std::mem::take(&mut self.gathered) {
            self.append(&fragment, now, &leader);
        }
        true
    }

    /// The leading window's position at the start of the gathered media.
    fn lead_at_start(&self, leader: &impl Fn(MediaTime) -> Lead) -> Lead {
        match self.gathered.first() {
            None => Lead::Pending,
            // The rest of a GOP that was skipped.
            Some((first, _)) if !first.head.keyframe && self.skipped > 0.0 => Lead::Later,
            Some((first, _)) => self.lead_of(first, leader),
        }
    }

    /// Skips gathered media up to the next key frame. Returns false if that skips too much.
    fn skip_to_key_frame(&mut self) -> bool {
        let next = self.gathered.iter().skip(1).position(|(fragment, _)| fragment.head.keyframe);
        let skipped = next.map_or(self.gathered.len(), |next| next + 1);
        let seconds: f64 =
            self.gathered[..skipped].iter().map(|(skipped, _)| self.seconds(skipped.head.duration)).sum();
        self.skipped += seconds;
        let may = self.skipped < GATHER_SECONDS;
        if may {
            self.gathered.drain(..skipped);
        }
        may
    }

    /// Starts with the leading window's numbers, after `gaps` gap segments.
    fn join(&mut self, position: Position, gaps: u64) {
        self.next.msn = position.msn.saturating_sub(gaps).max(self.floor);
        self.next.discontinuity = self.next.discontinuity.max(position.discontinuity);
        self.listed_from = self.next.msn;
    }

    /// The target durations from the gathered media, once there is enough, and whether the first segment is complete. `lead` is
    /// the leading window's position at the start.
    fn first_durations(&self, lead: Lead, leader: &impl Fn(MediaTime) -> Lead) -> Option<(TargetDurations, bool)> {
        let seconds = |fragment: &Fragment| self.seconds(fragment.head.duration);
        let (mut first, mut total, mut bytes) = (None, 0.0, 0);
        for (fragment, _) in &self.gathered {
            if first.is_none() && fragment.head.keyframe && total >= SEGMENT_SECONDS_MIN {
                let goes_on = |position: Position| {
                    self.lead_of(fragment, leader).position().is_none_or(|at| at.msn <= position.msn)
                };
                first = (!lead.position().is_some_and(goes_on)).then_some(total);
            }
            total += seconds(fragment);
            bytes += fragment.bytes.len();
        }
        let enough = first.is_some() && lead != Lead::Pending;
        (enough || total >= GATHER_SECONDS || bytes > self.limit / 2).then(|| {
            let frames: Vec<f64> = self.gathered.iter().map(|(fragment, _)| seconds(fragment)).collect();
            (TargetDurations::of(&frames, first), first.is_some())
        })
    }

    /// The target durations of the playlist. `None` until something is listed.
    pub(super) fn durations(&self) -> Option<TargetDurations> {
        self.durations
    }

    /// The init segment of the current epoch.
    pub(super) fn init(&self) -> Option<&Arc<InitSegment>> {
        self.init.as_ref()
    }

    /// The listed complete segments.
    pub(super) fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.msn >= self.listed_from)
    }

    /// The open segment, once it has a part.
    pub(super) fn open(&self) -> Option<&Segment> {
        self.open.as_ref().filter(|open| !open.parts.is_empty())
    }

    /// The position of a following window's frame at `time`.
    pub(super) fn lead_at(&self, time: MediaTime) -> Lead {
        let Some(durations) = self.durations else { return Lead::Pending };
        if durations.target_duration > FOLLOWED_TARGET_MAX {
            return Lead::None;
        }
        self.at(time).map_or(Lead::Later, |segment| {
            Lead::At(Position {
                msn: segment.msn,
                discontinuity: segment.discontinuity_sequence,
                target_duration: durations.target_duration,
            })
        })
    }

    /// The end of the newest frame, once something is listed.
    pub(super) fn reached(&self) -> Option<MediaTime> {
        self.reached.filter(|_| self.durations.is_some())
    }

    /// The segment with `time`, as a window of audio follows it.
    pub(super) fn led_at(&self, time: MediaTime) -> Option<LedSegment> {
        self.led_segment(self.at(time)?)
    }

    /// The complete segment `msn` as a window of audio follows it.
    pub(super) fn complete(&self, msn: u64) -> Option<LedSegment> {
        self.led_segment(self.find(msn)?)
    }

    /// The media time of the first segment on this timeline.
    pub(super) fn start_of(&self, timeline: u32) -> Option<MediaTime> {
        let mut times = self.segments.iter().chain(&self.open).filter_map(|segment| segment.time);
        times.find(|time| time.timeline == timeline)
    }

    fn led_segment(&self, segment: &Segment) -> Option<LedSegment> {
        let position = Position {
            msn: segment.msn,
            discontinuity: segment.discontinuity_sequence,
            target_duration: self.durations?.target_duration,
        };
        let &Segment { start, duration, time, .. } = segment;
        Some(LedSegment { position, start, duration, time })
    }

    /// The newest segment that starts at `time` or before.
    fn at(&self, time: MediaTime) -> Option<&Segment> {
        let begun = |segment: &&Segment| segment.time.is_some_and(|start| time.is_from(&start));
        self.segments.iter().chain(&self.open).rev().find(begun)
    }

    /// The number of the open or next segment, and its number of parts.
    pub(super) fn edge(&self) -> (u64, usize) {
        self.open.as_ref().map_or((self.next.msn, 0), |open| (open.msn, open.parts.len()))
    }

    /// The expected next part. If the segment is as long as the previous one, that is the first part of the next segment.
    pub(super) fn hint(&self) -> (u64, usize) {
        let (msn, parts) = self.edge();
        let before = self.segments.back().filter(|before| !before.gap);
        match (self.open(), before, self.durations) {
            (Some(open), Some(before), Some(durations))
                if open.duration + durations.part_target / 2.0 >= before.duration && !open.discontinuity =>
            {
                (msn + 1, 0)
            }
            _ => (msn, parts),
        }
    }

    /// The number of parts of the complete segment `msn`.
    pub(super) fn parts_of(&self, msn: u64) -> Option<usize> {
        Some(self.find(msn)?.parts.len())
    }

    /// The init segment with the name `id`.
    pub(super) fn map(&self, id: u64) -> Option<&Bytes> {
        let maps = self.segments.iter().chain(&self.open).map(|segment| &segment.map);
        Some(&maps.into_iter().find(|map| map.id == id)?.init.bytes)
    }

    /// The media of the segment `msn`.
    pub(super) fn segment(&self, msn: u64) -> Lookup {
        match self.find(msn) {
            Some(segment) => Lookup::Available(segment.fragments()),
            None if msn < self.oldest() => Lookup::Evicted,
            None => Lookup::NotFound,
        }
    }

    /// The media of a part of the segment `msn`.
    pub(super) fn part(&self, msn: u64, part: usize) -> Lookup {
        let (open, parts) = self.edge();
        let segment = self.find(msn).or(self.open.as_ref().filter(|open| open.msn == msn));
        match segment.and_then(|segment| segment.parts.get(part)) {
            Some(part) => Lookup::Available(part.fragments.clone()),
            None if msn < self.oldest() => Lookup::Evicted,
            None if (msn, part) == (open, parts) || (msn, part) == (open + 1, 0) => Lookup::Pending,
            None => Lookup::NotFound,
        }
    }

    /// The first numbers of a later window.
    pub(super) fn numbers(&self) -> SequenceNumbers {
        let msn = self.next.msn + u64::from(self.open.is_some());
        SequenceNumbers { msn, discontinuity: self.next.discontinuity + 1 }
    }

    /// The number of the oldest available segment.
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

    fn media_time(&self, ticks: u64) -> Option<MediaTime> {
        self.init.as_deref().map(|init| MediaTime::of(init, ticks))
    }

    /// The leading window's position at the start of a fragment.
    fn lead_of(&self, fragment: &Fragment, leader: &impl Fn(MediaTime) -> Lead) -> Lead {
        self.media_time(fragment.head.decode_time).map_or(Lead::None, leader)
    }
}

#[cfg(test)]
pub(super) mod tests;
