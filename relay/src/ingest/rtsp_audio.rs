//! The audio of a camera that the relay reads itself, on its way into the audio buffer.
//!
//! Input are the frames and sender reports of [`retina`]; output is NUT, with decode times on the timeline of the video
//! ([`AudioClock`]), as FFmpeg would write it. Nothing is queued: the audio buffer drops its oldest bytes when it is full.

use std::borrow::Cow;

use bytes::Bytes;
use retina::client::Stream;
use retina::codec::{AudioFrame, ParametersRef};
use retina::rtcp::{ReceivedCompoundPacket, TypedPacketRef};
use sightline_media::fmp4::writer::TIMESCALE;
use sightline_media::g726;
use sightline_media::nut::writer::{Codec, Track, Writer};
use tracing::debug;

use super::audio_clock::AudioClock;
use super::publisher::StopReason;
use super::reader::{Cause, Unsupported};
use crate::clock;
use crate::hub::audio_buffer::AudioBuffer;
use crate::hub::audio_buffer::g711::{self, G711, G711Packet};

/// G.722 has 16,000 samples a second, and an RTP clock of 8000 by mistake (RFC 3551, section 4.5.2).
const G722_SAMPLE_RATE: u32 = 16_000;

fn unsupported(message: String) -> StopReason {
    StopReason::Unsupported(Unsupported::new(Cause::Audio, message))
}

/// The codec of a track by its encoding name in lower case (RFC 3551, section 6; RFC 3640, section 4.1), as it is written. NUT does
/// not say how many bits the codes of G.726 have, so the relay decodes it.
pub(super) fn codec(encoding_name: &str) -> Result<Codec, StopReason> {
    match encoding_name {
        "mpeg4-generic" => Ok(Codec::Aac),
        "pcma" => Ok(Codec::PcmAlaw),
        "pcmu" => Ok(Codec::PcmMulaw),
        "l16" => Ok(Codec::PcmS16Be),
        "g722" => Ok(Codec::G722),
        name if g726_bits(name).is_some() => Ok(Codec::PcmS16Be),
        other => Err(unsupported(format!("the camera's audio is {other}"))),
    }
}

/// The bits of a code of G.726.
fn g726_bits(encoding_name: &str) -> Option<u32> {
    match encoding_name {
        "g726-16" => Some(2),
        "g726-24" => Some(3),
        "g726-32" => Some(4),
        "g726-40" => Some(5),
        _ => None,
    }
}

/// The decoder of a track that cannot be written as it is.
pub(super) fn decoder(stream: &Stream) -> Option<g726::Decoder> {
    g726_bits(stream.encoding_name()).and_then(g726::Decoder::new)
}

/// How a track that was set up is written.
pub(super) fn track(stream: &Stream, codec: Codec) -> Result<Track, StopReason> {
    let Some(ParametersRef::Audio(parameters)) = stream.parameters() else {
        return Err(unsupported(format!("the camera does not describe its audio ({})", stream.encoding_name())));
    };
    let timescale = stream.clock_rate_hz();
    if timescale == 0 {
        return Err(unsupported("the camera's audio has no clock rate".to_owned()));
    }
    Ok(Track {
        codec,
        timescale,
        sample_rate: if codec == Codec::G722 { G722_SAMPLE_RATE } else { timescale },
        channels: parameters.channels().get().into(),
        config: Bytes::copy_from_slice(parameters.extra_data()),
    })
}

/// The law of a track that viewers may get in the camera's packets.
pub(super) fn g711(track: &Track) -> Option<G711> {
    let law = match track.codec {
        Codec::PcmAlaw => G711::ALaw,
        Codec::PcmMulaw => G711::MuLaw,
        Codec::Aac | Codec::PcmS16Be | Codec::G722 => return None,
    };
    (track.timescale == g711::SAMPLE_RATE && track.channels == 1).then_some(law)
}

/// Writes one run of a camera's audio into the audio buffer. Dropping it ends that run.
#[derive(Debug)]
pub(super) struct AudioWriter<'a> {
    audio_buffer: &'a AudioBuffer,
    timeline: u32,
    track: Track,
    writer: Writer,
    decoder: Option<g726::Decoder>,
    clock: AudioClock,
    begun: bool,
}

impl<'a> AudioWriter<'a> {
    /// For a run of the source on that timeline.
    pub(super) fn new(
        audio_buffer: &'a AudioBuffer,
        timeline: u32,
        track: Track,
        decoder: Option<g726::Decoder>,
    ) -> Self {
        let (writer, clock) = (Writer::new(&track), AudioClock::new(track.timescale));
        Self { audio_buffer, timeline, track, writer, decoder, clock, begun: false }
    }

    /// A frame of the video has arrived. `time` is that of the clock in use, in seconds: arrival times may have replaced the
    /// camera's, and then contradict its sender reports.
    pub(super) fn video_frame(&mut self, time: f64) {
        self.clock.video_arrived(time, clock::now().as_secs_f64());
    }

    /// Sender reports have arrived, of the audio or of the video.
    pub(super) fn reports(&mut self, reports: &ReceivedCompoundPacket, of_audio: bool) {
        let Some(timestamp) = reports.rtp_timestamp() else { return };
        for packet in reports.pkts() {
            let Ok(Some(TypedPacketRef::SenderReport(report))) = packet.as_typed() else { continue };
            let ntp = report.ntp_timestamp().0;
            // A camera that does not know the time says zero (RFC 3550, section 6.4.1).
            if ntp == 0 {
                continue;
            }
            let ntp = ntp as f64 / 2f64.powi(32);
            debug!(of_audio, ntp, rtp = seconds(timestamp), "sender report");
            if of_audio {
                self.clock.audio_reported(seconds(timestamp), ntp);
            } else {
                self.clock.video_reported(seconds(timestamp), ntp);
            }
        }
    }

    /// A frame of the audio has arrived. `timeline` is the timeline minus the clock of the video, in its ticks.
    pub(super) fn frame(&mut self, frame: &AudioFrame, timeline: i64) {
        // A decoder's state follows all packets, whether they have a place or not.
        let samples = match &mut self.decoder {
            Some(decoder) => decoder.decode(frame.data()).into_iter().flat_map(i16::to_be_bytes).collect(),
            None => Cow::Borrowed(frame.data()),
        };
        let is_linear = self.track.codec == Codec::PcmS16Be && self.decoder.is_none();
        let channels = if is_linear { self.track.channels.max(1) } else { 1 };
        let length = i64::from(frame.frame_length().get() / channels);
        let timeline = timeline as f64 / f64::from(TIMESCALE);
        let timestamp = frame.timestamp().timestamp();
        let Some(decode_time) = self.clock.decode_time(timestamp, length, clock::now().as_secs_f64(), timeline) else {
            return;
        };
        let Some(written) = self.writer.frame(decode_time, &samples) else { return };
        if !self.begun {
            self.audio_buffer.begin(self.timeline, self.track.head());
            self.begun = true;
        }
        if g711(&self.track).is_some() {
            // The samples end the written bytes.
            let samples = written.bytes.slice(written.bytes.len() - samples.len()..);
            self.audio_buffer.push_packet(written.bytes, written.sync, G711Packet { decode_time, samples });
        } else {
            self.audio_buffer.push(written.bytes, written.sync);
        }
    }
}

impl Drop for AudioWriter<'_> {
    fn drop(&mut self) {
        self.audio_buffer.end();
    }
}

fn seconds(timestamp: retina::Timestamp) -> f64 {
    timestamp.timestamp() as f64 / f64::from(timestamp.clock_rate().get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(codec: Codec, timescale: u32, channels: u32) -> Track {
        Track { codec, timescale, sample_rate: timescale, channels, config: Bytes::new() }
    }

    #[test]
    fn g711_in_packets_has_one_channel_and_8_khz() {
        assert_eq!(g711(&track(Codec::PcmAlaw, 8000, 1)), Some(G711::ALaw));
        assert_eq!(g711(&track(Codec::PcmMulaw, 8000, 1)), Some(G711::MuLaw));
        assert_eq!(g711(&track(Codec::PcmAlaw, 16_000, 1)), None);
        assert_eq!(g711(&track(Codec::PcmMulaw, 8000, 2)), None);
        assert_eq!(g711(&track(Codec::PcmS16Be, 8000, 1)), None);
    }
}
