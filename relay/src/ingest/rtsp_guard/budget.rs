//! Budgets for a camera's media: bytes of an access unit, and frames in a second; and whether the camera has ended all tracks (RTCP
//! BYE). Packets and time in, a refusal out.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Refusal;
use crate::limits::rate_limiter::RateLimiter;

/// Bytes of one access unit: three seconds of a camera of 20 Mbit/s. The reader holds a frame in three copies for a moment.
pub(super) const ACCESS_UNIT_MAX: usize = 8 * 1024 * 1024;
/// What a packet costs besides its bytes, so that empty packets have a limit as well.
const PACKET_COST: usize = 64;
/// The cost of a byte in an aggregation packet: the reader's record of a NAL unit is ten times as large as a unit of one byte.
const AGGREGATED_COST: usize = 12;
/// Frames in a second. Cameras send 60 at most, and sound in packets of 5 ms.
const FRAMES_PER_SECOND: f64 = 240.0;
/// Frames that may come at once: a server sends the GOP that it has stored.
const BURST: f64 = 960.0;

/// Sources that are remembered: one session's, with its RTCP.
const DEAD_MAX: usize = 16;

/// A source that has been alone for so long after PLAY is not dead.
const ALONE: Duration = Duration::from_secs(2);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Budget {
    begun: Instant,
    /// By channel: there are 256 at most.
    tracks: HashMap<u8, TrackBudget>,
    /// Sources of a session that has ended, and the budget for what they send.
    dead: Vec<u32>,
    dead_track: TrackBudget,
    /// Whether another source was heard after PLAY, and since when only [`Self::dead`] ones were.
    is_heard: bool,
    only_dead: Option<Instant>,
}

#[derive(Debug)]
struct TrackBudget {
    /// The source of its media; none for a channel of RTCP.
    ssrc: Option<u32>,
    has_sent_bye: bool,
    timestamp: Option<u32>,
    /// Bytes of the current access unit.
    bytes: usize,
    frames: RateLimiter,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            tracks: HashMap::new(),
            dead: Vec::new(),
            dead_track: TrackBudget::new(),
            is_heard: false,
            only_dead: None,
        }
    }

    /// Counts the packet on a channel.
    pub(super) fn packet(&mut self, channel: u8, packet: &[u8], now: Instant) -> Result<(), Refusal> {
        let now = now.saturating_duration_since(self.begun);
        self.tracks.entry(channel).or_insert_with(TrackBudget::new).packet(packet, now)?;
        for ssrc in byes(packet) {
            self.tracks
                .values_mut()
                .filter(|track| track.ssrc == Some(ssrc))
                .for_each(|track| track.has_sent_bye = true);
        }
        Ok(())
    }

    /// Whether a packet belongs to a session that has ended: its source was heard `before_play`. Old live555 servers send such a
    /// session's media into the connection that got its number. A source that stays alone is the session's own: the camera began
    /// to send early.
    pub(super) fn is_dead(&mut self, packet: &[u8], before_play: bool, now: Instant) -> bool {
        let Some(ssrc) = word(packet, if is_rtcp(packet) { 4 } else { 8 }) else { return before_play };
        let is_known = self.dead.contains(&ssrc);
        if before_play && !is_known && self.dead.len() < DEAD_MAX {
            self.dead.push(ssrc);
        }
        if before_play {
            return true;
        }
        self.is_heard |= !is_known;
        let since = *self.only_dead.get_or_insert(now);
        if !self.is_heard && now.saturating_duration_since(since) > ALONE {
            self.dead.clear();
            return false;
        }
        is_known
    }

    /// Counts a packet of a dead source ([`Self::is_dead`]), apart from the frames of other sources, which it does not end.
    pub(super) fn dead_packet(&mut self, packet: &[u8], now: Instant) -> Result<(), Refusal> {
        self.dead_track.packet(packet, now.saturating_duration_since(self.begun))
    }

    /// Whether every track that has sent media has ended it (RTCP BYE, RFC 3550, section 6.6).
    pub(super) fn has_ended(&self) -> bool {
        let mut senders = self.tracks.values().filter(|track| track.ssrc.is_some()).peekable();
        senders.peek().is_some() && senders.all(|track| track.has_sent_bye)
    }
}

impl TrackBudget {
    fn new() -> Self {
        let frames = RateLimiter::new(FRAMES_PER_SECOND, BURST);
        Self { ssrc: None, has_sent_bye: false, timestamp: None, bytes: 0, frames }
    }

    fn packet(&mut self, packet: &[u8], now: Duration) -> Result<(), Refusal> {
        // RTCP has no timestamp here: each packet counts.
        let is_rtcp = is_rtcp(packet);
        let timestamp = word(packet, 4);
        if !is_rtcp {
            (self.ssrc, self.has_sent_bye) = (word(packet, 8), false);
        }
        if is_rtcp || self.timestamp != timestamp {
            (self.timestamp, self.bytes) = (timestamp, 0);
            if !self.frames.allows(1.0, now) {
                return Err(Refusal::FrameRate);
            }
        }
        let payload = packet.get(12..).unwrap_or_default();
        let aggregated = is_aggregation(payload);
        self.bytes += PACKET_COST + payload.len() * if aggregated { AGGREGATED_COST } else { 1 };
        let ends = packet.get(1).is_some_and(|marker| marker & 0x80 != 0) && !is_rtcp;
        if self.bytes > ACCESS_UNIT_MAX {
            return Err(Refusal::AccessUnit);
        }
        if ends {
            // The next packet begins a frame, whatever its timestamp.
            (self.timestamp, self.bytes) = (None, 0);
        }
        Ok(())
    }
}

/// Whether a payload is a STAP-A of H.264 (RFC 6184, section 5.7.1) or an aggregation packet of the base layer of H.265 (RFC 7798,
/// section 4.4.2). The first byte of the latter is no NAL unit of H.264.
fn is_aggregation(payload: &[u8]) -> bool {
    matches!(payload, [header, ..] if header & 0x1f == 24) || matches!(payload, [0x60, 1..=7, ..])
}

/// Whether a packet is of RTCP (RFC 5761, section 4).
fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

fn word(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
}

/// The sources that end by a compound packet of RTCP: the first of each BYE.
fn byes(packet: &[u8]) -> Vec<u32> {
    let (mut found, mut rest) = (Vec::new(), packet);
    while is_rtcp(rest) {
        if rest[1] == 203 {
            found.extend(word(rest, 4));
        }
        let words = rest.get(2..4).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        rest = rest.get(4 * (words + 1)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, 96 | u8::from(marker) << 7, 0, 0];
        packet.extend(timestamp.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(payload);
        packet
    }

    #[test]
    fn camera_of_120_frames_a_second_is_no_flood() {
        let (mut budget, start) = (Budget::new(), Instant::now());
        for n in 0..10_000u32 {
            let now = start + Duration::from_secs(1) / 120 * n;
            assert_eq!(budget.packet(0, &packet(n * 750, true, &[0x41; 1000]), now), Ok(()), "frame {n}");
        }
        let now = start + Duration::from_secs(100);
        let flood = (0..2000u32).map(|n| budget.packet(0, &packet(n, true, &[0x41]), now)).find(Result::is_err);
        assert_eq!(flood, Some(Err(Refusal::FrameRate)));
        assert_eq!(budget.packet(2, &packet(0, true, &[1]), now), Ok(()), "each track has its own");
    }

    #[test]
    fn access_unit_is_bounded_by_what_it_costs() {
        let now = Instant::now();
        let bytes_until_refusal = |payload: &[u8]| {
            let mut budget = Budget::new();
            let packet = packet(7, false, payload);
            (1..).find(|_| budget.packet(0, &packet, now).is_err()).unwrap_or(0) * payload.len()
        };
        assert!((ACCESS_UNIT_MAX - 600_000..=ACCESS_UNIT_MAX).contains(&bytes_until_refusal(&[0x7c; 1200])));
        assert!(bytes_until_refusal(&[0x78; 1200]) < ACCESS_UNIT_MAX / 10, "aggregated");
        let h265 = [&[0x60, 0x01][..], &[0; 1198]].concat();
        assert!(bytes_until_refusal(&h265) < ACCESS_UNIT_MAX / 10, "aggregated in H.265");
        assert!(bytes_until_refusal(&[0x61; 1200]) > ACCESS_UNIT_MAX / 2, "a slice of H.264 that is a reference");
        assert!(bytes_until_refusal(&[0x7c]) < ACCESS_UNIT_MAX / 60, "tiny packets");
    }

    #[test]
    fn source_that_stays_alone_is_the_sessions_own() {
        let (mut budget, start) = (Budget::new(), Instant::now());
        let early = [&packet(0, true, &[0x41])[..11], &[7, 0x41]].concat();
        assert!(budget.is_dead(&early, true, start) && budget.is_dead(&early, false, start));
        assert!(budget.is_dead(&early, false, start + ALONE));
        assert!(!budget.is_dead(&early, false, start + ALONE * 2));
    }

    #[test]
    fn sources_heard_before_play_stay_dead() {
        let (mut budget, now) = (Budget::new(), Instant::now());
        let from = |ssrc: u8| [&packet(0, true, &[0x41])[..11], &[ssrc, 0x41]].concat();
        let report = |ssrc: u8| [0x80, 200, 0, 1, 0, 0, 0, ssrc];
        assert!(budget.is_dead(&from(7), true, now) && budget.is_dead(&report(8), true, now));
        assert!(
            budget.is_dead(&from(7), false, now)
                && budget.is_dead(&report(7), false, now)
                && budget.is_dead(&from(8), false, now)
        );
        assert!(!budget.is_dead(&from(9), false, now) && !budget.is_dead(&report(9), false, now));
        assert!(!budget.is_dead(&[0x80], false, now) && budget.is_dead(&[], true, now), "nonsense is not of a session");
        (0..u8::MAX).for_each(|ssrc| assert!(budget.is_dead(&from(ssrc), true, now)));
        assert_eq!(budget.dead.len(), DEAD_MAX);
    }

    #[test]
    fn camera_has_ended_once_all_its_tracks_have() {
        let (mut budget, now) = (Budget::new(), Instant::now());
        let mut sound = packet(0, true, &[1]);
        sound[11] = 9;
        let bye = |ssrc: u8| [0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 203, 0, 1, 0, 0, 0, ssrc];
        for (channel, packet, ended) in [
            (1, bye(7).to_vec(), false),
            (0, packet(0, true, &[0x41]), false),
            (2, sound, false),
            (3, bye(9).to_vec(), false),
            (1, bye(0).to_vec(), true),
            (0, packet(1, true, &[0x41]), false),
        ] {
            budget.packet(channel, &packet, now).unwrap();
            assert_eq!(budget.has_ended(), ended, "channel {channel}");
        }
    }
}
