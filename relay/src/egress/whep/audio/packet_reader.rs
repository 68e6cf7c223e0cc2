//! Reads the packets of the sound that a viewer gets, and gives them RTP times.

use std::sync::Arc;

use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_protocol::stream::Variant;
use str0m::media::Frequency;
use tokio::sync::watch;
use tracing::debug;

use super::opus_reader::OpusReader;
use crate::egress::whep::payload::AudioPayloads;
use crate::egress::whep::rtp_time::RtpClock;
use crate::hub::Stream;
use crate::hub::audio_buffer::KnownAudio;
use crate::hub::audio_buffer::g711::{self, G711, G711Listener};
use crate::hub::rendition::{Purpose, Subscription};

/// Samples that fit into one datagram, 120 ms. A longer packet of the camera becomes several of equal length.
const G711_PACKET_MAX: usize = 960;

/// Seconds of sound from one measurement of a [`Shift`] to the next.
const SHIFT_INTERVAL: f64 = 1.0;
/// A measurement that differs by less, in seconds, moves no sound: below the 45 ms that viewers notice (ITU-R BT.1359).
const SHIFT_TOLERANCE: f64 = 0.010;

/// A codec of the sound that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SoundCodec {
    Opus,
    G711(G711),
}

impl SoundCodec {
    /// Its RTP clock (RFC 7587, section 4.1; RFC 3551, section 4.5.14).
    pub(super) fn clock(self) -> Frequency {
        match self {
            Self::Opus => Frequency::FORTY_EIGHT_KHZ,
            Self::G711(_) => Frequency::EIGHT_KHZ,
        }
    }
}

/// Sound that arrived together.
#[derive(Debug)]
pub(in crate::egress::whep) struct Sound {
    pub(super) codec: SoundCodec,
    /// The source's timeline of the times.
    pub(super) timeline: u32,
    /// Ticks per second of the times.
    pub(super) timescale: u32,
    pub(super) media: SoundMedia,
}

#[derive(Debug)]
pub(super) enum SoundMedia {
    /// Packets of Opus.
    Fragment(Arc<Fragment>),
    /// Samples of G.711, from this decode time on.
    Samples(u64, Bytes),
}

impl Sound {
    /// The packets with their decode times.
    fn packets(&self) -> Vec<(u64, &[u8])> {
        match &self.media {
            SoundMedia::Fragment(fragment) => {
                let head = &fragment.head;
                let count = fragment.access_units().len().max(1) as u64;
                let time = |index: usize| head.decode_time + head.duration * index as u64 / count;
                fragment.access_units().enumerate().map(|(index, packet)| (time(index), packet)).collect()
            }
            SoundMedia::Samples(time, samples) => {
                let count = samples.len().div_ceil(G711_PACKET_MAX).max(1);
                let size = samples.len().div_ceil(count).max(1);
                let packets = samples.chunks(size).enumerate();
                packets.map(|(index, packet)| (time + (index * size) as u64, packet)).collect()
            }
        }
    }
}

/// The timeline of the video that the viewer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::egress::whep) struct VideoTimeline {
    pub(in crate::egress::whep) number: u32,
    /// Whether the video is the camera's sub stream.
    pub(in crate::egress::whep) is_sub: bool,
}

/// What a viewer gets of a source's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SoundChoice {
    Nothing,
    /// The source has to say first what sound it has.
    Undecided,
    /// The camera's own Opus, or the encode that all viewers share.
    Opus,
    /// The camera's own packets.
    G711,
}

/// Chooses for a viewer that takes `payloads`. No encoder runs if the viewer takes the camera's codec.
fn choose(known: KnownAudio, payloads: &AudioPayloads) -> SoundChoice {
    match known {
        KnownAudio::Absent => SoundChoice::Nothing,
        KnownAudio::Present { g711: Some(law) } if payloads.g711(law).is_some() => SoundChoice::G711,
        KnownAudio::Unknown if payloads.has_g711() => SoundChoice::Undecided,
        KnownAudio::Present { .. } | KnownAudio::Unknown => SoundChoice::Opus,
    }
}

/// The subscriptions of a [`SoundChoice`]. One to the main stream keeps it running beside a sub stream.
#[derive(Debug, Default)]
enum Source {
    #[default]
    Nothing,
    Undecided(#[expect(dead_code, reason = "held")] Subscription),
    Opus(OpusReader),
    G711(G711Listener, #[expect(dead_code, reason = "held")] Subscription),
}

impl Source {
    fn new(choice: SoundChoice, stream: &Stream) -> Self {
        let listen = || stream.rendition(Variant::Copy).subscribe(Purpose::Listen);
        match choice {
            SoundChoice::Nothing => Self::Nothing,
            SoundChoice::Undecided => Self::Undecided(listen()),
            SoundChoice::Opus => Self::Opus(OpusReader::new(stream)),
            SoundChoice::G711 => Self::G711(stream.audio_buffer().listen_g711(), listen()),
        }
    }

    fn choice(&self) -> SoundChoice {
        match self {
            Self::Nothing => SoundChoice::Nothing,
            Self::Undecided(_) => SoundChoice::Undecided,
            Self::Opus(_) => SoundChoice::Opus,
            Self::G711(..) => SoundChoice::G711,
        }
    }

    /// Cancel-safe.
    async fn next(&mut self) -> Sound {
        match self {
            Self::Nothing | Self::Undecided(_) => std::future::pending().await,
            Self::Opus(reader) => {
                let (init, fragment) = reader.next().await;
                Sound {
                    codec: SoundCodec::Opus,
                    timeline: init.timeline,
                    timescale: init.timescale,
                    media: SoundMedia::Fragment(fragment),
                }
            }
            Self::G711(listener, _) => {
                let (law, timeline, packet) = listener.next().await;
                Sound {
                    codec: SoundCodec::G711(law),
                    timeline,
                    timescale: g711::SAMPLE_RATE,
                    media: SoundMedia::Samples(packet.decode_time, packet.samples),
                }
            }
        }
    }
}

/// The distance from a timeline of the sound to that of a sub stream.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shift {
    /// Both timelines.
    timelines: (u32, u32),
    seconds: f64,
    /// The time of the sound at which it was last measured, in seconds.
    taken: f64,
}

impl Shift {
    /// Both streams run by the camera's clock, so the distance is constant. It is known better with each frame that was less
    /// delayed: the first frames of a stream may all be late.
    fn next(known: Option<Self>, found: Option<Self>) -> Option<Self> {
        match (known, found) {
            (Some(known), Some(found)) if (found.seconds - known.seconds).abs() <= SHIFT_TOLERANCE => {
                Some(Self { taken: found.taken, ..known })
            }
            (known, found) => found.or(known),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct PacketReader {
    stream: Stream,
    payloads: AudioPayloads,
    is_started: bool,
    source: Source,
    described: watch::Receiver<()>,
    /// The video of the current epoch.
    pub(super) video: Option<VideoTimeline>,
    shift: Option<Shift>,
    /// The RTP time of the newest packet, and its clock.
    last: Option<(Frequency, u64)>,
}

impl PacketReader {
    pub(super) fn new(stream: Stream, payloads: AudioPayloads) -> Self {
        let described = stream.audio_buffer().described();
        Self {
            stream,
            payloads,
            is_started: false,
            source: Source::default(),
            described,
            video: None,
            shift: None,
            last: None,
        }
    }

    /// Subscribes, which starts the encoder if the camera's sound needs one.
    pub(super) fn start(&mut self) {
        self.is_started = true;
        self.follow();
    }

    /// Whether a packet was sent.
    pub(super) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Changes the subscription to what the source has now.
    fn follow(&mut self) {
        let known = match self.stream.audio_buffer().known() {
            // Another relay hands over no packets.
            KnownAudio::Unknown if self.stream.relay().is_some() => KnownAudio::Present { g711: None },
            known => known,
        };
        let choice = if self.is_started { choose(known, &self.payloads) } else { SoundChoice::Nothing };
        if choice != self.source.choice() {
            self.source = Source::new(choice, &self.stream);
        }
    }

    /// The next sound. Pending before [`Self::start`], and without sound. Cancel-safe.
    pub(super) async fn next(&mut self) -> Sound {
        loop {
            self.described.mark_unchanged();
            self.follow();
            tokio::select! {
                sound = self.source.next() => return sound,
                // Cannot fail: the sender lives in the audio buffer.
                _ = self.described.changed() => {}
            }
        }
    }

    /// The packets of `sound` with their RTP times, which only grow: a clock that starts again may repeat some.
    pub(super) fn stamp<'a>(&mut self, sound: &'a Sound, clock: &RtpClock) -> Vec<(u64, &'a [u8])> {
        let packets = sound.packets();
        let Some((first, _)) = packets.first() else { return Vec::new() };
        let time = *first as f64 / f64::from(sound.timescale.max(1));
        let Some((timeline, shift)) = self.place(sound.timeline, time) else { return Vec::new() };
        let shift = (shift * f64::from(sound.timescale)).round() as i64;
        let rate = sound.codec.clock();
        let mut last = self.last.filter(|(of, _)| *of == rate).map(|(_, last)| last);
        let mut stamped = Vec::with_capacity(1);
        for (decode_time, packet) in packets {
            let time = decode_time.checked_add_signed(shift).and_then(|decode_time| {
                clock.stamp_audio(timeline, decode_time, sound.timescale, u64::from(rate.get()))
            });
            if let Some(time) = time.filter(|time| last.is_none_or(|last| *time > last)) {
                last = Some(time);
                stamped.push((time, packet));
            }
        }
        self.last = last.map(|last| (rate, last)).or(self.last);
        stamped
    }

    /// The timeline on which sound of `timeline` is sent, and the seconds to add to its `time`. Sound belongs to the main stream.
    /// Beside the sub stream, capture times relate both ([`Stream::sub_shift`]). `None` until the main stream has frames.
    fn place(&mut self, timeline: u32, time: f64) -> Option<(u32, f64)> {
        let Some(sub) = self.video.filter(|video| video.is_sub) else { return Some((timeline, 0.0)) };
        let timelines = (timeline, sub.number);
        let known = self.shift.filter(|shift| shift.timelines == timelines);
        if known.is_none_or(|known| (time - known.taken).abs() >= SHIFT_INTERVAL) {
            let main = self.stream.rendition(Variant::Copy).init().filter(|main| main.timeline == timeline);
            let found = main.and_then(|_| self.stream.sub_shift());
            self.shift = Shift::next(known, found.map(|seconds| Shift { timelines, seconds, taken: time }));
            debug!(?found, shift = ?self.shift, "sound beside a sub stream");
        }
        self.shift.map(|shift| (sub.number, shift.seconds))
    }
}

#[cfg(test)]
mod tests;
