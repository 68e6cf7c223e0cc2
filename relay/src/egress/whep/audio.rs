//! The sound of one viewer: the stream's Opus packets, on the clock of the viewer's video.
//!
//! A viewer that is connected and has negotiated sound subscribes to the Opus rendition, from its newest packet on, unless the source
//! turns out to have no sound. Packets of another timeline than the video's are left out, because nothing relates them to its frames. Holds no queue.

use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::GapReason;
use str0m::media::{Frequency, MediaTime, Pt};
use str0m::{Rtc, RtcError};
use tokio::time::Instant;

use super::rtp_time::{RtpClock, SessionTime};
use super::track::Track;
use crate::egress::select::Choice;
use crate::hub::Stream;
use crate::hub::rendition::{AudioForm, Event, Protocol, Purpose, Subscription};
use crate::hub::ring::Step;

/// A viewer with a longer lag resumes at the newest packet. Its receiver would play older ones late, or drop them.
const TOLERATED_LAG: Duration = Duration::from_millis(500);

/// The interval of packets of an encoder that keeps pace with the source, at least. One that starts works off the audio buffer first, in
/// a burst: a receiver that got it would expect such delays for a while, and play sound that much later.
const PACED: Duration = Duration::from_millis(10);

/// Whether a viewer of this choice may get the sound of `stream`. A source that has not run yet may have sound. A camera's sub
/// stream is on another timeline than the sound.
pub(super) fn is_possible(stream: &Stream, choice: Choice) -> bool {
    let is_sub = choice.is_low() && stream.has_sub();
    stream.audio_buffer().may_have_audio() && !is_sub
}

/// The negotiated section for sound.
#[derive(Debug)]
pub(super) struct NegotiatedAudio {
    pub(super) track: Track,
    /// The payload type of Opus.
    pub(super) pt: Pt,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct AudioSender {
    negotiated: NegotiatedAudio,
    stream: Stream,
    packets: PacketReader,
}

impl AudioSender {
    /// Sends the sound of `stream`, once it has started.
    pub(super) fn new(negotiated: NegotiatedAudio, stream: Stream) -> Self {
        Self { negotiated, stream, packets: PacketReader::default() }
    }

    /// Starts when the viewer is connected.
    pub(super) fn start(&mut self) {
        self.packets.is_started = true;
        self.follow();
    }

    /// Subscribes, which starts the encoder if the camera's sound is not Opus, or unsubscribes if the source has no sound. To be
    /// called at each epoch.
    pub(super) fn follow(&mut self) {
        self.packets.follow(&self.stream);
    }

    /// Whether a packet was sent.
    pub(super) fn has_begun(&self) -> bool {
        self.packets.last.is_some()
    }

    /// The next fragment. Pending before [`Self::start`], and without sound. Cancel-safe.
    pub(super) async fn next(&mut self) -> Arc<Fragment> {
        self.packets.next().await
    }

    /// Writes a fragment's packets at the times that `clock` gives them.
    pub(super) fn write(
        &mut self,
        rtc: &mut Rtc,
        fragment: &Fragment,
        clock: &RtpClock,
        session: SessionTime,
    ) -> Result<(), RtcError> {
        for (time, bytes) in self.packets.stamp(fragment, clock) {
            let Some(writer) = self.negotiated.track.writer(rtc) else { return Ok(()) };
            let time = MediaTime::new(time, Frequency::FORTY_EIGHT_KHZ);
            writer.write(self.negotiated.pt, session.wallclock(time.into()), time, bytes)?;
        }
        Ok(())
    }
}

/// Reads packets, and gives them RTP times.
#[derive(Debug, Default)]
struct PacketReader {
    is_started: bool,
    source: Option<Subscription>,
    /// The init segment of the current epoch.
    init: Option<Arc<InitSegment>>,
    /// When the newest fragment of the epoch arrived.
    arrived: Option<Instant>,
    /// Whether the encoder keeps pace with the source.
    is_paced: bool,
    /// The RTP time of the newest packet.
    last: Option<u64>,
}

impl PacketReader {
    fn follow(&mut self, stream: &Stream) {
        let wanted = self.is_started && stream.audio_buffer().may_have_audio();
        if wanted != self.source.is_some() {
            let opus = stream.audio(AudioForm::Opus);
            self.source = wanted.then(|| opus.subscribe(Purpose::View(Protocol::WebRtc)));
        }
    }

    async fn next(&mut self) -> Arc<Fragment> {
        let Some(source) = &mut self.source else { return std::future::pending().await };
        loop {
            source.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
            match source.event().await {
                Event::Step(Step::Init(init)) => {
                    (self.init, self.arrived, self.is_paced) = (Some(init), None, false);
                }
                Event::Step(Step::Fragment(fragment)) => {
                    let before = self.arrived.replace(Instant::now());
                    self.is_paced |= before.is_some_and(|before| before.elapsed() >= PACED);
                    if self.is_paced {
                        return fragment;
                    }
                }
                Event::Step(Step::Pending | Step::Overrun(_)) | Event::Status(_) => {}
            }
        }
    }

    /// The packets of a fragment with their RTP times, which only grow: a clock that starts again may repeat some.
    fn stamp<'a>(&mut self, fragment: &'a Fragment, clock: &RtpClock) -> Vec<(u64, &'a [u8])> {
        let Some(init) = &self.init else { return Vec::new() };
        let head = &fragment.head;
        let count = fragment.access_units().len().max(1) as u64;
        let mut stamped = Vec::with_capacity(1);
        for (index, packet) in fragment.access_units().enumerate() {
            let decode_time = head.decode_time + head.duration * index as u64 / count;
            let time = clock.stamp_audio(init.timeline, decode_time, init.timescale);
            if let Some(time) = time.filter(|time| self.last.is_none_or(|last| *time > last)) {
                self.last = Some(time);
                stamped.push((time, packet));
            }
        }
        stamped
    }
}

#[cfg(test)]
mod tests {
    use sightline_protocol::stream::{Quality, VariantChoice};

    use super::*;
    use crate::egress::test_stream;
    use bytes::{Bytes, BytesMut};
    use sightline_media::fmp4::init::{Reordering, TrackCodec};
    use std::time::Duration;
    use tokio::time::timeout;

    /// 20 ms of Opus.
    const PACKET: u64 = 960;

    /// The flags of a sample on which no other depends (ISO/IEC 14496-12, section 8.8.3.1).
    const SYNC_SAMPLE: u32 = 0x0200_0000;

    /// A fragment with one packet at `decode_time`.
    fn fragment(decode_time: u64) -> Fragment {
        let full = |kind: &[u8; 4], flags: u32, fields: &[u32]| {
            let body: Vec<u8> = [flags].iter().chain(fields).flat_map(|field| field.to_be_bytes()).collect();
            boxed(kind, &body)
        };
        let tfhd = full(b"tfhd", 0x02_0038, &[2, PACKET as u32, 3, SYNC_SAMPLE]);
        let tfdt = full(b"tfdt", 0, &[decode_time as u32]);
        let trun = |offset: u32| full(b"trun", 1, &[1, offset]);
        let moof = |offset| {
            let traf = boxed(b"traf", &[&tfhd[..], &tfdt, &trun(offset)].concat());
            boxed(b"moof", &[full(b"mfhd", 0, &[1]), traf].concat())
        };
        let offset = moof(0).len() as u32 + 8;
        let bytes = [moof(offset), boxed(b"mdat", b"opu")].concat();
        Fragment::parse(BytesMut::from(&bytes[..]), |_| None).expect("a fragment")
    }

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    }

    fn init(timeline: u32) -> InitSegment {
        InitSegment {
            bytes: Bytes::from_static(b"init"),
            codec: TrackCodec::Audio("opus".parse().unwrap()),
            timescale: 48_000,
            size: None,
            timeline,
            reordering: Reordering::default(),
        }
    }

    /// The clock of a session. Its first frame, one second into the timeline, came two seconds after its beginning.
    fn clock(timeline: u32) -> RtpClock {
        let mut clock = RtpClock::default();
        clock.begin_epoch(timeline);
        assert_eq!(clock.stamp(90_000, 0, 180_000), 180_000);
        clock
    }

    fn times(packets: &mut PacketReader, decode_time: u64, clock: &RtpClock) -> Vec<u64> {
        packets.stamp(&fragment(decode_time), clock).into_iter().map(|(time, _)| time).collect()
    }

    #[test]
    fn packet_of_a_frame_s_moment_has_its_time() {
        let mut packets = PacketReader { init: Some(Arc::new(init(7))), ..PacketReader::default() };
        assert_eq!(times(&mut packets, 48_000, &clock(7)), [96_000]);
        assert_eq!(packets.stamp(&fragment(48_000 + PACKET), &clock(7)), [(96_960, &b"opu"[..])]);
    }

    #[test]
    fn packet_of_another_timeline_is_left_out() {
        let mut packets = PacketReader { init: Some(Arc::new(init(7))), ..PacketReader::default() };
        assert_eq!(times(&mut packets, 48_000, &clock(8)), [0; 0]);
        assert_eq!(times(&mut packets, 48_000, &RtpClock::default()), [0; 0], "before the first frame");
        assert_eq!(times(&mut packets, 48_000, &clock(7)), [96_000]);
    }

    #[test]
    fn times_only_grow_when_the_clock_starts_again() {
        let mut packets = PacketReader { init: Some(Arc::new(init(7))), ..PacketReader::default() };
        let mut clock = clock(7);
        assert_eq!(times(&mut packets, 48_000, &clock), [96_000]);
        // 40 ms earlier than before.
        clock.begin_epoch(7);
        clock.stamp(90_000, 0, 180_000 - 3600);
        assert_eq!(times(&mut packets, 48_000 + PACKET, &clock), [0; 0]);
        assert_eq!(times(&mut packets, 48_000 + 3 * PACKET, &clock), [96_960]);
    }

    #[tokio::test(start_paused = true)]
    async fn reader_begins_after_the_burst_of_a_starting_encoder() {
        let stream = test_stream::stream();
        let opus = stream.audio(AudioForm::Opus);
        opus.start_epoch(init(1));
        for decode_time in [0, PACKET, 2 * PACKET] {
            opus.publish(fragment(decode_time), 0.0);
        }
        let mut packets = PacketReader::default();
        packets.follow(&stream);
        assert!(timeout(Duration::from_secs(9), packets.next()).await.is_err(), "pending before the connection");
        assert_eq!(opus.subscribers().borrow().viewers(), 0);
        packets.is_started = true;
        packets.follow(&stream);
        for decode_time in [3 * PACKET, 4 * PACKET] {
            assert!(timeout(Duration::from_millis(1), packets.next()).await.is_err(), "a burst");
            opus.publish(fragment(decode_time), 0.0);
        }
        assert!(timeout(Duration::from_millis(20), packets.next()).await.is_err(), "a burst");
        for decode_time in [5 * PACKET, 6 * PACKET] {
            opus.publish(fragment(decode_time), 0.0);
            assert_eq!(packets.next().await.head.decode_time, decode_time);
        }
        assert_eq!(packets.init.as_ref().map(|init| init.timeline), Some(1));
    }

    #[test]
    fn source_without_sound_has_no_subscriber() {
        let stream = test_stream::stream();
        let viewers = || stream.audio(AudioForm::Opus).subscribers().borrow().viewers();
        let mut packets = PacketReader { is_started: true, ..PacketReader::default() };
        packets.follow(&stream);
        assert_eq!(viewers(), 1, "its sound is unknown");
        stream.audio_buffer().describe(None);
        packets.follow(&stream);
        assert_eq!(viewers(), 0);
        stream.audio_buffer().reset(true);
        packets.follow(&stream);
        assert_eq!(viewers(), 1, "another source");
    }

    #[test]
    fn sound_is_possible_until_the_source_is_known_to_have_none() {
        let (stream, low) = (test_stream::stream(), Choice::new(VariantChoice::Low, Quality::Auto));
        assert!(is_possible(&stream, Choice::default()) && is_possible(&stream, low));
        let with_sub = test_stream::stream_with_sub();
        assert!(is_possible(&with_sub, Choice::default()) && !is_possible(&with_sub, low));
        stream.audio_buffer().describe(None);
        assert!(!is_possible(&stream, Choice::default()));
    }
}
