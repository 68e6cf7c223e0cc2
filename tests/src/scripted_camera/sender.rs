//! The media of a scripted camera: which packets are due when. Reads no clock.

use std::borrow::Cow;
use std::time::Duration;

use super::annex_b::{is_parameter_set, is_slice};
use super::case::{Attack, Case, Clock, Fragments, Marker};
use super::rtp::{Track, payloads};

/// The length of a packet of sound, and its samples.
const SOUND: (Duration, u32) = (Duration::from_millis(20), 160);
const TICKS: u32 = 90_000;

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

/// What one session is sent.
#[derive(Debug)]
pub struct Sender<'a> {
    case: &'a Case,
    video: Track,
    sound: Track,
    /// Frames sent.
    frames: usize,
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
        let before_the_end = |frames: usize| (frames as f64 * case.interval.as_secs_f64() * f64::from(TICKS)) as u32;
        Self {
            case,
            video: Track {
                payload_type: 96,
                ssrc: 0x1234_5678,
                sequence: if wraps.is_some() { u16::MAX - 20 } else { 7 },
            },
            sound: Track { payload_type: 8, ssrc: 0x8765_4321, sequence: 7 },
            frames: 0,
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
            let timestamp = (self.sound_due.as_millis() as u32 / 20) * SOUND.1;
            self.sound_due += SOUND.0;
            let bytes = self.sound.packet(timestamp, false, &[0xd5; SOUND.1 as usize]);
            return vec![Packet { track: 1, control: false, bytes }];
        }
        let packets = self.frame();
        self.frames += 1;
        self.timestamp = self.next_timestamp();
        if self.case.attack != Some(Attack::Flood) {
            self.video_due += self.case.interval;
        }
        packets
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
            Some(Attack::Unit(bytes)) => self.long_unit(bytes),
            Some(Attack::OneByteUnits(count)) => self.one_byte_units(count),
            Some(Attack::ByeAfter(frames)) if self.frames == frames => {
                let bye = [&[0x81, 203, 0, 1][..], &self.video.ssrc.to_be_bytes()].concat();
                return vec![Packet { track: 0, control: true, bytes: bye }];
            }
            _ => self.access_unit(),
        };
        payloads.into_iter().map(|bytes| Packet { track: 0, control: false, bytes }).collect()
    }

    fn access_unit(&mut self) -> Vec<Vec<u8>> {
        let units = self.case.media.access_units();
        let mut unit = Cow::Borrowed(&units[(self.case.first + self.frames) % units.len()]);
        if self.case.fragments == Fragments::StartCodes {
            unit = Cow::Owned(vec![unit.join(&[0, 0, 0, 1][..])]);
        }
        let before = self.timestamp.wrapping_sub((self.case.interval.as_secs_f64() * f64::from(TICKS)) as u32);
        let mut packets = Vec::new();
        for (at, nal) in unit.iter().enumerate() {
            let (last, set) = (at + 1 == unit.len(), is_parameter_set(nal));
            let marker = match self.case.marker {
                Marker::AccessUnit => last,
                Marker::Slice => is_slice(nal),
                Marker::ParameterSets => last || set,
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

    /// The packets of one key frame's slice, which does not end within them.
    fn long_unit(&mut self, bytes: usize) -> Vec<Vec<u8>> {
        let body = vec![0xff; 60_000];
        let part = |n: usize| [&[0x7c, if n == 0 { 0x85 } else { 0x05 }][..], &body].concat();
        (0..bytes / body.len()).map(|n| self.video.packet(self.timestamp, false, &part(n))).collect()
    }

    /// Aggregation packets (RFC 6184, section 5.7.1) of slices of one byte.
    fn one_byte_units(&mut self, count: usize) -> Vec<Vec<u8>> {
        let payload = [&[0x78][..], &[0, 1, 0x65].repeat(400)].concat();
        (0..count / 400).map(|_| self.video.packet(self.timestamp, false, &payload)).collect()
    }
}
