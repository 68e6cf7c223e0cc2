//! Places audio on the video's timeline, beside the video of the same moment.
//!
//! The timeline has no gaps: frames that the relay leaves out, and each new epoch, shift the video. The audio must shift with
//! it to stay in sync. Source times and timeline positions are in seconds.

use std::collections::VecDeque;

/// Runs of video remembered. Audio may arrive a few seconds after its video, and gaps are rare.
const RUNS_MAX: usize = 16;
/// Audio that begins at most this long before a run still belongs to it: an audio fragment lasts some tens of milliseconds.
const BEFORE: f64 = 0.1;

/// The position of an audio fragment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AudioPlacement {
    /// Append with this `timestampOffset`.
    At(f64),
    /// Drop: its video was left out.
    Drop,
    /// Wait: its video has not been placed yet.
    Wait,
}

/// Contiguous video that was placed with one offset.
#[derive(Debug, Clone, Copy)]
struct VideoRun {
    timeline: u32,
    start: f64,
    end: f64,
    offset: f64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct AudioSync {
    runs: VecDeque<VideoRun>,
}

impl AudioSync {
    /// Records that the video from `start` to `end` of this source timeline was placed with `offset`.
    pub fn add_video(&mut self, timeline: u32, start: f64, end: f64, offset: f64) {
        match self.runs.back_mut() {
            Some(run) if run.timeline == timeline && run.offset == offset => run.end = end,
            _ => {
                if self.runs.len() == RUNS_MAX {
                    self.runs.pop_front();
                }
                self.runs.push_back(VideoRun { timeline, start, end, offset });
            }
        }
    }

    /// Returns the place of audio that begins at `time` of this source timeline.
    pub fn place(&self, timeline: u32, time: f64) -> AudioPlacement {
        let Some(last) = self.runs.back() else { return AudioPlacement::Wait };
        let mut ours = self.runs.iter().rev().filter(|run| run.timeline == timeline);
        match ours.find(|run| time >= run.start - BEFORE) {
            // Audio after the newest video belongs to video that has not arrived yet.
            Some(run) if std::ptr::eq(run, last) || time < run.end => AudioPlacement::At(run.offset),
            Some(_) => AudioPlacement::Drop,
            // Timelines are numbered: a newer one without video will receive some.
            None if timeline > last.timeline => AudioPlacement::Wait,
            None => AudioPlacement::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_follows_its_video() {
        let mut audio_sync = AudioSync::default();
        assert_eq!(audio_sync.place(1, 5.0), AudioPlacement::Wait);
        for n in 0..100 {
            let start = 5.0 + 0.04 * f64::from(n);
            audio_sync.add_video(1, start, start + 0.04, -4.0);
        }
        // The relay left out two seconds, and the timeline closed the gap.
        audio_sync.add_video(1, 11.0, 11.04, -6.0);
        assert_eq!(audio_sync.place(1, 4.95), AudioPlacement::At(-4.0), "a little before");
        assert_eq!(audio_sync.place(1, 4.0), AudioPlacement::Drop, "long before anybody visible");
        assert_eq!(audio_sync.place(1, 8.99), AudioPlacement::At(-4.0));
        assert_eq!(audio_sync.place(1, 9.5), AudioPlacement::Drop, "left out with its video");
        assert_eq!(audio_sync.place(1, 11.0), AudioPlacement::At(-6.0));
        assert_eq!(audio_sync.place(1, 12.0), AudioPlacement::At(-6.0), "the video of this is on its way");
    }

    #[test]
    fn restarted_source_has_its_own_timeline() {
        let mut audio_sync = AudioSync::default();
        audio_sync.add_video(1, 100.0, 101.0, -100.0);
        assert_eq!(audio_sync.place(2, 0.0), AudioPlacement::Wait);
        audio_sync.add_video(2, 0.0, 1.0, 1.0);
        assert_eq!(audio_sync.place(2, 0.5), AudioPlacement::At(1.0));
        assert_eq!(audio_sync.place(1, 100.5), AudioPlacement::At(-100.0), "audio that is late");
        assert_eq!(audio_sync.place(1, 102.0), AudioPlacement::Drop);
    }

    #[test]
    fn old_runs_are_dropped() {
        let mut audio_sync = AudioSync::default();
        (0..100).for_each(|n| audio_sync.add_video(1, f64::from(10 * n), f64::from(10 * n + 1), f64::from(-n)));
        assert_eq!(audio_sync.runs.len(), RUNS_MAX);
        assert_eq!(audio_sync.place(1, 0.0), AudioPlacement::Drop);
    }
}
