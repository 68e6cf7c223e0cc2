//! How far behind the page's clock to play, and how fast.
//!
//! A frame that is to be shown at `start` of the timeline has to be there, decoded, when the playhead is. The playhead's
//! *lag*, page clock minus position, does not change while it plays at rate 1, and neither does a frame's, arrival minus
//! start, but for the jitter of its way here. So the least lag without a stall is that of the latest frame, and beside it
//! what the decoder needs. That is the target: it follows the latest of the frames of the last half minute, but for a
//! single mishap, and comes back down as they are forgotten. Nothing in it depends on the frame rate, and a camera's clock
//! that runs fast or slow is followed like any other change.
//!
//! What the decoder needs shows when it is missing: a playhead that stood still although every frame had been in time
//! raises the margin, for a while that grows each time it turns out to have been needed.
//!
//! Lags are in seconds. Arrivals, looks at the playhead and the time go in, the place to play at and the rate come out.

use std::collections::VecDeque;

use crate::time::Moment;

/// A late frame counts in full for so long, and then less and less until it is forgotten.
const FRESH_MS: f64 = 22_000.0;
const FORGOTTEN_MS: f64 = 30_000.0;
/// The worst that happens within so long is passed over: what happens once in half a minute has cost its stall already,
/// and does not cost a delay on top. What happens twice does.
const ONCE_MS: f64 = 1_000.0;
/// Arrivals are remembered in moments of this length.
const MOMENT_MS: f64 = 250.0;
/// A frame that comes after less than this part of the time it lasts has waited for the one before.
const WAITED: f64 = 0.5;
/// The most jitter that is played out. A link worse than this is better served by frames left out than by an old picture.
const JITTER_MAX: f64 = 0.5;
/// What is kept beside the latest frame's lag for the decoder at least, at most, and how much more when that was too little.
const MARGIN_MIN: f64 = 0.02;
const MARGIN_MAX: f64 = 0.5;
const MARGIN_STEP: f64 = 0.015;
/// A margin that was needed is kept for a minute, twice as long each time it was given up too soon, and then given up
/// slowly.
const MARGIN_KEPT_MS: f64 = 60_000.0;
const MARGIN_KEPT_MAX_MS: f64 = 960_000.0;
const MARGIN_GIVEN_UP_PER_S: f64 = 0.002;
/// Firefox renews `currentTime` once a frame: of the looks of so long the furthest is right.
const LOOKS_MS: f64 = 400.0;
/// With sound the playhead stands still at times until the sound card runs: that tells nothing of the decoder.
const STARTS_MS: f64 = 3_000.0;
/// A playhead that has fallen back by more than this stood still, at once or little by little; less is how browsers round.
/// Clocks that run apart make it fall back too, by less each second than this.
const STOOD_STILL: f64 = 0.015;
/// The same where the sound card's clock leads: Firefox follows it in steps.
const STOOD_STILL_SOUND: f64 = 0.05;
const CLOCKS_APART_PER_S: f64 = 0.000_5;
/// The rate changes by so much for each second off the target, within what no one notices in a picture; a picture that is
/// further behind may be hurried a little more.
const GAIN: f64 = 0.6;
const SLOWEST: f64 = 0.95;
const FASTEST: f64 = 1.06;
const HURRY_BEHIND: f64 = 0.2;
const HURRY: f64 = 1.12;
/// Further from the target than this something is done about it, until it is nearer than that; the rate has steps, so that
/// it is not set all the time.
const OFF: f64 = 0.012;
const NEAR: f64 = 0.003;
const STEP: f64 = 0.01;

/// How a browser is brought nearer to the live edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// By playing a little faster or slower.
    Rate,
    /// By a seek once in a while: Safari buffers anew whenever the rate changes.
    Seek,
}

/// See the module.
#[derive(Debug)]
pub struct Pace {
    steering: Steering,
    video: Arrivals,
    /// Those of the audio, while it is to be heard: the browser plays neither without the other.
    sound: Arrivals,
    margin: Margin,
    playhead: Playhead,
    /// When the playhead was first looked at.
    begun: Option<Moment>,
    rate: f64,
}

impl Pace {
    /// For a browser that is steered so, and whose decoder probably needs `margin`.
    pub fn new(steering: Steering, margin: f64) -> Self {
        Self {
            steering,
            video: Arrivals::default(),
            sound: Arrivals::default(),
            margin: Margin::new(margin),
            playhead: Playhead::default(),
            begun: None,
            rate: 1.0,
        }
    }

    /// What follows is placed anew on the timeline: earlier arrivals say nothing about it.
    pub fn begin(&mut self) {
        (self.video, self.sound) = (Arrivals::default(), Arrivals::default());
    }

    /// The frame at `start` of the timeline has been buffered; of several that were buffered together, the last.
    pub fn arrived(&mut self, start: f64, now: Moment) {
        self.video.add(start, now);
    }

    /// The same of the audio.
    pub fn sound_arrived(&mut self, start: f64, now: Moment) {
        self.sound.add(start, now);
    }

    /// The playhead, playing, is at `position`.
    pub fn looked(&mut self, position: f64, now: Moment) {
        let before = self.playhead.lag(now);
        let begun = *self.begun.get_or_insert(now);
        let sound = self.sound.before.is_some();
        let more = if sound { STOOD_STILL_SOUND } else { STOOD_STILL };
        let stood_still = self.playhead.look(position, self.rate, more, now);
        if stood_still && !(sound && now.ms_since(begun) < STARTS_MS)
            && let (Some(before), Some(latest), Some(just_now)) = (before, self.latest(now), self.just_now(now))
            // Where a frame came, or is to come, after its turn, the playhead had to wait for it. Otherwise it waited for
            // the decoder.
            && before > just_now
        {
            self.margin.was_too_little(before - latest, now);
        }
    }

    /// The playhead was moved, or does not play: what it did before says nothing about what it does next.
    pub fn interrupted(&mut self) {
        self.playhead = Playhead::default();
    }

    /// Where to play; none before a frame has arrived.
    pub fn live(&self, now: Moment) -> Option<f64> {
        self.target(now).map(|lag| now.seconds() - lag)
    }

    /// The lag to play at; none before a frame has arrived.
    pub fn target(&self, now: Moment) -> Option<f64> {
        self.latest(now).map(|latest| latest + self.margin.at(now))
    }

    /// By how much the latest of the newest frames came later than the earliest, in seconds, but for a single mishap.
    pub fn jitter(&self, now: Moment) -> Option<f64> {
        Some(self.video.latest(now)? - self.video.earliest()?)
    }

    /// How fast to play.
    pub fn rate(&mut self, now: Moment) -> f64 {
        let off = match (self.steering, self.playhead.lag(now), self.target(now)) {
            (Steering::Rate, Some(lag), Some(target)) => lag - target,
            _ => 0.0,
        };
        let fastest = if off > HURRY_BEHIND { HURRY } else { FASTEST };
        let enough = if self.rate == 1.0 { OFF } else { NEAR };
        let correction = (off.abs() * GAIN).max(STEP) * off.signum();
        let wanted = if off.abs() < enough { 1.0 } else { (1.0 + correction).clamp(SLOWEST, fastest) };
        if wanted == 1.0 || (wanted - self.rate).abs() >= STEP {
            self.playhead.rate_changed(self.rate, now);
            self.rate = wanted;
        }
        self.rate
    }

    /// The lag of what comes latest of both.
    fn latest(&self, now: Moment) -> Option<f64> {
        let video = self.video.latest(now)?;
        Some(self.sound.latest(now).map_or(video, |sound| video.max(sound)))
    }

    /// The same of what came lately.
    fn just_now(&self, now: Moment) -> Option<f64> {
        let video = self.video.just_now(now)?;
        Some(self.sound.just_now(now).map_or(video, |sound| video.max(sound)))
    }
}

/// When the frames of a track were buffered, and their lags.
#[derive(Debug, Default)]
struct Arrivals {
    moments: VecDeque<Lags>,
    /// The newest frame: when it was buffered, and its start; and how far that is from the one before.
    before: Option<(Moment, f64)>,
    step: f64,
}

/// The arrivals of a moment.
#[derive(Debug)]
struct Lags {
    at: Moment,
    earliest: f64,
    latest: f64,
}

impl Arrivals {
    fn add(&mut self, start: f64, now: Moment) {
        // One that follows the one before sooner than it lasts has waited for it: it tells nothing that the other does not.
        // So do all of the GOP that a viewer starts with, and the first of them has waited for the viewer.
        let waited = self.before.is_none_or(|(at, before)| now.ms_since(at) / 1e3 < (start - before) * WAITED);
        self.step = self.before.map_or(0.0, |(_, before)| start - before);
        self.before = Some((now, start));
        if waited {
            return;
        }
        let lag = now.seconds() - start;
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

    fn earliest(&self) -> Option<f64> {
        self.moments.iter().map(|moment| moment.earliest).min_by(f64::total_cmp)
    }

    /// The lag of the latest frame, each counting the less the longer ago it came; but for a single mishap.
    fn latest(&self, now: Moment) -> Option<f64> {
        let earliest = self.earliest()?;
        let counts = |moment: &Lags| {
            let weight = (FORGOTTEN_MS - now.ms_since(moment.at)) / (FORGOTTEN_MS - FRESH_MS);
            (moment.latest - earliest).min(JITTER_MAX) * weight.clamp(0.0, 1.0)
        };
        let worst = self.moments.iter().max_by(|a, b| counts(a).total_cmp(&counts(b)))?;
        let apart = |at: Moment| at.ms_since(worst.at).max(worst.at.ms_since(at)) >= ONCE_MS;
        let others = self.moments.iter().filter(|moment| apart(moment.at)).map(counts);
        // Without others all that is known is the worst.
        Some(earliest + others.reduce(f64::max).unwrap_or_else(|| counts(worst)))
    }

    /// The lag of the latest frame that came lately, whatever it was, and at least that of the one that is to come.
    fn just_now(&self, now: Moment) -> Option<f64> {
        let (at, start) = self.before?;
        let due = now.seconds() - (start + self.step);
        let lately = self.moments.iter().filter(|moment| at.ms_since(moment.at) < 2.0 * LOOKS_MS);
        Some(lately.map(|moment| moment.latest).fold(due, f64::max))
    }
}

/// The playhead's lag, from looks at it.
#[derive(Debug, Default)]
struct Playhead {
    /// Time played at the rates that were set, and when that was reckoned.
    played: Option<(f64, Moment)>,
    /// When it was looked at, and time played minus position: the same at every look at a playhead that does not stand
    /// still, whatever its rate.
    looks: VecDeque<(Moment, f64)>,
    /// The same when it last stood still, and when that was compared.
    reference: Option<(f64, Moment)>,
}

impl Playhead {
    /// Returns whether it has fallen back by `more` than this since it was looked at before.
    fn look(&mut self, position: f64, rate: f64, more: f64, now: Moment) -> bool {
        self.rate_changed(rate, now);
        let Some((played, _)) = self.played else { return false };
        self.looks.push_back((now, played - position));
        while self.looks.front().is_some_and(|&(at, _)| now.ms_since(at) > LOOKS_MS) {
            self.looks.pop_front();
        }
        let Some(offset) = self.offset() else { return false };
        let (reference, at) = self.reference.unwrap_or((offset, now));
        let stood_still = offset - reference > more;
        let apart = reference + now.ms_since(at) / 1e3 * CLOCKS_APART_PER_S;
        self.reference = Some((if stood_still { offset } else { offset.min(apart) }, now));
        stood_still
    }

    /// `rate` was played at until now.
    fn rate_changed(&mut self, rate: f64, now: Moment) {
        let (played, at) = self.played.unwrap_or((now.seconds(), now));
        self.played = Some((played + now.ms_since(at) / 1e3 * rate, now));
    }

    fn offset(&self) -> Option<f64> {
        self.looks.iter().map(|&(_, offset)| offset).min_by(f64::total_cmp)
    }

    fn lag(&self, now: Moment) -> Option<f64> {
        let (played, at) = self.played?;
        // What has passed since the last look was played too; the difference to the rate is below any rounding.
        Some(now.seconds() - (played + now.ms_since(at) / 1e3 - self.offset()?))
    }
}

/// What the decoder needs.
#[derive(Debug)]
struct Margin {
    usual: f64,
    value: f64,
    raised: Option<Moment>,
    kept_ms: f64,
}

impl Margin {
    fn new(usual: f64) -> Self {
        Self { usual: usual.max(MARGIN_MIN), value: usual.max(MARGIN_MIN), raised: None, kept_ms: MARGIN_KEPT_MS }
    }

    fn at(&self, now: Moment) -> f64 {
        let spare_ms = self.raised.map_or(0.0, |at| now.ms_since(at) - self.kept_ms).max(0.0);
        (self.value - spare_ms / 1e3 * MARGIN_GIVEN_UP_PER_S).max(self.usual.min(self.value))
    }

    fn was_too_little(&mut self, margin: f64, now: Moment) {
        let value = (margin.max(self.at(now)) + MARGIN_STEP).min(MARGIN_MAX);
        let given_up = self.raised.is_some() && self.at(now) < self.value;
        self.kept_ms = if given_up { (self.kept_ms * 2.0).min(MARGIN_KEPT_MAX_MS) } else { self.kept_ms };
        (self.value, self.raised) = (value, Some(now));
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
