//! Decides the target lag behind the page's clock, and the playback rate.
//!
//! A frame at timeline position `start` must be decoded before the playhead reaches it. The *lag* of the playhead is the page's
//! clock minus its position; at rate 1 it is constant. The lag of a frame is its arrival time minus its start; it is constant
//! but for network jitter. The least lag without a stall is therefore the lag of the latest frame plus the decoder's margin.
//!
//! The target is that sum, over the frames of the last half minute. One isolated delay is excluded, and old frames lose weight
//! until they are dropped. The target does not depend on the frame rate. It follows the drift of a camera's clock like any
//! other change.
//!
//! A playhead that stands still although every frame was in time shows that the margin is too small. The margin is then raised
//! and kept for some time, which doubles each time the margin was lowered too soon.
//!
//! Lags are in seconds. Input: arrivals, playhead samples and the time. Output: the position to play at, and the rate.

use std::collections::VecDeque;

use super::arrivals::Arrivals;
use crate::time::Moment;

/// The decoder's margin, added to the latest frame's lag, in seconds: minimum, maximum, and the increment after a stall.
const MARGIN_MIN: f64 = 0.02;
const MARGIN_MAX: f64 = 0.5;
const MARGIN_STEP: f64 = 0.015;
/// A raised margin is kept for a minute, and twice as long each time it was lowered too soon. It is then lowered at this rate.
const MARGIN_KEPT_MS: f64 = 60_000.0;
const MARGIN_KEPT_MAX_MS: f64 = 960_000.0;
const MARGIN_GIVEN_UP_PER_S: f64 = 0.002;
/// Firefox updates `currentTime` once per frame. The furthest position sampled within this window is the most accurate.
const SAMPLES_MS: f64 = 400.0;
/// With audio, the playhead may stand still for this long until the sound card runs: that reveals nothing of the decoder.
const AUDIO_START_MS: f64 = 3_000.0;
/// A playhead that has fallen back by more than this has stood still, at once or gradually, in seconds. Browsers round
/// positions by less.
const STOOD_STILL: f64 = 0.015;
/// The same with audio, where the sound card's clock leads: Firefox follows it in steps. The second constant is the lag per
/// second that clock drift alone may add.
const STOOD_STILL_AUDIO: f64 = 0.05;
const CLOCKS_APART_PER_S: f64 = 0.000_5;
/// Change of the rate per second of offset from the target, and its limits: viewers do not notice the change. Video that is
/// further behind may play a little faster.
const GAIN: f64 = 0.6;
const SLOWEST: f64 = 0.95;
const FASTEST: f64 = 1.06;
const CATCH_UP_FROM: f64 = 0.2;
const CATCH_UP_RATE: f64 = 1.12;
/// A correction starts beyond the first offset and ends below the second, in seconds. The rate changes in steps, so that it is
/// not set all the time.
const CORRECTION_START: f64 = 0.012;
/// With audio: Firefox plays sound early after each change of the rate.
const CORRECTION_START_AUDIO: f64 = 0.06;
const CORRECTION_END: f64 = 0.003;
const STEP: f64 = 0.01;

/// The means of bringing the playhead nearer to the live edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorrectionMode {
    /// A slightly higher or lower playback rate.
    Rate,
    /// Occasional seeks: Safari rebuffers at each change of the rate.
    Seek,
}

/// See the module.
#[derive(Debug)]
pub struct LatencyController {
    correction_mode: CorrectionMode,
    video: Arrivals,
    /// The arrivals of audio, while audio is on: the browser plays neither track without the other.
    audio: Arrivals,
    margin: Margin,
    playhead: Playhead,
    /// The time of the first playhead sample.
    begun: Option<Moment>,
    rate: f64,
}

impl LatencyController {
    /// Creates the controller. `margin` is the time that the decoder probably needs, in seconds.
    pub fn new(correction_mode: CorrectionMode, margin: f64) -> Self {
        Self {
            correction_mode,
            video: Arrivals::default(),
            audio: Arrivals::default(),
            margin: Margin::new(margin),
            playhead: Playhead::default(),
            begun: None,
            rate: 1.0,
        }
    }

    /// Forgets all arrivals: the media that follows gets a new offset on the timeline.
    pub fn begin(&mut self) {
        (self.video, self.audio) = (Arrivals::default(), Arrivals::default());
    }

    /// Handles the arrival of the frame at `start` of the timeline. Of several frames in one append, pass the last.
    pub fn arrived(&mut self, start: f64, now: Moment) {
        self.video.add(start, now);
    }

    /// Handles the arrival of audio at `start` of the timeline.
    pub fn audio_arrived(&mut self, start: f64, now: Moment) {
        self.audio.add(start, now);
    }

    /// Samples the position of a playing playhead.
    pub fn sample_position(&mut self, position: f64, now: Moment) {
        let before = self.playhead.lag(now);
        let begun = *self.begun.get_or_insert(now);
        let audio = self.audio.has_begun();
        let more = if audio { STOOD_STILL_AUDIO } else { STOOD_STILL };
        let stood_still = self.playhead.sample(position, self.rate, more, now);
        if stood_still && !(audio && now.ms_since(begun) < AUDIO_START_MS)
            && let (Some(before), Some(latest), Some(just_now)) = (before, self.latest(now), self.just_now(now))
            // The playhead waited for a frame that came late, or is overdue. Otherwise it waited for the decoder.
            && before > just_now
        {
            self.margin.raise(before - latest, now);
        }
    }

    /// Forgets the playhead's samples: it was moved, or does not play.
    pub fn reset_playhead(&mut self) {
        self.playhead = Playhead::default();
    }

    /// The position to play at; none before a frame has arrived.
    pub fn live(&self, now: Moment) -> Option<f64> {
        self.target(now).map(|lag| now.seconds() - lag)
    }

    /// The target lag; none before a frame has arrived.
    pub fn target(&self, now: Moment) -> Option<f64> {
        self.latest(now).map(|latest| latest + self.margin.at(now))
    }

    /// The lag of the latest frame minus that of the earliest, in seconds, without one isolated delay.
    pub fn jitter(&self, now: Moment) -> Option<f64> {
        Some(self.video.latest(now)? - self.video.earliest()?)
    }

    /// Returns the playback rate.
    pub fn rate(&mut self, now: Moment) -> f64 {
        let off = match (self.correction_mode, self.playhead.lag(now), self.target(now)) {
            (CorrectionMode::Rate, Some(lag), Some(target)) => lag - target,
            _ => 0.0,
        };
        let fastest = if off > CATCH_UP_FROM { CATCH_UP_RATE } else { FASTEST };
        let start_at = if self.audio.has_begun() { CORRECTION_START_AUDIO } else { CORRECTION_START };
        let enough = if self.rate == 1.0 { start_at } else { CORRECTION_END };
        let correction = (off.abs() * GAIN).max(STEP) * off.signum();
        let wanted = if off.abs() < enough { 1.0 } else { (1.0 + correction).clamp(SLOWEST, fastest) };
        if wanted == 1.0 || (wanted - self.rate).abs() >= STEP {
            self.playhead.rate_changed(self.rate, now);
            self.rate = wanted;
        }
        self.rate
    }

    /// The greater of the tracks' latest lags.
    fn latest(&self, now: Moment) -> Option<f64> {
        let video = self.video.latest(now)?;
        Some(self.audio.latest(now).map_or(video, |audio| video.max(audio)))
    }

    /// The same for recent arrivals only.
    fn just_now(&self, now: Moment) -> Option<f64> {
        let video = self.video.since(now, 2.0 * SAMPLES_MS)?;
        Some(self.audio.since(now, 2.0 * SAMPLES_MS).map_or(video, |audio| video.max(audio)))
    }
}

/// The playhead's lag, estimated from samples of its position.
#[derive(Debug, Default)]
struct Playhead {
    /// The time played at the rates that were set, in seconds, and the time of that calculation.
    played: Option<(f64, Moment)>,
    /// The sample times, and the time played minus the position. That difference is constant while the playhead moves, whatever
    /// the rate.
    samples: VecDeque<(Moment, f64)>,
    /// The least such difference since the playhead last stood still, plus clock drift, and the time of that comparison.
    reference: Option<(f64, Moment)>,
}

impl Playhead {
    /// Returns whether the playhead has fallen back by more than `more` seconds.
    fn sample(&mut self, position: f64, rate: f64, more: f64, now: Moment) -> bool {
        self.rate_changed(rate, now);
        let Some((played, _)) = self.played else { return false };
        self.samples.push_back((now, played - position));
        while self.samples.front().is_some_and(|&(at, _)| now.ms_since(at) > SAMPLES_MS) {
            self.samples.pop_front();
        }
        let Some(offset) = self.offset() else { return false };
        let (reference, at) = self.reference.unwrap_or((offset, now));
        let stood_still = offset - reference > more;
        let apart = reference + now.ms_since(at) / 1e3 * CLOCKS_APART_PER_S;
        self.reference = Some((if stood_still { offset } else { offset.min(apart) }, now));
        stood_still
    }

    /// Accounts for playback at `rate` until now.
    fn rate_changed(&mut self, rate: f64, now: Moment) {
        let (played, at) = self.played.unwrap_or((now.seconds(), now));
        self.played = Some((played + now.ms_since(at) / 1e3 * rate, now));
    }

    fn offset(&self) -> Option<f64> {
        self.samples.iter().map(|&(_, offset)| offset).min_by(f64::total_cmp)
    }

    fn lag(&self, now: Moment) -> Option<f64> {
        let (played, at) = self.played?;
        // The time since the last sample counts as played at rate 1; the error is below any rounding.
        Some(now.seconds() - (played + now.ms_since(at) / 1e3 - self.offset()?))
    }
}

/// The decoder's margin.
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

    fn raise(&mut self, margin: f64, now: Moment) {
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
