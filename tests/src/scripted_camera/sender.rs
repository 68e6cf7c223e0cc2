//! The media of a scripted camera: which packets are due when. Reads no clock.

use std::borrow::Cow;
use std::time::Duration;

use super::annex_b::{is_parameter_set, is_slice, unit_type};
use super::case::{Attack, Case, Clock, Fragments, Marker, SoundCodec};
use super::rtp::{self, Track, payloads};

/// The length of a packet of sound, and its samples.
const SOUND: (Duration, u32) = (Duration::from_millis(20), 160);
const TICKS: u32 = 90_000;
/// Packets of a dead session before those of the live one.
const DEAD_BEFORE: usize = 20;
/// When the clock of sound steps, if it does.
const STEP_AT: Duration = Duration::from_secs(2);
/// An SEI message (Rec. ITU-T H.264, section 7.3.2.3) of unregistered user data, as cameras number their frames with.
const SEI: [u8; 20] = [6, 5, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0x80];
/// Bytes of a packet of [`Attack::Unit`], and NAL units of a packet of [`Attack::OneByteUnits`].
const LARGE: usize = 60_000;
const AGGREGATED: usize = 400;

/// A packet of a track: 0 for the video, 1 for the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The track.
    pub track: usize,
    /// Whether it is RTCP.
    pub control: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What comes before the answer to PLAY.
pub fn before_playing(case: &Case) -> Vec<Packet> {
    let packet = |number| Packet { track: 0, control: false, bytes: rtp::of_dead_session(number) };
    (0..if case.dead_session { DEAD_BEFORE } else { 0 }).map(packet).collect()
}

/// What one session is sent.
#[derive(Debug)]
pub struct Sender<'a> {
    case: &'a Case,
    video: Track,
    sound: Track,
    /// Frames sent.
    frames: usize,
    /// Frames that [`Self::take_sent`] has not counted.
    uncounted: usize,
    /// Packets of an endless frame that were sent.
    parts: usize,
    timestamp: u32,
    /// When the next frame and the next packet of sound are due, after the start.
    video_due: Duration,
    sound_due: Duration,
}

impl<'a> Sender<'a> {
    /// From the case's first frame on.
    pub fn new(case: &'a Case) -> Self {
        let wraps = match case.clock {
            Clock::WrapsAfter(frames) => Some(frames),
            _ => None,
        };
        let is_g726 = case.sound.is_some_and(|sound| sound.codec == SoundCodec::G726);
        let before_the_end = |frames: usize| (frames as f64 * case.interval.as_secs_f64() * f64::from(TICKS)) as u32;
        Self {
            case,
            video: Track {
                payload_type: 96,
                ssrc: 0x1234_5678,
                sequence: if wraps.is_some() { u16::MAX - 20 } else { 7 },
            },
            sound: Track { payload_type: if is_g726 { 97 } else { 8 }, ssrc: 0x8765_4321, sequence: 7 },
            frames: 0,
            uncounted: 0,
            parts: 0,
            timestamp: wraps.map_or(1_000_000, |frames| u32::MAX - before_the_end(frames)),
            video_due: Duration::ZERO,
            sound_due: Duration::ZERO,
        }
    }

    /// When the next packets are due, after the start; none if there are no more.
    pub fn due(&self) -> Option<Duration> {
        let video = match self.case.attack {
            Some(Attack::Silence) => None,
            Some(Attack::ByeAfter(frames)) if self.frames > frames => None,
            _ => Some(self.video_due),
        };
        let sound = self.case.sound.filter(|sound| self.sound_due < sound.stops_after).map(|_| self.sound_due);
        video.into_iter().chain(sound).min()
    }

    /// The packets that are due at [`Self::due`].
    pub fn send(&mut self) -> Vec<Packet> {
        let has_sound = self.case.sound.is_some_and(|sound| self.sound_due < sound.stops_after);
        if has_sound && self.sound_due < self.video_due {
            let stepped = self.case.sound.filter(|_| self.sound_due >= STEP_AT).map_or(0, |sound| sound.steps);
            let timestamp = (self.sound_due.as_millis() as u32 / 20 + 50 * stepped) * SOUND.1;
            self.sound_due += SOUND.0;
            let payload = match self.case.sound.map(|sound| sound.codec) {
                // Four bits for each sample.
                Some(SoundCodec::G726) => &[0x7f; SOUND.1 as usize / 2][..],
                _ => &[0xd5; SOUND.1 as usize],
            };
            let bytes = self.sound.packet(timestamp, false, payload);
            return vec![Packet { track: 1, control: false, bytes }];
        }
        if let Some(part) = self.endless_frame() {
            self.parts += 1;
            return vec![Packet { track: 0, control: false, bytes: part }];
        }
        let packets = self.frame();
        self.frames += 1;
        self.uncounted += 1;
        self.timestamp = self.next_timestamp();
        if self.case.attack != Some(Attack::Flood) {
            self.video_due += self.case.interval;
        }
        packets
    }

    /// The frames since the last call.
    pub fn take_sent(&mut self) -> usize {
        std::mem::take(&mut self.uncounted)
    }

    fn next_timestamp(&self) -> u32 {
        let step = self.case.interval.as_secs_f64();
        let ticks = (step * f64::from(TICKS)) as u32;
        match self.case.clock {
            Clock::Right | Clock::WrapsAfter(_) => self.timestamp.wrapping_add(ticks),
            Clock::Milliseconds => self.timestamp.wrapping_add((step * 1e3) as u32),
            Clock::Still => self.timestamp,
            Clock::TwiceTooFast => self.timestamp.wrapping_add(2 * ticks),
            Clock::RestartsAfter(frames) if self.frames.is_multiple_of(frames) => 0,
            Clock::RestartsAfter(_) => self.timestamp.wrapping_add(ticks),
        }
    }

    fn frame(&mut self) -> Vec<Packet> {
        let payloads = match self.case.attack {
            Some(Attack::ByeAfter(frames)) if self.frames == frames => {
                let bye = [&[0x81, 203, 0, 1][..], &self.video.ssrc.to_be_bytes()].concat();
                return vec![Packet { track: 0, control: true, bytes: bye }];
            }
            _ => self.access_unit(),
        };
        let dead = self.case.dead_session.then(|| rtp::of_dead_session(DEAD_BEFORE + self.frames));
        dead.into_iter().chain(payloads).map(|bytes| Packet { track: 0, control: false, bytes }).collect()
    }

    fn access_unit(&mut self) -> Vec<Vec<u8>> {
        let units = self.case.media.access_units();
        let mut unit = Cow::Borrowed(&units[(self.case.first + self.frames) % units.len()]);
        if self.case.fragments == Fragments::StartCodes {
            unit = Cow::Owned(vec![unit.join(&[0, 0, 0, 1][..])]);
        }
        if self.case.marker == Marker::Sei {
            unit.to_mut().insert(0, SEI.to_vec());
        }
        let before = self.timestamp.wrapping_sub((self.case.interval.as_secs_f64() * f64::from(TICKS)) as u32);
        let mut packets = Vec::new();
        for (at, nal) in unit.iter().enumerate() {
            let (last, set) = (at + 1 == unit.len(), is_parameter_set(nal));
            let marker = match self.case.marker {
                Marker::AccessUnit => last,
                Marker::Slice => is_slice(nal),
                Marker::ParameterSets => last || set,
                Marker::Sei => last || unit_type(nal) == 6,
                Marker::Never => false,
            };
            let timestamp = if self.case.marker == Marker::ParameterSets && set { before } else { self.timestamp };
            let parts = payloads(nal, self.case.fragments);
            let end = parts.len() - 1;
            let packet =
                |(part, payload): (usize, &Vec<u8>)| self.video.packet(timestamp, marker && part == end, payload);
            packets.extend(parts.iter().enumerate().map(packet));
        }
        packets
    }

    /// The next packet of a frame that attacks by its size, until it is as large as the case says. Made one by one: such a frame
    /// would take the time and memory of the test.
    fn endless_frame(&mut self) -> Option<Vec<u8>> {
        let payload = match self.case.attack {
            // A key frame's slice that does not end.
            Some(Attack::Unit(bytes)) if self.parts * LARGE < bytes => {
                let start = if self.parts == 0 { 0x85 } else { 0x05 };
                [&[0x7c, start][..], &[0xff; LARGE]].concat()
            }
            // Aggregation packets (RFC 6184, section 5.7.1) of slices of one byte.
            Some(Attack::OneByteUnits(count)) if self.parts * AGGREGATED < count => {
                [&[0x78][..], &[0, 1, 0x65].repeat(AGGREGATED)].concat()
            }
            _ => return None,
        };
        Some(self.video.packet(self.timestamp, false, &payload))
    }
}
