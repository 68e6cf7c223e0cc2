//! The timeline of one plain viewer.
//!
//! A client of the original system never seeks: it plays from 0 and stalls forever at a gap in its buffer. The first key frame
//! is therefore decoded and presented at 0, and each later frame is decoded where the previous one ends. This holds for any
//! source timeline and after skips for a slow link.
//!
//! - After a skip, the key frame is presented where the last presented frame ends.
//! - A frame that is presented before the key frame that decoding started with is dropped: it refers to frames that the viewer
//!   never got. Rec. ITU-T H.265 calls it a leading picture.
//! - Backward steps and gaps in the source's decode times are closed.
//! - A frame that lasts much longer than usual is shortened: frames were lost, or the source's clock was set. A player shows
//!   the same frame in either case. But WebKitGTK derives durations from the frame rate in the parameter sets and sees a gap.
//!   It then drops frames up to the next key frame (Media Source Extensions, section 3.5.8, "coded frame processing", step 6),
//!   which it never reaches. With B-frames, the frame with the longer presentation is unknown, and none is shortened.
//!
//! Input: fragment heads. Output: placements. Times are in ticks of the track. Pure.

use std::collections::VecDeque;

use sightline_media::fmp4::init::{InitSegment, Reordering};
use sightline_media::fmp4::media_times::Retiming;
use sightline_protocol::fragment::FragmentHead;

/// Number of recent durations for the median. Four lost frames among nine do not change it, and a new frame rate is followed
/// after five frames.
const WINDOW: usize = 9;
/// Minimum number of durations for a median: the first timestamps of an RTSP session are often bunched.
const KNOWN: usize = 5;
/// Allowed excess over the usual duration, in milliseconds, at most the usual duration itself. WebKit plays over gaps of two
/// frames at 24 frames per second (83 ms). It treats intervals of more than two frames as a discontinuity.
const STRETCH_MS: u64 = 80;

/// See the [module](self).
#[derive(Debug)]
pub(in crate::egress) struct Timeline {
    /// Ticks of [`STRETCH_MS`]. `None` if frames are not shortened.
    stretch: Option<u64>,
    /// The newest durations of the source, newest first.
    durations: VecDeque<u64>,
    /// The end of the source's previous fragment. `None` before the first.
    source_end: Option<u64>,
    /// Offset from the source's presentation times to the viewer's.
    shift: i64,
    /// End of the last retimed frame in decode time.
    decode_end: u64,
    /// Latest end of the retimed frames in presentation time.
    presentation_end: i64,
    /// Presentation time of the key frame that decoding last started with.
    begin: i64,
    /// Duration of the last retimed frame.
    duration: i64,
}

impl Timeline {
    /// A timeline for the fragments of this init segment. `usual` is their usual duration, if it is known.
    pub(in crate::egress) fn new(init: &InitSegment, usual: Option<u64>) -> Self {
        let in_order = init.reordering != Reordering::Present;
        Self {
            stretch: in_order.then_some(u64::from(init.timescale) * STRETCH_MS / 1000),
            durations: usual.map_or_else(VecDeque::new, |usual| VecDeque::from([usual; WINDOW])),
            source_end: None,
            shift: 0,
            decode_end: 0,
            presentation_end: 0,
            begin: 0,
            duration: 0,
        }
    }

    /// The retiming of the next fragment. `None` for a leading picture, which must not be sent. The first fragment, and the
    /// first after a skip, must hold a key frame.
    pub(in crate::egress) fn retime(&mut self, head: &FragmentHead) -> Option<Retiming> {
        let shown = (head.decode_time as i64).wrapping_add(head.composition_offset);
        match self.source_end {
            Some(end) if end == head.decode_time => {}
            Some(end) if !head.keyframe => {
                self.shift = self.shift.wrapping_sub(head.decode_time.wrapping_sub(end) as i64);
            }
            _ => {
                self.shift = self.presentation_end.wrapping_sub(shown);
                self.begin = self.presentation_end;
            }
        }
        self.source_end = Some(head.decode_time.wrapping_add(head.duration));
        let shown = shown.wrapping_add(self.shift);
        if shown < self.begin {
            return None;
        }
        let shortened = self.shortened(head);
        let duration = shortened.map_or(head.duration, u64::from);
        self.shift = self.shift.wrapping_sub_unsigned(head.duration - duration);
        let decode_time = self.decode_end;
        self.duration = i64::try_from(duration).unwrap_or(i64::MAX);
        self.decode_end = decode_time.saturating_add(duration);
        self.presentation_end = self.presentation_end.max(shown.saturating_add(self.duration));
        let composition_shift = shown.wrapping_sub(decode_time as i64).wrapping_sub(head.composition_offset);
        Some(Retiming { decode_time, duration: shortened, composition_shift })
    }

    /// The shortened duration of a frame that lasts too long.
    fn shortened(&mut self, head: &FragmentHead) -> Option<u32> {
        let usual = self.usual();
        self.durations.truncate(WINDOW - 1);
        self.durations.push_front(head.duration);
        let stretch = self.stretch.filter(|_| head.samples == 1)?;
        let usual = usual?;
        let most = usual.saturating_add(usual.min(stretch)).max(1);
        (head.duration > most).then(|| u32::try_from(most).ok())?
    }

    /// The median of the newest durations.
    fn usual(&self) -> Option<u64> {
        let mut sorted = [0; WINDOW];
        let sorted = &mut sorted[..self.durations.len()];
        self.durations.iter().zip(&mut *sorted).for_each(|(duration, sorted)| *sorted = *duration);
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() >= KNOWN)
    }

    /// Whether every frame with an earlier presentation time has been retimed. With B-frames, a later frame comes first in
    /// decode order, and skipping the following ones would leave a gap.
    pub(in crate::egress) fn is_whole(&self) -> bool {
        // Half a frame, because durations vary.
        self.presentation_end.saturating_sub(self.decode_end as i64) <= self.duration / 2
    }
}

#[cfg(test)]
mod tests;
