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
pub enum Place {
    /// Append with this `timestampOffset`.
    At(f64),
    /// Drop: its video was left out.
    Nowhere,
    /// Wait: its video has not been placed yet.
    Later,
}

/// Contiguous video that was placed with one offset.
#[derive(Debug, Clone, Copy)]
struct Run {
    timeline: u32,
    start: f64,
    end: f64,
    offset: f64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Alignment {
    runs: VecDeque<Run>,
}

impl Alignment {
    /// Records that the video from `start` to `end` of this source timeline was placed with `offset`.
    pub fn video(&mut self, timeline: u32, start: f64, end: f64, offset: f64) {
        match self.runs.back_mut() {
            Some(run) if run.timeline == timeline && run.offset == offset => run.end = end,
            _ => {
                if self.runs.len() == RUNS_MAX {
                    self.runs.pop_front();
                }
                self.runs.push_back(Run { timeline, start, end, offset });
            }
        }
    }

    /// Returns the place of audio that begins at `time` of this source timeline.
    pub fn place(&self, timeline: u32, time: f64) -> Place {
        let Some(last) = self.runs.back() else { return Place::Later };
        let mut ours = self.runs.iter().rev().filter(|run| run.timeline == timeline);
        match ours.find(|run| time >= run.start - BEFORE) {
            // Audio after the newest video belongs to video that has not arrived yet.
            Some(run) if std::ptr::eq(run, last) || time < run.end => Place::At(run.offset),
            Some(_) => Place::Nowhere,
            // Timelines are numbered: a newer one without video will receive some.
            None if timeline > last.timeline => Place::Later,
            None => Place::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_goes_where_the_video_of_its_moment_went() {
        let mut alignment = Alignment::default();
        assert_eq!(alignment.place(1, 5.0), Place::Later);
        for n in 0..100 {
            let start = 5.0 + 0.04 * f64::from(n);
            alignment.video(1, start, start + 0.04, -4.0);
        }
        // The relay left out two seconds, and the timeline closed the gap.
        alignment.video(1, 11.0, 11.04, -6.0);
        assert_eq!(alignment.place(1, 4.95), Place::At(-4.0), "a little before");
        assert_eq!(alignment.place(1, 4.0), Place::Nowhere, "long before anybody watched");
        assert_eq!(alignment.place(1, 8.99), Place::At(-4.0));
        assert_eq!(alignment.place(1, 9.5), Place::Nowhere, "left out with its video");
        assert_eq!(alignment.place(1, 11.0), Place::At(-6.0));
        assert_eq!(alignment.place(1, 12.0), Place::At(-6.0), "the video of this is on its way");
    }

    #[test]
    fn a_source_that_was_started_anew_has_a_timeline_of_its_own() {
        let mut alignment = Alignment::default();
        alignment.video(1, 100.0, 101.0, -100.0);
        assert_eq!(alignment.place(2, 0.0), Place::Later);
        alignment.video(2, 0.0, 1.0, 1.0);
        assert_eq!(alignment.place(2, 0.5), Place::At(1.0));
        assert_eq!(alignment.place(1, 100.5), Place::At(-100.0), "audio that is late");
        assert_eq!(alignment.place(1, 102.0), Place::Nowhere);
    }

    #[test]
    fn old_stretches_are_forgotten() {
        let mut alignment = Alignment::default();
        (0..100).for_each(|n| alignment.video(1, f64::from(10 * n), f64::from(10 * n + 1), f64::from(-n)));
        assert_eq!(alignment.runs.len(), RUNS_MAX);
        assert_eq!(alignment.place(1, 0.0), Place::Nowhere);
    }
}
