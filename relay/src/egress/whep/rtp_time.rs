//! RTP timestamps: media times in ticks of 90 kHz (RFC 6184, section 5.1; RFC 7798, section 4.1) on one timeline across epochs.
//!
//! The newest frame of an epoch gets the time at which the epoch began for the viewer. Later frames follow by their decode
//! times and composition offsets. Older frames, of the GOP so far or of a replay, would lie in the past: each gets the previous
//! timestamp plus a millisecond. A receiver then plays them as fast as it can and learns no delay from them.
//!
//! Sound has a clock of its own, of 48 kHz for Opus (RFC 7587, section 4.1) and 8 kHz for G.711. It follows the video's: both count
//! from the beginning of the session, and sound and frame of one moment have the same time. So one function gives the wallclocks
//! of both, from which the sender reports follow (RFC 3550, section 6.4.1): the receiver aligns the tracks by them.

use std::time::{Duration, Instant};

/// Ticks per second of RTP's video clock.
pub(super) const CLOCK_RATE: u64 = 90_000;

/// Frames may be stamped this much later than they are sent: the first ones after a late frame of the source, and those of a
/// burst, of 500 frames at most. GStreamer ignores reports with an RTP time a second ahead of the media.
const WALLCLOCK_LEAD: Duration = Duration::from_millis(500);

/// Timestamp interval of late frames.
const STEP: i64 = 90;

/// A larger difference between the media's clock and the relay's means a new timeline. It is more than a camera's stutter, and
/// less than a viewer would wait for a frame.
const TOLERANCE: i64 = 3 * CLOCK_RATE as i64;

/// Converts `ticks` of this timescale to 90 kHz.
pub(super) fn to_90_khz(ticks: i64, timescale: u32) -> i64 {
    convert(ticks, u64::from(timescale), CLOCK_RATE)
}

fn convert(ticks: i64, from: u64, to: u64) -> i64 {
    let wide = i128::from(ticks) * i128::from(to) / i128::from(from.max(1));
    i64::try_from(wide).unwrap_or(i64::MAX)
}

/// The time of a session, at present.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionTime {
    /// When it began.
    pub(super) began: Instant,
    pub(super) now: Instant,
}

impl SessionTime {
    /// The time since the session began.
    pub(super) fn elapsed(self) -> Duration {
        self.now.saturating_duration_since(self.began)
    }

    /// The wallclock of a frame or packet with this RTP time: a fixed distance behind it. str0m needs one that has passed, as it
    /// extrapolates a report's RTP time from there.
    pub(super) fn wallclock(self, rtp_time: Duration) -> Instant {
        let at = self.began + rtp_time;
        at.checked_sub(WALLCLOCK_LEAD).unwrap_or(at).min(self.now)
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct RtpClock {
    /// Offset from media times to RTP times. `None` before an epoch's first frame.
    offset: Option<i64>,
    last: Option<i64>,
    /// The timeline of the media times.
    timeline: Option<u32>,
}

impl RtpClock {
    /// Starts an epoch, on this timeline.
    pub(super) fn begin_epoch(&mut self, timeline: u32) {
        (self.offset, self.timeline) = (None, Some(timeline));
    }

    /// The RTP timestamp of the frame at `media`, followed by `lag` of media in the ring. `now` is the time since the session
    /// began. All in ticks of 90 kHz.
    pub(super) fn stamp(&mut self, media: i64, lag: i64, now: i64) -> u64 {
        let newest = media.saturating_add(lag);
        let fits = |offset: &i64| newest.saturating_add(*offset).saturating_sub(now).abs() <= TOLERANCE;
        let offset = self.offset.filter(fits).unwrap_or_else(|| {
            self.last = Some(self.last.map_or(now - STEP, |last| last.max(now - STEP)));
            now.saturating_sub(newest)
        });
        self.offset = Some(offset);
        let natural = media.saturating_add(offset).max(0);
        let time = self.last.map_or(natural, |last| natural.max(last + STEP));
        self.last = Some(time);
        time as u64
    }

    /// The RTP timestamp, in ticks of a clock of `rate`, of the sound at `decode_time` of a track with this timescale. `None` if
    /// nothing relates it to the video: before the first frame of an epoch, and on another timeline. `None` for sound from before
    /// the session, too.
    pub(super) fn stamp_audio(&self, timeline: u32, decode_time: u64, timescale: u32, rate: u64) -> Option<u64> {
        let offset = self.offset.filter(|_| self.timeline == Some(timeline))?;
        // Converted apart, so that packets of equal duration have equal distances.
        let media = convert(i64::try_from(decode_time).ok()?, u64::from(timescale), rate);
        let time = media.saturating_add(convert(offset, CLOCK_RATE, rate));
        u64::try_from(time).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 25 frames per second.
    const FRAME: i64 = 3600;
    const SECOND: i64 = 90_000;
    /// The clock of Opus.
    const OPUS: u64 = 48_000;
    /// The clock of G.711.
    const G711: u64 = 8000;

    #[test]
    fn any_timescale_becomes_90_khz() {
        assert_eq!(to_90_khz(12_800, 12_800), 90_000);
        assert_eq!(to_90_khz(-512, 12_800), -3600);
        assert_eq!(to_90_khz(7, 90_000), 7);
        assert_eq!(to_90_khz(1, 0), 90_000, "a timescale of 0 is no reason to panic");
        assert_eq!(to_90_khz(i64::MAX, 1), i64::MAX);
    }

    #[test]
    fn live_frames_keep_media_intervals() {
        let mut clock = RtpClock::default();
        let times: Vec<u64> = (0..4).map(|i| clock.stamp(1_000_000 + i * FRAME, 0, SECOND + i * 3000)).collect();
        assert_eq!(times, [90_000, 93_600, 97_200, 100_800]);
    }

    #[test]
    fn initial_gop_catches_up_to_live() {
        let mut clock = RtpClock::default();
        let (frames, now) = (50, 2 * SECOND);
        let burst: Vec<u64> = (0..frames).map(|i| clock.stamp(i * FRAME, (frames - 1 - i) * FRAME, now)).collect();
        let quick: Vec<u64> = (0..frames).map(|i| (now + i * STEP) as u64).collect();
        assert_eq!(burst, quick);
        assert_eq!(clock.stamp(frames * FRAME, 0, now + FRAME), (now + frames * STEP) as u64);
        assert_eq!(clock.stamp((frames + 1) * FRAME, 0, now + 2 * FRAME), (now + 2 * FRAME) as u64);
    }

    #[test]
    fn replayed_frames_continue_without_clock_drift() {
        let mut clock = RtpClock::default();
        for i in 0..25 {
            clock.stamp(i * FRAME, 0, SECOND + i * FRAME);
        }
        let now = SECOND + 24 * FRAME;
        let again: Vec<u64> = (0..25).map(|i| clock.stamp(i * FRAME, (24 - i) * FRAME, now)).collect();
        assert!(again.windows(2).all(|pair| pair[1] == pair[0] + STEP as u64), "{again:?}");
        assert_eq!(
            clock.stamp(25 * FRAME, 0, now + FRAME),
            (now + FRAME) as u64,
            "and the live ones are where they were"
        );
    }

    #[test]
    fn sound_and_frame_of_one_moment_have_one_wallclock() {
        let began = Instant::now();
        let session = SessionTime { began, now: began + Duration::from_secs(20) };
        let mut clock = RtpClock::default();
        clock.begin_epoch(3);
        clock.stamp(7 * SECOND, SECOND, 2 * SECOND);
        for (moment, timescale, rate) in
            [(9.0, 48_000, OPUS), (9.48, 8000, OPUS), (12.5, 44_100, OPUS), (14.0, 8000, G711)]
        {
            let frame = clock.stamp((moment * SECOND as f64) as i64, 0, ((moment - 6.0) * SECOND as f64) as i64);
            let sound = clock.stamp_audio(3, (moment * f64::from(timescale)) as u64, timescale, rate).unwrap();
            let frame = session.wallclock(Duration::from_secs_f64(frame as f64 / CLOCK_RATE as f64));
            let sound = session.wallclock(Duration::from_secs_f64(sound as f64 / rate as f64));
            let apart = frame.max(sound) - frame.min(sound);
            assert!(apart < Duration::from_micros(50), "{moment} s: {apart:?}");
        }
    }

    #[test]
    fn packets_of_equal_duration_have_equal_distances() {
        let mut clock = RtpClock::default();
        clock.begin_epoch(1);
        clock.stamp(12_345, 0, 67_891);
        let times: Vec<u64> =
            (10..30).map(|packet| clock.stamp_audio(1, packet * 960, 48_000, OPUS).unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 960), "{times:?}");
    }

    #[test]
    fn sound_without_a_frame_of_its_timeline_has_no_time() {
        let mut clock = RtpClock::default();
        assert_eq!(clock.stamp_audio(1, 48_000, 48_000, OPUS), None);
        clock.begin_epoch(1);
        assert_eq!(clock.stamp_audio(1, 48_000, 48_000, OPUS), None, "no frame yet");
        clock.stamp(SECOND, 0, SECOND / 2);
        assert_eq!(clock.stamp_audio(1, 48_000, 48_000, OPUS), Some(24_000));
        assert_eq!(clock.stamp_audio(2, 48_000, 48_000, OPUS), None, "another run of the source");
        assert_eq!(clock.stamp_audio(1, 20_000, 48_000, OPUS), None, "from before the session");
        clock.begin_epoch(2);
        assert_eq!(clock.stamp_audio(2, 48_000, 48_000, OPUS), None, "no frame yet");
    }

    #[test]
    fn wallclock_has_passed_and_keeps_distances() {
        let began = Instant::now();
        let session = SessionTime { began, now: began + Duration::from_secs(5) };
        let ms = Duration::from_millis;
        let live = session.wallclock(ms(5000));
        assert_eq!(session.now - live, WALLCLOCK_LEAD);
        assert_eq!(session.wallclock(ms(5400)) - live, ms(400), "of a burst");
        assert_eq!(session.wallclock(ms(9000)), session.now);
        assert_eq!(session.elapsed(), ms(5000));
    }

    #[test]
    fn epoch_and_jump_restart_at_now() {
        let mut clock = RtpClock::default();
        clock.stamp(1_000_000, 0, SECOND);
        clock.begin_epoch(2);
        assert_eq!(clock.stamp(5, 0, 3 * SECOND), 3 * SECOND as u64);
        assert_eq!(clock.stamp(5 + 1000 * SECOND, 0, 3 * SECOND + FRAME), (3 * SECOND + FRAME) as u64);
        assert_eq!(clock.stamp(5, 0, 3 * SECOND + 2 * FRAME), (3 * SECOND + 2 * FRAME) as u64);
    }

    #[test]
    fn silence_is_not_a_jump() {
        let mut clock = RtpClock::default();
        clock.stamp(0, 0, SECOND);
        assert_eq!(clock.stamp(60 * SECOND, 0, 61 * SECOND + 7), 61 * SECOND as u64);
    }
}
