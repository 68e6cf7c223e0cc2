//! The window of audio follows the leading window of video segment by segment.
//!
//! Each of its segments has the number, the discontinuity sequence number and the clock of the video's segment. It starts with
//! the first frame of audio at or after the start of that one (RFC 8216bis, section 6.2.4). Every frame of audio is independent,
//! so a segment may start with any.

use std::sync::Arc;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;

use super::segmenter::NOMINAL_GAP;
use super::{SequenceNumbers, Window};
use crate::egress::hls::lead::{LedSegment, MediaTime};
use crate::egress::hls::segment::{Map, Segment};
use crate::egress::hls::target_duration::TargetDurations;

impl Window {
    /// Appends a fragment of audio in the segment `at` of `leader`. A fragment usually has `usual` ticks. Returns whether new media
    /// is available; `None` if the fragment does not belong to any segment that is still open.
    pub(in crate::egress::hls) fn follow(
        &mut self,
        (init, fragment, usual): (&Arc<InitSegment>, &Fragment, u64),
        at: &LedSegment,
        leader: &Self,
    ) -> Option<bool> {
        let (msn, time) = (at.position.msn, MediaTime::of(init, fragment.head.decode_time));
        let start = at.start + at.time.map_or(0.0, |start| time.seconds - start.seconds);
        let duration = init.time(fragment.head.duration).as_secs_f64();
        let usual = init.time(usual).as_secs_f64();
        if self.durations.is_none() && !self.begin_following(init, usual, at, start) {
            return None;
        }
        let mut news = false;
        match &self.open {
            Some(open) if open.msn > msn => return None,
            // Another init segment waits for a segment of its own.
            Some(open) if open.msn == msn => self.maps(init).then_some(())?,
            None if self.next.msn > msn => return None,
            _ => {
                self.end_segment();
                self.list_gaps(msn, start, leader);
                self.drop_before(leader.oldest());
                self.open_at(init, at, start, time);
                news = true;
            }
        }
        self.init = Some(init.clone());
        let part_target = self.durations?.part_target;
        Some(self.add(fragment, duration, part_target) || news)
    }

    /// Lists the complete segments of `leader` for which there is no audio as gaps (RFC 8216bis, section 4.4.4.7). Returns whether
    /// there are any.
    pub(in crate::egress::hls) fn follow_with_gaps(&mut self, leader: &Self) -> bool {
        let open = leader.edge().0;
        if self.durations.is_none() || self.edge().0 >= open {
            return false;
        }
        self.end_segment();
        let start = leader.segments.back().map_or(0.0, Segment::end);
        self.list_gaps(open, start, leader);
        true
    }

    /// Starts with an incomplete segment `at`, after a gap: players take a playlist without a complete segment for an empty one.
    /// Returns false if an earlier window has used these numbers.
    fn begin_following(&mut self, init: &Arc<InitSegment>, frame: f64, at: &LedSegment, start: f64) -> bool {
        let Some(first) = at.position.msn.checked_sub(1).filter(|first| *first >= self.floor) else { return false };
        self.durations = Some(TargetDurations::following(at.position.target_duration, frame));
        self.next = SequenceNumbers { msn: first, discontinuity: at.position.discontinuity };
        self.listed_from = first;
        let map = self.map.insert(Map { id: first, init: init.clone() }).clone();
        self.add_gap(map, start - NOMINAL_GAP, NOMINAL_GAP);
        true
    }

    /// Lists gaps up to the segment `msn`, which starts at `start`, each as long as the segment of `leader`. If that has dropped
    /// one, only the last is listed.
    fn list_gaps(&mut self, msn: u64, start: f64, leader: &Self) {
        let Some(map) = self.map.clone() else { return };
        if self.next.msn < msn && leader.complete(self.next.msn).is_none() {
            self.segments.clear();
            self.next.msn = msn - 1;
        }
        while self.next.msn < msn {
            let led = leader.complete(self.next.msn);
            let (start, duration) = led.map_or((start - NOMINAL_GAP, NOMINAL_GAP), |led| (led.start, led.duration));
            let discontinuity = led.is_some_and(|led| self.continue_at(led.position.discontinuity));
            self.add_segment(Segment {
                gap: true,
                discontinuity,
                duration,
                independent: true,
                ..self.empty(map.clone(), start)
            });
        }
    }

    /// Drops what `leader` has dropped, after a long outage. Keeps one complete segment: a playlist needs one.
    fn drop_before(&mut self, oldest: u64) {
        while self.segments.len() > 1 && self.segments.front().is_some_and(|segment| segment.msn < oldest) {
            self.segments.pop_front();
        }
        self.listed_from = self.listed_from.max(self.segments.front().map_or(0, |segment| segment.msn));
    }

    fn open_at(&mut self, init: &Arc<InitSegment>, at: &LedSegment, start: f64, time: MediaTime) {
        let discontinuity = self.continue_at(at.position.discontinuity);
        if !self.maps(init) {
            self.map = None;
        }
        let map = self.map.get_or_insert(Map { id: self.next.msn, init: init.clone() }).clone();
        if let Some(durations) = &mut self.durations {
            durations.target_duration = durations.target_duration.max(at.position.target_duration);
        }
        self.open = Some(Segment { discontinuity, independent: true, time: Some(time), ..self.empty(map, start) });
    }

    /// Continues with this discontinuity sequence number. Returns whether that is another than the previous segment's.
    fn continue_at(&mut self, sequence: u64) -> bool {
        self.next.discontinuity = sequence;
        self.segments.back().is_some_and(|before| before.discontinuity_sequence != sequence)
    }

    /// Whether players have this init segment. A later epoch of the same codec usually has the same one.
    fn maps(&self, init: &InitSegment) -> bool {
        self.map.as_ref().is_some_and(|map| map.init.bytes == init.bytes)
    }
}
