//! Detects a video that no longer shows new frames. A still frame looks just like live video.
//!
//! Two failures are distinguished. The playhead stands still where media is missing. Or the playhead moves and no frame is
//! presented: the browser's decoder or compositor has failed without an error.

use crate::time::Moment;

/// A playhead that has not moved for this long is stale. A camera of one frame per second stays below it.
const STALE_MS: f64 = 2_000.0;
/// The same for presented frames: starting a decoder and seeking into a long GOP take time.
const FROZEN_MS: f64 = 4_000.0;
/// Minimum number of frames appended meanwhile. A single frame may last for seconds (a slow camera, or before a gap) and stays
/// on screen for its duration.
const DUE: u64 = 10;

/// A sample of the video's state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaybackObservation {
    /// The video's `currentTime`.
    pub position: f64,
    /// The number of presented frames; always zero in a browser that does not count them.
    pub presented: u32,
    /// The number of appended frames; none if unknown, and then frames are assumed to arrive without gaps.
    pub appended: Option<u64>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct StallDetector {
    /// The last sample at which the playhead had moved: its position and time.
    moved: Option<(f64, Moment)>,
    /// The last sample at which the frame count had changed, and its time.
    renewed: Option<(PlaybackObservation, Moment)>,
    stale: bool,
    frozen: bool,
}

impl StallDetector {
    /// Takes a sample of the video; none while no frame can be seen (a hidden page, no presented frame). Returns whether the
    /// video is stale, when that has changed.
    pub fn observe(&mut self, observation: Option<PlaybackObservation>, now: Moment) -> Option<bool> {
        let stale = match observation {
            Some(observation) => {
                let stands = self.stands(observation.position, now);
                self.frozen = self.freezes(observation, now);
                stands || self.frozen
            }
            None => {
                (self.moved, self.renewed, self.frozen) = (None, None, false);
                false
            }
        };
        (std::mem::replace(&mut self.stale, stale) != stale).then_some(stale)
    }

    /// Whether the video was stale at the last sample.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether the video was frozen at the last sample: frames were due and none was presented.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn stands(&mut self, position: f64, now: Moment) -> bool {
        match self.moved {
            Some((last, at)) if position == last => now.ms_since(at) >= STALE_MS,
            _ => {
                self.moved = Some((position, now));
                false
            }
        }
    }

    fn freezes(&mut self, observation: PlaybackObservation, now: Moment) -> bool {
        match self.renewed {
            Some((last, at)) if observation.presented == last.presented && observation.presented > 0 => {
                let due =
                    observation.appended.zip(last.appended).is_none_or(|(now, then)| now.saturating_sub(then) >= DUE);
                // A playhead that stands still has another cause, and its own recovery.
                due && observation.position != last.position && now.ms_since(at) >= FROZEN_MS
            }
            _ => {
                self.renewed = Some((observation, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: f64) -> Moment {
        Moment::from_ms(ms)
    }

    /// A sample of a browser that does not count frames.
    fn place(position: f64) -> Option<PlaybackObservation> {
        Some(PlaybackObservation { position, presented: 0, appended: None })
    }

    #[test]
    fn still_playhead_is_stale_until_it_moves() {
        let mut stall_detector = StallDetector::default();
        assert_eq!(stall_detector.observe(place(1.0), at(0.0)), None);
        assert_eq!(stall_detector.observe(place(1.0), at(STALE_MS - 1.0)), None);
        assert!(!stall_detector.is_stale());
        assert_eq!(stall_detector.observe(place(1.0), at(STALE_MS)), Some(true));
        assert!(stall_detector.is_stale() && !stall_detector.is_frozen());
        assert_eq!(stall_detector.observe(place(1.0), at(STALE_MS + 250.0)), None, "said once");
        assert_eq!(stall_detector.observe(place(1.04), at(STALE_MS + 500.0)), Some(false));
    }

    #[test]
    fn hidden_page_is_not_stale() {
        let mut stall_detector = StallDetector::default();
        stall_detector.observe(place(1.0), at(0.0));
        stall_detector.observe(None, at(60_000.0));
        assert_eq!(stall_detector.observe(place(1.0), at(60_001.0)), None);
    }

    /// Takes a sample every 250 ms of a moving playhead, with these counts of presented and appended frames.
    fn goes_on(counts: impl Fn(u32) -> (u32, Option<u64>)) -> (Vec<(u32, bool)>, bool) {
        let (mut stall_detector, mut told) = (StallDetector::default(), Vec::new());
        for quarter in 0..60 {
            let (presented, appended) = counts(quarter);
            let observation = PlaybackObservation { position: f64::from(quarter) / 4.0, presented, appended };
            told.extend(
                stall_detector.observe(Some(observation), at(f64::from(quarter) * 250.0)).map(|stale| (quarter, stale)),
            );
        }
        (told, stall_detector.is_frozen())
    }

    #[test]
    fn moving_playhead_without_new_frames_is_frozen() {
        let frozen = (vec![(16, true)], true);
        assert_eq!(goes_on(|quarter| (3, Some(u64::from(quarter)))), frozen);
        assert_eq!(goes_on(|_| (3, None)), frozen);
        assert_eq!(goes_on(|quarter| (3 + quarter / 30, None)).0, [(16, true), (30, false), (46, true)]);
    }

    #[test]
    fn long_frame_is_not_frozen() {
        assert_eq!(goes_on(|quarter| (1 + quarter / 20, Some(u64::from(quarter / 20)))), (vec![], false));
        assert_eq!(goes_on(|_| (0, None)), (vec![], false), "not counted");
    }
}
