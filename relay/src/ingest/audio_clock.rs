//! Places a camera's audio on the timeline of its video.
//!
//! The RTP clocks of two tracks start at random values. Sender reports give the wall-clock time of a timestamp of each track
//! (RFC 3550, section 6.4.1), and so the distance of the clocks. Where there are none, and where the reports contradict the
//! arrival of packets by more than [`PLAUSIBLE`], the distance follows from arrival. The least delayed packets of both tracks are
//! taken to be equally late. If the camera delays its audio, that distance is wrong by the delay: audio is dropped until the
//! reports have come, for [`REPORTS_WAIT`] at most.
//!
//! Frames stay contiguous while they are within [`TOLERANCE`] of their time: rounding and a distance that is known better do
//! not cut the audio. A frame that would overlap the one before is dropped.
//!
//! Input is RTP timestamps in seconds of their clocks, and arrival times in seconds of any clock; output is a decode time in
//! ticks of the audio. Pure: reads no clock.

/// What the decode time of a frame may be off by before it is corrected: with the error of the distance, below the 45 ms that
/// viewers notice (ITU-R BT.1359).
const TOLERANCE: f64 = 0.010;
/// The most that sender reports and arrival times may disagree: a camera's audio is not a second behind its video.
const PLAUSIBLE: f64 = 1.0;
/// How long the least delayed packet is remembered, at least; twice as long at most.
const WINDOW: f64 = 10.0;
/// A timestamp that differs by more from the last one comes from a clock that was set.
const JUMP: f64 = 3.0;
/// How long to wait for sender reports: RFC 3550, section 6.2, has the first ones after half of five seconds, varied by half.
const REPORTS_WAIT: f64 = 5.0;
/// The most that audio may be ahead of the video or behind it. A larger distance means that the clock of one track was set, and
/// that of the other track follows.
const APART_MAX: f64 = 5.0;

/// What is known of one track's clock: wall-clock time minus RTP time.
#[derive(Debug, Default)]
struct TrackClock {
    last: Option<f64>,
    /// The least distance of arrival and timestamp in the present window, which began at that time, and in the one before.
    window: f64,
    min: Option<f64>,
    previous_min: Option<f64>,
    /// By the last sender report.
    reported: Option<f64>,
}

impl TrackClock {
    fn arrived(&mut self, time: f64, now: f64) {
        if self.last.is_some_and(|last| (time - last).abs() > JUMP) {
            *self = Self { reported: self.reported, ..Self::default() };
        }
        if self.last.is_none() || time - self.window >= WINDOW {
            (self.window, self.previous_min, self.min) = (time, self.min, None);
        }
        self.last = Some(time);
        let distance = now - time;
        self.min = Some(self.min.map_or(distance, |least| least.min(distance)));
    }

    fn by_arrival(&self) -> Option<f64> {
        let least = self.min?;
        Some(self.previous_min.map_or(least, |before| before.min(least)))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct AudioClock {
    /// Ticks a second of the audio's timestamps.
    rate: f64,
    video: TrackClock,
    audio: TrackClock,
    /// When the first frame arrived, until the wait for reports is over.
    waiting: Option<f64>,
    settled: bool,
    /// The timestamp and the decode time of the last frame that was placed, and where it ends.
    written: Option<(i64, i64, i64)>,
}

impl AudioClock {
    /// For audio with this clock rate.
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate: rate.into(),
            video: TrackClock::default(),
            audio: TrackClock::default(),
            waiting: None,
            settled: false,
            written: None,
        }
    }

    /// The video frame at `time` has arrived.
    pub(super) fn video_arrived(&mut self, time: f64, now: f64) {
        self.video.arrived(time, now);
    }

    /// A sender report of the video: `time` is `ntp` on the wall clock.
    pub(super) fn video_reported(&mut self, time: f64, ntp: f64) {
        self.video.reported = Some(ntp - time);
    }

    /// A sender report of the audio.
    pub(super) fn audio_reported(&mut self, time: f64, ntp: f64) {
        self.audio.reported = Some(ntp - time);
    }

    /// The decode time of the frame of `length` ticks at `timestamp`, which arrived at `now`. `timeline` is the start of the
    /// timeline minus the video's clock, in seconds. None where the frame has no time.
    pub(super) fn decode_time(&mut self, timestamp: i64, length: i64, now: f64, timeline: f64) -> Option<u64> {
        // A packet leaves once its last sample is there.
        self.audio.arrived((timestamp + length) as f64 / self.rate, now);
        if !self.is_settled(now) {
            return None;
        }
        let on_video_clock = timestamp as f64 / self.rate + self.distance()?;
        if (on_video_clock - self.video.last?).abs() > APART_MAX {
            return None;
        }
        let exact = ((on_video_clock + timeline) * self.rate).round() as i64;
        let tolerance = (TOLERANCE * self.rate) as i64;
        let time = match self.written {
            Some((last, time, end)) => {
                let contiguous = time.saturating_add(timestamp.saturating_sub(last));
                let time = if contiguous.abs_diff(exact) <= tolerance as u64 { contiguous } else { exact };
                if time < end {
                    return None;
                }
                time
            }
            None => exact,
        };
        self.written = Some((timestamp, time, time + length));
        u64::try_from(time).ok()
    }

    /// Whether sender reports have come, or the wait for them is over.
    fn is_settled(&mut self, now: f64) -> bool {
        let since = *self.waiting.get_or_insert(now);
        let reported = self.audio.reported.is_some() && self.video.reported.is_some();
        self.settled |= reported || now - since >= REPORTS_WAIT;
        self.settled
    }

    /// What to add to a time of the audio's clock for that of the video's.
    fn distance(&self) -> Option<f64> {
        let by_arrival = self.audio.by_arrival()? - self.video.by_arrival()?;
        let reported = self.audio.reported.zip(self.video.reported).map(|(audio, video)| audio - video);
        Some(reported.filter(|reported| (reported - by_arrival).abs() <= PLAUSIBLE).unwrap_or(by_arrival))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 8000;
    const FRAME: i64 = 160;
    /// Where the clocks of video and audio start, and the timeline.
    const VIDEO: f64 = 5000.0;
    const AUDIO: i64 = 8_000_000;
    const TIMELINE: f64 = 10.0 - VIDEO;

    /// A clock that no longer waits for reports.
    fn settled() -> AudioClock {
        AudioClock { settled: true, ..AudioClock::new(RATE) }
    }

    /// Plays `seconds` of both tracks, packets of the audio being late by `delay`; returns where the frames are placed, in
    /// seconds after their due time.
    fn play(clock: &mut AudioClock, from: f64, seconds: f64, delay: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut errors = Vec::new();
        for n in 0..(seconds / 0.02) as usize {
            let at = from + n as f64 * 0.02;
            if n % 2 == 0 {
                clock.video_arrived(VIDEO + at, 100.0 + at);
            }
            let timestamp = AUDIO + (at * f64::from(RATE)).round() as i64;
            let placed = clock.decode_time(timestamp, FRAME, 100.0 + at + 0.02 + delay(n), TIMELINE);
            errors.extend(placed.map(|time| time as f64 / f64::from(RATE) - 10.0 - at));
        }
        errors
    }

    fn all_within(errors: &[f64], limit: f64) -> bool {
        errors.iter().all(|error| error.abs() <= limit)
    }

    #[test]
    fn missing_reports_align_the_least_delayed_packets() {
        let mut clock = settled();
        let errors = play(&mut clock, 0.0, 30.0, |n| 0.08 * ((n * 7919 % 13) as f64 / 13.0));
        assert!(errors.len() > 1450, "{} frames have a time", errors.len());
        assert!(all_within(&errors[50..], 0.011), "{errors:?}");
    }

    #[test]
    fn reports_correct_arrival_estimate() {
        let mut clock = settled();
        // The camera holds its audio back for 300 ms.
        let before = play(&mut clock, 0.0, 2.0, |_| 0.3);
        assert!(before.iter().all(|error| (error - 0.3).abs() < 0.001), "{before:?}");
        clock.video_reported(VIDEO, 3e9);
        assert!((play(&mut clock, 2.0, 1.0, |_| 0.3)[0] - 0.3).abs() < 0.001, "one report tells nothing");
        clock.audio_reported(AUDIO as f64 / f64::from(RATE), 3e9);
        let after = play(&mut clock, 3.0, 2.0, |_| 0.3);
        assert!(all_within(&after, 0.001), "{after:?}");
        assert_eq!(after.len(), 100 - 15, "what would have been played twice is dropped");
    }

    #[test]
    fn frames_wait_for_reports_or_timeout() {
        let mut clock = AudioClock::new(RATE);
        assert!(play(&mut clock, 0.0, 1.0, |_| 0.3).is_empty());
        clock.video_reported(VIDEO, 3e9);
        assert!(play(&mut clock, 1.0, 1.0, |_| 0.3).is_empty(), "one report tells nothing");
        clock.audio_reported(AUDIO as f64 / f64::from(RATE), 3e9);
        let errors = play(&mut clock, 2.0, 1.0, |_| 0.3);
        assert!(errors.len() == 50 && all_within(&errors, 0.001), "{errors:?}");

        let mut clock = AudioClock::new(RATE);
        let placed = play(&mut clock, 0.0, 6.0, |_| 0.0).len();
        assert!((49..=51).contains(&placed), "{placed} frames of the last second");
    }

    #[test]
    fn implausible_reports_are_ignored() {
        let mut clock = settled();
        clock.video_reported(VIDEO, 3e9);
        clock.audio_reported(AUDIO as f64 / f64::from(RATE), 0.0);
        assert!(all_within(&play(&mut clock, 0.0, 2.0, |_| 0.0), 0.001));
    }

    #[test]
    fn clock_change_moves_no_frame() {
        let mut clock = settled();
        play(&mut clock, 0.0, 2.0, |_| 0.0);
        let hour = 3600 * i64::from(RATE);
        let seconds = |time: Option<u64>| time.unwrap() as f64 / f64::from(RATE);
        // The audio first, by arrival; then the video, and its timeline starts again.
        let first = seconds(clock.decode_time(AUDIO + 16_000 + hour, FRAME, 102.02, TIMELINE));
        assert!((first - 12.0).abs() < 0.011, "{first}");
        clock.video_arrived(VIDEO + 3602.04, 102.04);
        let second = seconds(clock.decode_time(AUDIO + 16_320 + hour, FRAME, 102.06, TIMELINE - 3600.0));
        assert!((second - 12.04).abs() < 0.011, "{second}");
    }

    #[test]
    fn frames_wait_for_video() {
        assert_eq!(AudioClock::new(RATE).decode_time(AUDIO, FRAME, 100.0, 0.0), None);
    }

    #[test]
    fn video_clock_that_arrival_times_replace_keeps_the_audio() {
        let mut clock = settled();
        clock.video_reported(VIDEO, 500.0);
        clock.audio_reported(AUDIO as f64 / f64::from(RATE), 500.0);
        play(&mut clock, 0.0, 12.0, |_| 0.0);
        // The times of the video are those of a wall clock from now on, and so is the timeline's distance from them.
        let mut placed = 0;
        for n in 0..100 {
            let at = 12.0 + f64::from(n) * 0.04;
            clock.video_arrived(1.7e9 + at, 100.0 + at);
            let timestamp = AUDIO + (at * f64::from(RATE)).round() as i64;
            let time = clock.decode_time(timestamp, 2 * FRAME, 100.0 + at + 0.04, 10.0 - 1.7e9);
            placed += u32::from(time.is_some_and(|time| (time as f64 / f64::from(RATE) - 10.0 - at).abs() < 0.06));
        }
        assert!(placed > 90, "{placed} of 100");
    }
}
