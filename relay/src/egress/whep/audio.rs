//! The sound of one viewer, on the clock of the viewer's video: the camera's packets of G.711 or Opus, or an encode to Opus.
//!
//! A viewer that is connected and has negotiated sound subscribes, unless the source turns out to have no sound. Sound of another
//! timeline than the video's is left out, because nothing relates it to the frames. Beside a camera's sub stream, capture times
//! relate the sound to the frames. Holds no queue.

use str0m::media::MediaTime;
use str0m::{Rtc, RtcError};

use super::payload::AudioPayloads;
use super::rtp_time::{RtpClock, SessionTime};
use super::track::Track;
use crate::hub::Stream;
use packet_reader::{PacketReader, SoundCodec};

pub(super) use packet_reader::{Sound, VideoTimeline};

mod opus_reader;
mod packet_reader;

/// Whether a viewer may get the sound of `stream`. A source that has not run yet may have sound.
pub(super) fn is_possible(stream: &Stream) -> bool {
    stream.audio_buffer().may_have_audio()
}

/// The negotiated section for sound.
#[derive(Debug)]
pub(super) struct NegotiatedAudio {
    pub(super) track: Track,
    pub(super) payloads: AudioPayloads,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct AudioSender {
    negotiated: NegotiatedAudio,
    packets: PacketReader,
}

impl AudioSender {
    /// Sends the sound of `stream`, once it has started.
    pub(super) fn new(negotiated: NegotiatedAudio, stream: Stream) -> Self {
        let packets = PacketReader::new(stream, negotiated.payloads);
        Self { negotiated, packets }
    }

    /// Starts when the viewer is connected.
    pub(super) fn start(&mut self) {
        self.packets.start();
    }

    /// Begins an epoch of the video.
    pub(super) fn follow(&mut self, video: VideoTimeline) {
        self.packets.video = Some(video);
    }

    /// Whether a packet was sent.
    pub(super) fn has_begun(&self) -> bool {
        self.packets.has_begun()
    }

    /// The next sound. Pending before [`Self::start`], and without sound. Cancel-safe.
    pub(super) async fn next(&mut self) -> Sound {
        self.packets.next().await
    }

    /// Writes the packets of `sound` at the times that `clock` gives them.
    pub(super) fn write(
        &mut self,
        rtc: &mut Rtc,
        sound: &Sound,
        clock: &RtpClock,
        session: SessionTime,
    ) -> Result<(), RtcError> {
        let payloads = &self.negotiated.payloads;
        let pt = match sound.codec {
            SoundCodec::Opus => Some(payloads.opus),
            SoundCodec::G711(law) => payloads.g711(law),
        };
        let Some(pt) = pt else { return Ok(()) };
        for (time, bytes) in self.packets.stamp(sound, clock) {
            let Some(writer) = self.negotiated.track.writer(rtc) else { return Ok(()) };
            let time = MediaTime::new(time, sound.codec.clock());
            writer.write(pt, session.wallclock(time.into()), time, bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::test_stream;

    #[test]
    fn sound_is_possible_until_the_source_is_known_to_have_none() {
        for stream in [test_stream::stream(), test_stream::stream_with_sub()] {
            assert!(is_possible(&stream));
            stream.audio_buffer().describe(None);
            assert!(!is_possible(&stream));
        }
    }
}
