//! Where to play: the start of an epoch, the live edge, and out of holes and stalls.
//!
//! The relay sends the newest GOP at once, so the buffer of a new viewer may hold ten seconds before any of it is
//! shown. The first picture is the GOP's first, which costs one decoded frame whatever the GOP's length; then one jump
//! leads to the live edge. Nothing is seeked before the first picture unless playing cannot start otherwise: a seek
//! flushes the decoder, and hardware decoders that hold several frames would never come to show one.
//!
//! In goes a [`View`] of the player, out comes at most one [`Action`]; the caller performs it.

use super::pace::Steering;
use crate::time::{Moment, Span};

/// Media kept between the playhead and the newest frame until the pace is known, beside what the decoder needs: at 100 ms
/// in all browsers hardly stall on one-frame fragments, and at 40 ms they do.
const HOLD: f64 = 0.065;
/// The playhead is never put nearer to the newest frame's end than this.
const EDGE: f64 = 0.02;
/// Browsers round the time of a frame: this much of tolerance tells one from the one before.
pub(super) const HALF_A_FRAME: f64 = 0.02;
/// Right after the start of an epoch, more than this behind the live edge is worth a jump.
const SETTLE_BEHIND: f64 = 0.25;
/// The start lasts at least this long: a source that has just been started delivers its first seconds in bursts.
const SETTLE_MS: f64 = 4_000.0;
/// A playhead that has moved so far shows that the sound card runs.
const SOUND_RUNS: f64 = 0.05;
/// Jumps of one start, and the time that a browser needs to carry one out.
const SETTLE_JUMPS_MAX: u32 = 3;
const SETTLE_PAUSE_MS: f64 = 500.0;
/// Later, this much is: less is the business of the rate. A browser that is steered by seeks alone jumps earlier and
/// seldom.
const FAR_BEHIND: f64 = 0.7;
const FAR_BEHIND_SEEKING: f64 = 0.25;
/// A hidden page shows nothing: jumps there only keep the buffer bounded.
const FAR_BEHIND_HIDDEN: f64 = 10.0;
/// Frames decoded from the key frame to the target delay a jump: a further jump of the same start waits for a key
/// frame at most this far before its target.
const CHEAP_RUN_UP: f64 = 0.5;
/// Jumps are at least this far apart, and twice as far after each that did not help, up to the limit.
const COOLDOWN_MS: f64 = 2_000.0;
const COOLDOWN_SEEKING_MS: f64 = 10_000.0;
const COOLDOWN_MAX_MS: f64 = 60_000.0;
/// A playhead this close to the end of a range has used it up. Browsers stop up to a frame before it.
const AT_END: f64 = 0.1;
/// Browsers start to play across a hole of this size by themselves.
const START_TOLERANCE: f64 = 0.05;
/// Leftovers of the epoch before that are longer than this are skipped rather than played to the end.
const LEFTOVER_MAX: f64 = 0.3;
/// A playhead that stands still for this long with media ahead is stalled.
const STALL_MS: f64 = 1_000.0;
/// The same before the first picture of an epoch, when decoders start and 25 tiles may start at once.
const START_STALL_MS: f64 = 5_000.0;
/// The same for an epoch that follows another: the decoder runs, and WebKit's now and then does not go on by itself.
const RESTART_STALL_MS: f64 = 1_500.0;
/// An epoch that begins later than this follows another.
const FOLLOWS: f64 = 0.5;
/// Media ahead of a stalled playhead. Less is not a stall but an empty buffer.
const STALL_AHEAD: f64 = 0.25;
/// Repairs of one stall by seeking before giving up.
const REPAIRS_MAX: u32 = 3;

/// What the player looks like now.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// When this is.
    pub now: Moment,
    /// The video's `currentTime`.
    pub position: f64,
    /// The video's `buffered`, in order.
    pub ranges: &'a [Span],
    /// Where the newest key frame lies.
    pub newest_keyframe: Option<f64>,
    /// Whether everything received has been appended.
    pub appended: bool,
    /// Where the pace would play, once that is known.
    pub live: Option<f64>,
    /// Whether the page is visible and the video plays.
    pub showing: bool,
    /// Whether a seek is under way.
    pub seeking: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Set `currentTime`.
    Seek(f64),
    /// Seeking did not help: start over with an empty buffer. `presented` tells whether this epoch showed a picture.
    StartOver {
        /// Whether this epoch has shown a picture.
        presented: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Edge {
    steering: Steering,
    margin: f64,
    sound: bool,
    epoch_start: f64,
    presented: bool,
    start_seek: Option<f64>,
    /// None once this epoch has settled at the live edge.
    settling: Option<Settling>,
    /// The page was hidden: the next jump waits for nothing.
    returning: bool,
    jumped: Option<Moment>,
    cooldown_ms: f64,
    /// The last position that differed from the one before, and when it was reached.
    moved: Option<(f64, Moment)>,
    repairs: u32,
}

/// The start of an epoch.
#[derive(Debug, Clone, Copy, Default)]
struct Settling {
    /// When its first picture was looked at, and where the playhead was.
    since: Option<(Moment, f64)>,
    jumps: u32,
}

impl Edge {
    /// For a browser that is steered so, and whose decoder probably needs `margin`, before its first epoch. With `sound` the
    /// first jump waits for the sound card, which takes half a second to start and during which the live edge would move on.
    pub fn new(steering: Steering, margin: f64, sound: bool) -> Self {
        Self {
            steering,
            margin,
            sound,
            // Frames of the MediaSource before may still be told of: none of them is of an epoch of this one.
            epoch_start: f64::INFINITY,
            presented: false,
            start_seek: None,
            settling: None,
            returning: false,
            jumped: None,
            cooldown_ms: cooldown(steering),
            moved: None,
            repairs: 0,
        }
    }

    /// A new epoch begins at `start` of the video's timeline.
    pub fn begin_epoch(&mut self, start: f64) {
        let new = Self::new(self.steering, self.margin, self.sound);
        *self = Self { epoch_start: start, settling: Some(Settling::default()), ..new };
    }

    /// A frame was presented, `position` being its time. Returns whether it is the first of this epoch.
    pub fn frame_presented(&mut self, position: f64) -> bool {
        // The time of a frame is rounded: half a frame of tolerance tells the epochs apart.
        let first = !self.presented && position >= self.epoch_start - HALF_A_FRAME;
        self.presented |= first;
        first
    }

    /// Whether a frame of this epoch has been presented.
    pub fn has_presented(&self) -> bool {
        self.presented
    }

    /// The page became visible again.
    pub fn page_shown(&mut self) {
        self.returning = true;
        self.moved = None;
    }

    /// Decides what to do now, if anything.
    pub fn decide(&mut self, view: &View<'_>) -> Option<Action> {
        let newest = *view.ranges.last()?;
        let live = self.live(view, newest);
        let stalled = self.stalled(view, newest);
        if stalled {
            return Some(self.repair(view, live));
        }
        if view.seeking {
            return None;
        }
        if !self.presented {
            return self.start(view, newest).or_else(|| {
                // A hidden page presents nothing, and still its buffer has to be bounded.
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

    /// Before the first picture: only what playing needs in order to start.
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

    /// From the first picture, the GOP's first, to the live edge.
    fn settle(&mut self, view: &View<'_>, live: f64, behind: f64) -> Option<Action> {
        let settling = self.settling.as_mut()?;
        let (since, start) = *settling.since.get_or_insert((view.now, view.position));
        if self.sound && view.position - start < SOUND_RUNS {
            return None;
        }
        if behind <= SETTLE_BEHIND {
            if view.now.ms_since(since) >= SETTLE_MS {
                self.settling = None;
            }
            return None;
        }
        // Decoding from the key frame takes its time, during which the live edge moves on. Another jump into the same
        // GOP would lose as much again; one into the next GOP does not.
        let run_up = view.newest_keyframe.filter(|&key| key > view.position).map(|key| live - key);
        let cheap = run_up.is_some_and(|run_up| (0.0..=CHEAP_RUN_UP).contains(&run_up));
        let too_soon = self.jumped.is_some_and(|at| view.now.ms_since(at) < SETTLE_PAUSE_MS);
        if settling.jumps > 0 && (!cheap || too_soon) {
            return None;
        }
        settling.jumps += 1;
        if settling.jumps == SETTLE_JUMPS_MAX {
            self.settling = None;
        }
        Some(self.jump(view.now, live))
    }

    fn catch_up(&mut self, view: &View<'_>, live: f64, behind: f64) -> Option<Action> {
        if self.returning && view.showing {
            self.returning = false;
            return (behind > SETTLE_BEHIND).then(|| self.jump(view.now, live));
        }
        let limit = match self.steering {
            _ if !view.showing => FAR_BEHIND_HIDDEN,
            Steering::Rate => FAR_BEHIND,
            Steering::Seek => FAR_BEHIND_SEEKING,
        };
        let since = self.jumped.map(|at| view.now.ms_since(at));
        if behind <= limit {
            if since.is_some_and(|ms| ms > self.cooldown_ms) {
                self.cooldown_ms = cooldown(self.steering);
            }
            return None;
        }
        if since.is_some_and(|ms| ms < self.cooldown_ms) {
            return None;
        }
        if since.is_some() {
            self.cooldown_ms = (self.cooldown_ms * 2.0).min(COOLDOWN_MAX_MS);
        }
        Some(self.jump(view.now, live))
    }

    /// Whether the playhead stands still although it should move.
    fn stalled(&mut self, view: &View<'_>, newest: Span) -> bool {
        let ahead = newest.end - view.position.max(self.epoch_start.min(newest.end));
        let moving = self.moved.is_none_or(|(position, _)| position != view.position);
        if moving && self.presented {
            self.repairs = 0;
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

    fn repair(&mut self, view: &View<'_>, live: f64) -> Action {
        // The watch starts again, at the place to which the repair moves: being there is not yet progress.
        self.moved = Some((live, view.now));
        if self.repairs == REPAIRS_MAX {
            self.repairs = 0;
            return Action::StartOver { presented: self.presented };
        }
        self.repairs += 1;
        self.jump(view.now, live)
    }

    /// The place to play in the newest range.
    fn live(&self, view: &View<'_>, newest: Span) -> f64 {
        view.live.unwrap_or(newest.end - HOLD - self.margin).min(newest.end - EDGE).max(newest.start)
    }

    fn jump(&mut self, now: Moment, target: f64) -> Action {
        self.jumped = Some(now);
        Action::Seek(target)
    }
}

fn cooldown(steering: Steering) -> f64 {
    match steering {
        Steering::Rate => COOLDOWN_MS,
        Steering::Seek => COOLDOWN_SEEKING_MS,
    }
}

/// The start of the next range, when the playhead has used up the one it is in.
fn hole_ahead(view: &View<'_>) -> Option<f64> {
    let next = view.ranges.iter().find(|range| range.start > view.position)?;
    let left = view.ranges.iter().find(|range| range.contains(view.position)).map_or(0.0, |r| r.end - view.position);
    (left < AT_END).then_some(next.start)
}

#[cfg(test)]
mod tests;
