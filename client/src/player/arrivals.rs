//! The arrival times and lags of a track's frames, over the last half minute.
//!
//! The *lag* of a frame is its arrival time minus its start on the timeline, in seconds: constant but for jitter. [`latency_controller`] and
//! [`playout_delay`] follow it.
//!
//! [`latency_controller`]: super::latency_controller
//! [`playout_delay`]: super::playout_delay

use std::collections::VecDeque;

use crate::time::Moment;

/// A late frame counts in full until the first age. Its weight then falls linearly to zero at the second.
const FRESH_MS: f64 = 22_000.0;
const FORGOTTEN_MS: f64 = 30_000.0;
/// The worst delay within this window is excluded: a delay that happens once in half a minute has already cost its stall and
/// does not raise the target. A second one does.
const ONCE_MS: f64 = 1_000.0;
/// Arrivals are grouped into intervals of this length.
const MOMENT_MS: f64 = 250.0;
/// A frame that arrives within less than this fraction of its duration after the previous one was queued behind it.
const WAITED: f64 = 0.5;
/// A source that has just been started sends its first frames late and catches up: an encoder's queue drains over seconds. Within
/// this time, a lag below the least so far by at least the second constant, in seconds, ends the start. Earlier lags then do not
/// count as the link's.
const START_MS: f64 = 10_000.0;
const CAUGHT_UP: f64 = 0.02;
/// Upper limit of the jitter that the lag absorbs, in seconds. On a worse link, dropped frames are better than old ones.
const JITTER_MAX: f64 = 0.5;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    moments: VecDeque<Lags>,
    /// The newest frame's arrival time and start, and the distance of its start from the previous frame's.
    before: Option<(Moment, f64)>,
    step: f64,
    /// The arrival time of the first frame.
    begun: Option<Moment>,
}

/// The arrivals within one interval.
#[derive(Debug)]
struct Lags {
    at: Moment,
    earliest: f64,
    latest: f64,
}

impl Arrivals {
    /// Whether a frame has arrived.
    pub(super) fn has_begun(&self) -> bool {
        self.before.is_some()
    }

    /// Handles the arrival of the frame at `start` of the timeline.
    pub(super) fn add(&mut self, start: f64, now: Moment) {
        // A frame that follows the previous one sooner than its duration was queued behind it, so it adds no information. So
        // does each frame of the GOP that a viewer starts with; its first frame has waited for the viewer.
        let waited = self.before.is_none_or(|(at, before)| now.ms_since(at) / 1e3 < (start - before) * WAITED);
        self.step = self.before.map_or(0.0, |(_, before)| start - before);
        self.before = Some((now, start));
        if waited {
            return;
        }
        let lag = now.seconds() - start;
        let starting = now.ms_since(*self.begun.get_or_insert(now)) < START_MS;
        if starting && self.earliest().is_some_and(|earliest| lag < earliest - CAUGHT_UP) {
            self.moments.clear();
        }
        match self.moments.back_mut().filter(|moment| now.ms_since(moment.at) < MOMENT_MS) {
            Some(moment) => {
                (moment.earliest, moment.latest) = (moment.earliest.min(lag), moment.latest.max(lag));
            }
            None => self.moments.push_back(Lags { at: now, earliest: lag, latest: lag }),
        }
        while self.moments.front().is_some_and(|moment| now.ms_since(moment.at) > FORGOTTEN_MS) {
            self.moments.pop_front();
        }
    }

    /// The lag of the earliest frame; none before one counts.
    pub(super) fn earliest(&self) -> Option<f64> {
        self.moments.iter().map(|moment| moment.earliest).min_by(f64::total_cmp)
    }

    /// The lag of the latest frame, with a weight that falls with age and without one isolated delay.
    pub(super) fn latest(&self, now: Moment) -> Option<f64> {
        let earliest = self.earliest()?;
        let counts = |moment: &Lags| {
            let weight = (FORGOTTEN_MS - now.ms_since(moment.at)) / (FORGOTTEN_MS - FRESH_MS);
            (moment.latest - earliest).min(JITTER_MAX) * weight.clamp(0.0, 1.0)
        };
        let worst = self.moments.iter().max_by(|a, b| counts(a).total_cmp(&counts(b)))?;
        let apart = |at: Moment| at.ms_since(worst.at).max(worst.at.ms_since(at)) >= ONCE_MS;
        let others = self.moments.iter().filter(|moment| apart(moment.at)).map(counts);
        // With no other arrivals, the worst is the only estimate.
        Some(earliest + others.reduce(f64::max).unwrap_or_else(|| counts(worst)))
    }

    /// The greatest lag of the last `ms`, including an isolated delay, and at least that of the next frame due.
    pub(super) fn since(&self, now: Moment, ms: f64) -> Option<f64> {
        let (at, start) = self.before?;
        let due = now.seconds() - (start + self.step);
        let lately = self.moments.iter().filter(|moment| at.ms_since(moment.at) < ms);
        Some(lately.map(|moment| moment.latest).fold(due, f64::max))
    }
}
