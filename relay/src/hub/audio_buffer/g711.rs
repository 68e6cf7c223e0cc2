//! The packets of a source with G.711, as the relay's own reader received them: for viewers that play G.711, without an encoder.
//!
//! A listener starts with the newest packet and continues across runs of the source. One that lags skips to the newest packet.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{AudioBuffer, AudioRun};

/// Samples per second of G.711, one byte each, and ticks per second of its RTP clock (RFC 3551, section 4.5.14).
pub const SAMPLE_RATE: u32 = 8000;
/// A listener with a longer lag, in samples, skips to the newest packet: half a second. A receiver would play older packets late.
const LAG_MAX: u64 = SAMPLE_RATE as u64 / 2;

/// A law of G.711, with one channel and [`SAMPLE_RATE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum G711 {
    /// A-law: PCMA in RTP.
    ALaw,
    /// µ-law: PCMU in RTP.
    MuLaw,
}

/// A packet as the camera sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct G711Packet {
    /// The time of the first sample on the source's timeline, in ticks of [`SAMPLE_RATE`].
    pub decode_time: u64,
    /// The samples.
    pub samples: Bytes,
}

/// A read position in the packets of an [`AudioBuffer`].
#[derive(Debug)]
pub struct G711Listener {
    audio_buffer: Arc<AudioBuffer>,
    run: Option<Arc<AudioRun>>,
    /// The sequence number of the piece to read next.
    next: u64,
    changed: watch::Receiver<()>,
}

impl AudioBuffer {
    /// A listener to the packets of G.711, in this run and in later ones.
    pub fn listen_g711(self: &Arc<Self>) -> G711Listener {
        G711Listener { audio_buffer: self.clone(), run: None, next: 0, changed: self.changed.subscribe() }
    }
}

impl G711Listener {
    /// The next packet, with the law and the timeline of its run. Pending while the source has no G.711. Cancel-safe.
    pub async fn next(&mut self) -> (G711, u32, G711Packet) {
        loop {
            self.changed.mark_unchanged();
            if let Some(packet) = self.step() {
                return packet;
            }
            // Cannot fail: the sender lives in the audio buffer.
            let _ = self.changed.changed().await;
        }
    }

    fn step(&mut self) -> Option<(G711, u32, G711Packet)> {
        let state = self.audio_buffer.lock();
        let run = state.run.as_ref()?;
        let law = run.g711?;
        let newest = state.recent.back()?.packet.as_ref()?;
        let last = state.end() - 1;
        if self.run.as_ref().is_none_or(|before| !Arc::ptr_eq(before, run)) || self.next < state.first {
            (self.run, self.next) = (Some(run.clone()), last);
        }
        let mut packet = state.recent.get((self.next - state.first) as usize)?.packet.as_ref()?;
        if newest.decode_time.saturating_sub(packet.decode_time) > LAG_MAX {
            (self.next, packet) = (last, newest);
        }
        self.next += 1;
        Some((law, run.timeline, packet.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sightline_media::nut::{SourceAudio, SourceCodec};
    use tokio::time::timeout;

    use super::super::KnownAudio;
    use super::*;

    const PACKET: u64 = 160;

    fn audio_buffer() -> Arc<AudioBuffer> {
        let audio_buffer = Arc::new(AudioBuffer::default());
        let audio = SourceAudio { codec: SourceCodec::Other("G.711 A-law".into()), sample_rate: 8000, channels: 1 };
        audio_buffer.describe_packets(Some(audio), Some(G711::ALaw));
        audio_buffer
    }

    fn push(audio_buffer: &AudioBuffer, number: u64) {
        let packet = G711Packet { decode_time: number * PACKET, samples: Bytes::from_static(b"alaw") };
        audio_buffer.push_packet(Bytes::from_static(b"nut alaw"), number == 0, packet);
    }

    /// The number of the next packet. `None` if there is none.
    async fn next(listener: &mut G711Listener) -> Option<u64> {
        let (law, timeline, packet) = timeout(Duration::from_secs(1), listener.next()).await.ok()?;
        assert_eq!((law, timeline, &packet.samples[..]), (G711::ALaw, 7, &b"alaw"[..]));
        Some(packet.decode_time / PACKET)
    }

    #[tokio::test(start_paused = true)]
    async fn listener_gets_every_packet_from_the_newest_on() {
        let audio_buffer = audio_buffer();
        let mut listener = audio_buffer.listen_g711();
        assert_eq!(next(&mut listener).await, None, "the source does not run");
        audio_buffer.begin(7, Bytes::from_static(b"head"));
        assert_eq!(next(&mut listener).await, None, "no packet yet");
        for number in 0..3 {
            push(&audio_buffer, number);
        }
        assert_eq!((next(&mut listener).await, next(&mut listener).await), (Some(2), None));
        push(&audio_buffer, 3);
        push(&audio_buffer, 4);
        assert_eq!((next(&mut listener).await, next(&mut listener).await), (Some(3), Some(4)));
        audio_buffer.end();
        assert_eq!(next(&mut listener).await, None);
        audio_buffer.begin(7, Bytes::from_static(b"head"));
        push(&audio_buffer, 9);
        assert_eq!(next(&mut listener).await, Some(9), "of the next run");
    }

    #[tokio::test(start_paused = true)]
    async fn lagging_listener_skips_to_the_newest_packet() {
        let audio_buffer = audio_buffer();
        let mut listener = audio_buffer.listen_g711();
        audio_buffer.begin(7, Bytes::from_static(b"head"));
        push(&audio_buffer, 0);
        assert_eq!(next(&mut listener).await, Some(0));
        (1..=26).for_each(|number| push(&audio_buffer, number));
        assert_eq!(next(&mut listener).await, Some(1), "half a second");
        (27..=40).for_each(|number| push(&audio_buffer, number));
        assert_eq!((next(&mut listener).await, next(&mut listener).await), (Some(40), None));
    }

    #[tokio::test(start_paused = true)]
    async fn run_that_ffmpeg_copies_has_no_packets() {
        let audio_buffer = audio_buffer();
        assert_eq!(audio_buffer.known(), KnownAudio::Present { g711: Some(G711::ALaw) });
        let mut listener = audio_buffer.listen_g711();
        audio_buffer.describe(audio_buffer.audio());
        audio_buffer.begin(7, Bytes::from_static(b"head"));
        audio_buffer.push(Bytes::from_static(b"nut"), true);
        assert_eq!(next(&mut listener).await, None);
        assert_eq!(audio_buffer.known(), KnownAudio::Present { g711: None });
    }

    #[test]
    fn encoded_audio_is_not_sent_as_packets() {
        let audio_buffer = audio_buffer();
        audio_buffer.set_encoded(true);
        assert_eq!(audio_buffer.known(), KnownAudio::Present { g711: None });
    }
}
