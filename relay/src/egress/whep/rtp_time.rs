//! RTP timestamps: media times in ticks of 90 kHz (RFC 6184, section 5.1; RFC 7798, section 4.1) on one timeline across epochs.
//!
//! The newest frame of an epoch gets the time at which the epoch began for the viewer. Later frames follow by their decode
//! times and composition offsets. Older frames, of the GOP so far or of a replay, would lie in the past: each gets the previous
//! timestamp plus a millisecond. A receiver then plays them as fast as it can and learns no delay from them.

/// Ticks per second of RTP's video clock.
pub(super) const CLOCK_RATE: u64 = 90_000;

/// Timestamp interval of late frames.
const STEP: i64 = 90;

/// A larger difference between the media's clock and the relay's means a new timeline. It is more than a camera's stutter, and
/// less than a viewer would wait for a frame.
const TOLERANCE: i64 = 3 * CLOCK_RATE as i64;

/// Converts `ticks` of this timescale to 90 kHz.
pub(super) fn to_90_khz(ticks: i64, timescale: u32) -> i64 {
    let wide = i128::from(ticks) * i128::from(CLOCK_RATE) / i128::from(timescale.max(1));
    i64::try_from(wide).unwrap_or(i64::MAX)
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct RtpClock {
    /// Offset from media times to RTP times. `None` before an epoch's first frame.
    offset: Option<i64>,
    last: Option<i64>,
}

impl RtpClock {
    /// Starts an epoch with another timeline.
    pub(super) fn begin_epoch(&mut self) {
        self.offset = None;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 25 frames per second.
    const FRAME: i64 = 3600;
    const SECOND: i64 = 90_000;

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
    fn epoch_and_jump_restart_at_now() {
        let mut clock = RtpClock::default();
        clock.stamp(1_000_000, 0, SECOND);
        clock.begin_epoch();
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
