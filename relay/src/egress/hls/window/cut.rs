//! How fragments become parts and segments, and when those go.

use sightline_protocol::fragment::FragmentHead;

use super::{SEGMENT_MAX, SEGMENT_MIN, Window};
use crate::egress::hls::segment::{Map, Part, Segment};
use crate::fmp4::Fragment;

/// A hole shorter than this is jitter of the clocks, or a frame that the camera left out.
const HOLE: f64 = 0.5;
/// What a segment of media that nobody has is said to last, where that is not known.
const NOMINAL_GAP: f64 = 1.0;
/// Sums of floating-point durations are not exact.
const TOLERANCE: f64 = 1e-4;

impl Window {
    /// Appends a fragment, once there is a shape. Whether that ended a part or a segment.
    pub(super) fn append(&mut self, fragment: &Fragment, now: f64) -> bool {
        let Some(shape) = self.shape else { return false };
        let duration = self.seconds(fragment.head.duration);
        let mut news = false;
        if self.ends_before(&fragment.head) {
            self.end_segment();
            news = true;
        }
        if self.open.is_none() {
            self.begin_segment(&fragment.head, now);
        }
        let full = |part: &Part, more: f64| !part.is_empty() && part.duration + more > shape.part_target + TOLERANCE;
        if full(&self.part, duration) {
            self.end_part();
            news = true;
        }
        if self.part.is_empty() {
            self.part.independent = fragment.head.keyframe;
        }
        self.part.fragments.push(fragment.bytes.payload());
        self.part.duration += duration;
        // Frames mostly last as long as the one before: a part that has no room for another need not wait for it.
        if full(&self.part, duration) {
            self.end_part();
            news = true;
        }
        news
    }

    /// Whether the open segment ends before this fragment.
    fn ends_before(&self, head: &FragmentHead) -> bool {
        let Some(open) = &self.open else { return false };
        let duration = open.duration + self.part.duration;
        let ends_at_keyframe = head.keyframe && duration >= SEGMENT_MIN;
        ends_at_keyframe || duration >= SEGMENT_MAX - TOLERANCE || open.bytes > self.limit / 2
    }

    fn begin_segment(&mut self, head: &FragmentHead, now: f64) {
        let Some(init) = self.init.clone() else { return };
        let before = self.segments.back().map(Segment::end);
        let captured = head.capture.map(|capture| capture.unix_ms() / 1e3);
        let start = captured.or(before).unwrap_or(now);
        if std::mem::take(&mut self.broken)
            && let Some(before) = before
        {
            self.fill(before, start);
        }
        let discontinuity = self.map.is_none() && before.is_some();
        self.next.discontinuity += u64::from(discontinuity);
        let map = self.map.get_or_insert(Map { id: self.next.msn, init }).clone();
        self.open = Some(Segment { discontinuity, independent: head.keyframe, ..self.empty(map, start) });
    }

    /// Lists the time from `before` to `start`, of which there is no media, as gaps (RFC 8216bis, section 4.4.4.7): a player
    /// sees how long it was and that there is nothing to ask for. Where it is more than a list's length, nothing from
    /// before it is worth listing, and the end of it is enough.
    fn fill(&mut self, before: f64, start: f64) {
        let (Some(shape), Some(last)) = (self.shape, self.segments.back()) else { return };
        let (hole, map) = (start - before, last.map.clone());
        if hole > shape.listed() {
            self.segments.clear();
            self.add_gap(map, start - NOMINAL_GAP, NOMINAL_GAP);
        } else if hole > HOLE {
            let count = (hole / f64::from(shape.target_duration)).ceil();
            let each = hole / count;
            for n in 0..count as u32 {
                self.add_gap(map.clone(), before + each * f64::from(n), each);
            }
        }
    }

    /// Lists a gap before the first segment, which is a long one and not complete yet. Players take a playlist without a
    /// segment for an empty one and do not look at its parts.
    pub(super) fn announce_gap(&mut self) {
        let (Some(init), Some((first, now))) = (self.init.clone(), self.gathered.first()) else { return };
        let start = first.head.capture.map_or(*now, |capture| capture.unix_ms() / 1e3) - NOMINAL_GAP;
        let map = self.map.get_or_insert(Map { id: self.next.msn, init }).clone();
        self.add_gap(map, start, NOMINAL_GAP);
    }

    fn add_gap(&mut self, map: Map, start: f64, duration: f64) {
        self.add(Segment { gap: true, duration, independent: true, ..self.empty(map, start) });
    }

    /// The next segment, before there is anything in it.
    fn empty(&self, map: Map, start: f64) -> Segment {
        Segment {
            msn: self.next.msn,
            map,
            discontinuity: false,
            discontinuity_sequence: self.next.discontinuity,
            start,
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
            if let Some(shape) = &mut self.shape {
                shape.fit(open.duration);
            }
        }
        self.let_go();
    }

    /// Ends the open segment with what there is of it.
    pub(super) fn end_segment(&mut self) {
        self.end_part();
        if let Some(segment) = self.open.take() {
            self.add(segment);
        }
    }

    fn add(&mut self, segment: Segment) {
        self.next.msn += 1;
        self.segments.push_back(segment);
        self.let_go();
    }

    /// Lets go of what is old or too much. One complete segment stays: a playlist without any is none.
    fn let_go(&mut self) {
        let Some(shape) = self.shape else { return };
        let open = self.open.as_ref();
        let mut duration: f64 = self.segments.iter().chain(open).map(|segment| segment.duration).sum();
        let mut bytes: usize = self.segments.iter().chain(open).map(|segment| segment.bytes).sum();
        while let Some(oldest) = self.segments.front().filter(|_| self.segments.len() > 1) {
            if duration - oldest.duration < shape.kept() && bytes <= self.limit {
                break;
            }
            duration -= oldest.duration;
            bytes -= oldest.bytes;
            self.segments.pop_front();
        }
        let listed = |segment: &&Segment| {
            duration -= segment.duration;
            duration < shape.listed()
        };
        let from = self.segments.iter().find(listed).or(self.segments.back()).map(|segment| segment.msn);
        self.listed_from = self.listed_from.max(from.unwrap_or(0));
    }
}
