//! Decides the playback position: the start of an epoch, the live edge, and the way out of gaps and stalls.
//!
//! The relay sends the newest GOP at once, so a new viewer's buffer may hold ten seconds before a frame is presented. Playback
//! starts at the GOP's first frame, which costs one decoded frame whatever the GOP's length. One seek then leads to the live
//! edge. No seek precedes the first presented frame unless playback cannot start otherwise: a seek flushes the decoder, and a
//! hardware decoder that holds several frames would never present one.
//!
//! Input: a [`View`] of the player. Output: at most one [`Action`], which the caller performs.

use super::latency_controller::CorrectionMode;
use crate::time::{Moment, Span};

/// Media kept between the playhead and the newest frame until the target lag is known, in addition to the decoder's margin, in
/// seconds. At 100 ms in all, browsers hardly stall on one-frame fragments; at 40 ms they do.
const HOLD: f64 = 0.065;
/// Minimum distance of a seek target from the newest frame's end, in seconds.
const EDGE: f64 = 0.02;
/// Tolerance for the rounding of a frame's time, in seconds. Frames of up to 50 a second are further apart.
pub(super) const FRAME_TOLERANCE: f64 = 0.02;
/// Right after the start of an epoch, a playhead further than this behind the live edge seeks, in seconds.
const SETTLE_BEHIND: f64 = 0.25;
/// Minimum duration of the start: a source that has just been started delivers its first seconds in bursts.
const SETTLE_MS: f64 = 4_000.0;
/// Playhead progress that proves that the sound card runs, in seconds.
const AUDIO_RUNS: f64 = 0.05;
/// Seeks of one start, and the time that a browser needs to perform one.
const SETTLE_SEEKS_MAX: u32 = 3;
const SETTLE_PAUSE_MS: f64 = 500.0;
/// After the start, a playhead further than this behind the live edge seeks, in seconds. The playback rate corrects less. A
/// browser that is steered by seeks alone seeks earlier, and rarely.
const FAR_BEHIND: f64 = 0.7;
const FAR_BEHIND_SEEKING: f64 = 0.25;
/// A hidden page presents no frame: seeks there only bound the buffer.
const FAR_BEHIND_HIDDEN: f64 = 10.0;
/// Decoding from the key frame to the target delays a seek. A further seek of the same start waits for a key frame at most this
/// far before its target, in seconds.
const CHEAP_RUN_UP: f64 = 0.5;
/// Minimum interval between seeks. It doubles after each seek that did not help, up to the limit.
const COOLDOWN_MS: f64 = 2_000.0;
const COOLDOWN_SEEKING_MS: f64 = 10_000.0;
const COOLDOWN_MAX_MS: f64 = 60_000.0;
/// A playhead this close to the end of a range has played it out, in seconds. Browsers stop up to a frame before the end.
const AT_END: f64 = 0.1;
/// Browsers start playback across a gap of this size, in seconds.
const START_TOLERANCE: f64 = 0.05;
/// A longer remainder of the previous epoch is skipped rather than played to its end, in seconds.
const LEFTOVER_MAX: f64 = 0.3;
/// A playhead that stands still for this long with media ahead is stalled.
const STALL_MS: f64 = 1_000.0;
/// The same before an epoch's first presented frame: decoders start, possibly for 25 tiles at once.
const START_STALL_MS: f64 = 5_000.0;
/// The same for an epoch that follows another: the decoder runs, and WebKit's occasionally does not resume by itself.
const RESTART_STALL_MS: f64 = 1_500.0;
/// An epoch that begins later than this on the timeline follows another, in seconds.
const FOLLOWS: f64 = 0.5;
/// Media ahead of a stalled playhead, in seconds. Less is an empty buffer, not a stall.
const STALL_AHEAD: f64 = 0.25;
/// Seeks that try to resolve one stall before the player starts over.
const RECOVERIES_MAX: u32 = 3;

/// The player's current state.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The time of this view.
    pub now: Moment,
    /// The video's `currentTime`.
    pub position: f64,
    /// The video's `buffered` ranges, in order.
    pub ranges: &'a [Span],
    /// The position of the newest key frame.
    pub newest_keyframe: Option<f64>,
    /// Whether all received media has been appended.
    pub appended: bool,
    /// The position that the latency controller targets, once known.
    pub live: Option<f64>,
    /// Whether the page is visible and the video plays.
    pub showing: bool,
    /// Whether a seek is in progress.
    pub seeking: bool,
}

/// What the caller is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Set `currentTime`.
    Seek(f64),
    /// Start over with an empty buffer: seeking did not help.
    StartOver {
        /// Whether a frame of this epoch has been presented.
        presented: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub struct LiveEdge {
    correction_mode: CorrectionMode,
    margin: f64,
    audio: bool,
    epoch_start: f64,
    presented: bool,
    start_seek: Option<f64>,
    /// None once this epoch has settled at the live edge.
    settling: Option<Settling>,
    /// The page was hidden: the next seek skips the cooldown.
    returning: bool,
    sought_at: Option<Moment>,
    cooldown_ms: f64,
    /// The last position that differed from the previous one, and when the playhead reached it.
    moved: Option<(f64, Moment)>,
    recoveries: u32,
}

/// The start of an epoch.
#[derive(Debug, Clone, Copy, Default)]
struct Settling {
    /// The time of the first view with a presented frame, and the playhead's position then.
    since: Option<(Moment, f64)>,
    seeks: u32,
}

impl LiveEdge {
    /// Creates the state before the first epoch. `margin` is the time that the decoder probably needs, in seconds. With `audio`
    /// the first seek waits for the sound card: its start takes half a second, during which the live edge would move on.
    pub fn new(correction_mode: CorrectionMode, margin: f64, audio: bool) -> Self {
        Self {
            correction_mode,
            margin,
            audio,
            // The browser may still report frames of the previous MediaSource: none of them belongs to an epoch of this one.
            epoch_start: f64::INFINITY,
            presented: false,
            start_seek: None,
            settling: None,
            returning: false,
            sought_at: None,
            cooldown_ms: cooldown(correction_mode),
            moved: None,
            recoveries: 0,
        }
    }

    /// Begins a new epoch at `start` of the video's timeline.
    pub fn begin_epoch(&mut self, start: f64) {
        let new = Self::new(self.correction_mode, self.margin, self.audio);
        *self = Self { epoch_start: start, settling: Some(Settling::default()), ..new };
    }

    /// Handles a presented frame at `position`. Returns whether it is the first of this epoch.
    pub fn frame_presented(&mut self, position: f64) -> bool {
        // The browser rounds a frame's time: half a frame of tolerance separates the epochs.
        let first = !self.presented && position >= self.epoch_start - FRAME_TOLERANCE;
        self.presented |= first;
        first
    }

    /// Whether a frame of this epoch has been presented.
    pub fn has_presented(&self) -> bool {
        self.presented
    }

    /// Handles the page becoming visible again.
    pub fn page_shown(&mut self) {
        self.returning = true;
        self.moved = None;
    }

    /// Decides the next action, if any.
    pub fn decide(&mut self, view: &View<'_>) -> Option<Action> {
        let newest = *view.ranges.last()?;
        let live = self.live(view, newest);
        let stalled = self.stalled(view, newest);
        if stalled {
            return Some(self.recover(view, live));
        }
        if view.seeking {
            return None;
        }
        if !self.presented {
            return self.start(view, newest).or_else(|| {
                // A hidden page presents no frame, but its buffer must stay bounded.
                let hidden = !view.showing;
                hidden.then(|| self.catch_up(view, live, live - view.position)).flatten()
            });
        }
        let behind = live - view.position;
        if let Some(target) = hole_ahead(view) {
            return Some(Action::Seek(target.max(if behind > FAR_BEHIND { live } else { target })));
        }
        if self.settling.is_some() && !view.appended {
            return None; // the burst is still being appended: the live edge is not known
        }
        self.settle(view, live, behind).or_else(|| self.catch_up(view, live, behind))
    }

    /// Before the first presented frame: seeks only where playback cannot start otherwise.
    fn start(&mut self, view: &View<'_>, newest: Span) -> Option<Action> {
        if newest.end <= self.epoch_start {
            return None;
        }
        let reachable = view.ranges.iter().any(|range| {
            let wide = Span { start: range.start - START_TOLERANCE, end: range.end };
            wide.contains(view.position)
        });
        let leftover = self.epoch_start - view.position > LEFTOVER_MAX;
        let target = newest.start.max(self.epoch_start);
        if (reachable && !leftover) || self.start_seek == Some(target) {
            return None;
        }
        self.start_seek = Some(target);
        Some(Action::Seek(target))
    }

    /// Leads from the first presented frame, the GOP's first, to the live edge.
    fn settle(&mut self, view: &View<'_>, live: f64, behind: f64) -> Option<Action> {
        let settling = self.settling.as_mut()?;
        let (since, start) = *settling.since.get_or_insert((view.now, view.position));
        if self.audio && view.position - start < AUDIO_RUNS {
            return None;
        }
        if behind <= SETTLE_BEHIND {
            if view.now.ms_since(since) >= SETTLE_MS {
                self.settling = None;
            }
            return None;
        }
        // Decoding from the key frame takes time, during which the live edge moves on. Another seek into the same GOP would
        // lose as much again; one into the next GOP does not.
        let run_up = view.newest_keyframe.filter(|&key| key > view.position).map(|key| live - key);
        let cheap = run_up.is_some_and(|run_up| (0.0..=CHEAP_RUN_UP).contains(&run_up));
        let too_soon = self.sought_at.is_some_and(|at| view.now.ms_since(at) < SETTLE_PAUSE_MS);
        if settling.seeks > 0 && (!cheap || too_soon) {
            return None;
        }
        settling.seeks += 1;
        if settling.seeks == SETTLE_SEEKS_MAX {
            self.settling = None;
        }
        Some(self.seek(view.now, live))
    }

    fn catch_up(&mut self, view: &View<'_>, live: f64, behind: f64) -> Option<Action> {
        if self.returning && view.showing {
            self.returning = false;
            return (behind > SETTLE_BEHIND).then(|| self.seek(view.now, live));
        }
        let limit = match self.correction_mode {
            _ if !view.showing => FAR_BEHIND_HIDDEN,
            CorrectionMode::Rate => FAR_BEHIND,
            CorrectionMode::Seek => FAR_BEHIND_SEEKING,
        };
        let since = self.sought_at.map(|at| view.now.ms_since(at));
        if behind <= limit {
            if since.is_some_and(|ms| ms > self.cooldown_ms) {
                self.cooldown_ms = cooldown(self.correction_mode);
            }
            return None;
        }
        if since.is_some_and(|ms| ms < self.cooldown_ms) {
            return None;
        }
        if since.is_some() {
            self.cooldown_ms = (self.cooldown_ms * 2.0).min(COOLDOWN_MAX_MS);
        }
        Some(self.seek(view.now, live))
    }

    /// Whether the playhead stands still although media is ahead.
    fn stalled(&mut self, view: &View<'_>, newest: Span) -> bool {
        let ahead = newest.end - view.position.max(self.epoch_start.min(newest.end));
        let moving = self.moved.is_none_or(|(position, _)| position != view.position);
        if moving && self.presented {
            self.recoveries = 0;
        }
        if moving || !view.showing || ahead < STALL_AHEAD {
            self.moved = Some((view.position, view.now));
            return false;
        }
        let limit = match self.presented {
            true => STALL_MS,
            false if self.epoch_start > FOLLOWS => RESTART_STALL_MS,
            false => START_STALL_MS,
        };
        self.moved.is_some_and(|(_, at)| view.now.ms_since(at) >= limit)
    }

    fn recover(&mut self, view: &View<'_>, live: f64) -> Action {
        // Stall detection restarts at the seek's target: reaching it is not progress yet.
        self.moved = Some((live, view.now));
        if self.recoveries == RECOVERIES_MAX {
            self.recoveries = 0;
            return Action::StartOver { presented: self.presented };
        }
        self.recoveries += 1;
        self.seek(view.now, live)
    }

    /// The live edge within the newest range.
    fn live(&self, view: &View<'_>, newest: Span) -> f64 {
        view.live.unwrap_or(newest.end - HOLD - self.margin).min(newest.end - EDGE).max(newest.start)
    }

    fn seek(&mut self, now: Moment, target: f64) -> Action {
        self.sought_at = Some(now);
        Action::Seek(target)
    }
}

fn cooldown(correction_mode: CorrectionMode) -> f64 {
    match correction_mode {
        CorrectionMode::Rate => COOLDOWN_MS,
        CorrectionMode::Seek => COOLDOWN_SEEKING_MS,
    }
}

/// Returns the start of the next range when the playhead has played out the current one.
fn hole_ahead(view: &View<'_>) -> Option<f64> {
    let next = view.ranges.iter().find(|range| range.start > view.position)?;
    let left = view.ranges.iter().find(|range| range.contains(view.position)).map_or(0.0, |r| r.end - view.position);
    (left < AT_END).then_some(next.start)
}

#[cfg(test)]
mod tests;
