//! Divides fragments into parts and segments, and evicts old segments.

use sightline_media::fmp4::Fragment;
use sightline_protocol::fragment::FragmentHead;

use super::{SEGMENT_SECONDS_MAX, SEGMENT_SECONDS_MIN, Window};
use crate::egress::hls::lead::{Lead, MediaTime, Position};
use crate::egress::hls::segment::{Map, Part, Segment};

/// A shorter gap is clock jitter or a frame that the camera dropped.
const HOLE: f64 = 0.5;
/// Duration of a gap segment, if the real one is unknown.
pub(super) const NOMINAL_GAP: f64 = 1.0;
/// Maximum number of listed gaps, however far ahead the leading window is.
const GAPS_MAX: u64 = 32;
/// Tolerance for sums of floating-point durations.
const TOLERANCE: f64 = 1e-4;

impl Window {
    /// Appends a fragment once the durations are known. Returns whether a part or a segment has ended.
    pub(super) fn append(&mut self, fragment: &Fragment, now: f64, leader: &impl Fn(MediaTime) -> Lead) -> bool {
        let Some(durations) = self.durations else { return false };
        let duration = self.seconds(fragment.head.duration);
        let position = fragment.head.keyframe.then(|| self.lead_of(fragment, leader)).and_then(Lead::position);
        let mut news = false;
        if self.ends_before(&fragment.head, position) {
            self.end_segment();
            news = true;
        }
        if self.open.is_none() {
            self.begin_segment(&fragment.head, now, position);
        }
        self.add(fragment, duration, durations.part_target) || news
    }

    /// Appends a fragment to the open part. Returns whether a part has ended.
    pub(super) fn add(&mut self, fragment: &Fragment, duration: f64, part_target: f64) -> bool {
        let full = |part: &Part, more: f64| !part.is_empty() && part.duration + more > part_target + TOLERANCE;
        let mut news = false;
        if full(&self.part, duration) {
            self.end_part();
            news = true;
        }
        if self.part.is_empty() {
            self.part.independent = fragment.head.keyframe;
        }
        self.part.fragments.push(fragment.bytes.payload());
        self.part.duration += duration;
        // Frames usually last as long as the previous one: a part without room for another ends now.
        if full(&self.part, duration) {
            self.end_part();
            news = true;
        }
        news
    }

    /// Whether the open segment ends before this fragment. `position` is the leading window's.
    fn ends_before(&self, head: &FragmentHead, position: Option<Position>) -> bool {
        let Some(open) = &self.open else { return false };
        let duration = open.duration + self.part.duration;
        let due = match (position, self.led) {
            (Some(position), Some(led)) => position.msn > led,
            _ => duration >= SEGMENT_SECONDS_MIN,
        };
        let ends_at_keyframe = head.keyframe && due;
        ends_at_keyframe || duration >= SEGMENT_SECONDS_MAX - TOLERANCE || open.bytes > self.limit / 2
    }

    fn begin_segment(&mut self, head: &FragmentHead, now: f64, position: Option<Position>) {
        let Some(init) = self.init.clone() else { return };
        let before = self.segments.back().map(Segment::end);
        let captured = head.capture.map(|capture| capture.unix_ms() / 1e3);
        let start = captured.or(before).unwrap_or(now);
        if std::mem::take(&mut self.broken)
            && let Some(before) = before
        {
            self.fill(before, start, position);
        }
        self.led = position.map(|position| position.msn);
        if let (Some(durations), Some(position)) = (&mut self.durations, position) {
            durations.target_duration = durations.target_duration.max(position.target_duration);
        }
        let discontinuity = self.map.is_none() && before.is_some();
        self.next.discontinuity += u64::from(discontinuity);
        let map = self.map.get_or_insert(Map { id: self.next.msn, init }).clone();
        let time = self.media_time(head.decode_time);
        self.open = Some(Segment { discontinuity, independent: head.keyframe, time, ..self.empty(map, start) });
    }

    /// Lists the time from `before` to `start` as gaps (RFC 8216bis, section 4.4.4.7), so that players know its length and
    /// request nothing. If it exceeds a playlist's length, earlier segments are dropped and only the end of the gap is listed.
    /// The number of gaps brings the numbers to those of the leading window, which is at `position`.
    fn fill(&mut self, before: f64, start: f64, position: Option<Position>) {
        let (Some(durations), Some(last)) = (self.durations, self.segments.back()) else { return };
        let (hole, map) = (start - before, last.map.clone());
        let ahead = position.map(|position| position.msn.saturating_sub(self.next.msn));
        if hole > durations.listed() {
            self.segments.clear();
            self.next.msn += ahead.unwrap_or(0).saturating_sub(1);
            self.add_gap(map, start - NOMINAL_GAP, NOMINAL_GAP);
        } else if hole > HOLE {
            let target = f64::from(durations.target_duration);
            let needed = (hole / target).ceil() as u64;
            let fits = |count: &u64| (1..=GAPS_MAX).contains(count) && (hole / *count as f64).round() <= target;
            let count = ahead.filter(fits).unwrap_or(needed);
            let each = hole / count as f64;
            for n in 0..count {
                self.add_gap(map.clone(), before + each * n as f64, each);
            }
        }
    }

    /// Lists a gap before a long, incomplete first segment. Players treat a playlist without a segment as empty and ignore its
    /// parts.
    pub(super) fn announce_gap(&mut self) {
        let (Some(init), Some((first, now))) = (self.init.clone(), self.gathered.first()) else { return };
        let start = first.head.capture.map_or(*now, |capture| capture.unix_ms() / 1e3) - NOMINAL_GAP;
        let map = self.map.get_or_insert(Map { id: self.next.msn, init }).clone();
        self.add_gap(map, start, NOMINAL_GAP);
    }

    /// Appends a gap.
    pub(super) fn add_gap(&mut self, map: Map, start: f64, duration: f64) {
        self.add_segment(Segment { gap: true, duration, independent: true, ..self.empty(map, start) });
    }

    /// The next segment, without media.
    pub(super) fn empty(&self, map: Map, start: f64) -> Segment {
        Segment {
            msn: self.next.msn,
            map,
            discontinuity: false,
            discontinuity_sequence: self.next.discontinuity,
            start,
            time: None,
            duration: 0.0,
            bytes: 0,
            independent: false,
            gap: false,
            parts: Vec::new(),
        }
    }

    fn end_part(&mut self) {
        if let Some(open) = self.open.as_mut().filter(|_| !self.part.is_empty()) {
            open.push(std::mem::take(&mut self.part));
            if let Some(durations) = &mut self.durations {
                durations.fit(open.duration);
            }
        }
        self.evict();
    }

    /// Ends the open segment.
    pub(super) fn end_segment(&mut self) {
        self.end_part();
        if let Some(segment) = self.open.take() {
            self.add_segment(segment);
        }
    }

    pub(super) fn add_segment(&mut self, segment: Segment) {
        self.next.msn += 1;
        self.segments.push_back(segment);
        self.evict();
    }

    /// Evicts old segments and those beyond the limit. Keeps one complete segment: a playlist needs one.
    fn evict(&mut self) {
        let Some(durations) = self.durations else { return };
        let open = self.open.as_ref();
        let mut duration: f64 = self.segments.iter().chain(open).map(|segment| segment.duration).sum();
        let mut bytes: usize = self.segments.iter().chain(open).map(|segment| segment.bytes).sum();
        while let Some(oldest) = self.segments.front().filter(|_| self.segments.len() > 1) {
            if duration - oldest.duration < durations.kept() && bytes <= self.limit {
                break;
            }
            duration -= oldest.duration;
            bytes -= oldest.bytes;
            self.segments.pop_front();
        }
        let listed = |segment: &&Segment| {
            duration -= segment.duration;
            duration < durations.listed()
        };
        let from = self.segments.iter().find(listed).or(self.segments.back()).map(|segment| segment.msn);
        self.listed_from = self.listed_from.max(from.unwrap_or(0));
    }
}
