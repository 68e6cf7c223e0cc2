use std::time::Duration;

use bytes::BytesMut;
use sightline_media::fmp4::init::{InitSegment, Reordering, TrackCodec};
use sightline_media::nut::{SourceAudio, SourceCodec};
use sightline_protocol::fragment::NtpTime;
use tokio::time::timeout;

use super::*;
use crate::egress::test_stream;
use crate::hub::audio_buffer::g711::G711Packet;
use crate::hub::rendition::AudioForm;

/// 20 ms of Opus.
const PACKET: u64 = 960;
/// 20 ms of G.711.
const SAMPLES: u64 = 160;

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

fn opus(decode_time: u64) -> Sound {
    let media = SoundMedia::Fragment(Arc::new(fragment(decode_time)));
    Sound { codec: SoundCodec::Opus, timeline: 7, timescale: 48_000, media }
}

fn alaw(decode_time: u64, samples: usize) -> Sound {
    let media = SoundMedia::Samples(decode_time, vec![0xd5; samples].into());
    Sound { codec: SoundCodec::G711(G711::ALaw), timeline: 7, timescale: 8000, media }
}

/// What Chromium takes, and a viewer of Opus alone.
fn payloads() -> AudioPayloads {
    AudioPayloads { opus: 111.into(), a_law: Some(8.into()), mu_law: Some(0.into()) }
}

fn opus_alone() -> AudioPayloads {
    AudioPayloads { a_law: None, mu_law: None, ..payloads() }
}

fn reader(stream: &Stream) -> PacketReader {
    PacketReader::new(stream.clone(), opus_alone())
}

/// The clock of a session. Its first frame, one second into the timeline, came two seconds after its beginning.
fn clock(timeline: u32) -> RtpClock {
    let mut clock = RtpClock::default();
    clock.begin_epoch(timeline);
    assert_eq!(clock.stamp(90_000, 0, 180_000), 180_000);
    clock
}

fn times(packets: &mut PacketReader, sound: &Sound, clock: &RtpClock) -> Vec<u64> {
    packets.stamp(sound, clock).into_iter().map(|(time, _)| time).collect()
}

/// The law of a source with G.711 that the relay reads itself.
fn describe_alaw(stream: &Stream) {
    let codec = SourceCodec::Other("G.711 A-law".into());
    let audio = SourceAudio { codec, sample_rate: 8000, channels: 1 };
    stream.audio_buffer().describe_packets(Some(audio), Some(G711::ALaw));
}

#[test]
fn camera_s_g711_is_sent_unchanged_where_the_viewer_takes_it() {
    let (all, alone) = (payloads(), opus_alone());
    let of = |g711| KnownAudio::Present { g711 };
    assert_eq!(choose(of(Some(G711::ALaw)), &all), SoundChoice::G711);
    assert_eq!(choose(of(Some(G711::MuLaw)), &all), SoundChoice::G711);
    assert_eq!(choose(of(Some(G711::ALaw)), &alone), SoundChoice::Opus, "not offered");
    let mu_law_alone = AudioPayloads { a_law: None, ..payloads() };
    assert_eq!(choose(of(Some(G711::ALaw)), &mu_law_alone), SoundChoice::Opus, "the other law");
    assert_eq!(choose(of(None), &all), SoundChoice::Opus);
    assert_eq!(choose(KnownAudio::Absent, &all), SoundChoice::Nothing);
    assert_eq!(choose(KnownAudio::Unknown, &all), SoundChoice::Undecided);
    assert_eq!(choose(KnownAudio::Unknown, &alone), SoundChoice::Opus, "whatever the source has");
}

#[test]
fn packet_of_a_frame_s_moment_has_its_time() {
    let mut packets = reader(&test_stream::stream());
    assert_eq!(times(&mut packets, &opus(48_000), &clock(7)), [96_000]);
    assert_eq!(packets.stamp(&opus(48_000 + PACKET), &clock(7)), [(96_960, &b"opu"[..])]);
}

#[test]
fn g711_has_a_clock_of_8_khz_and_the_camera_s_packets() {
    let mut packets = reader(&test_stream::stream());
    assert_eq!(packets.stamp(&alaw(8000, 160), &clock(7)), [(16_000, &[0xd5; 160][..])]);
    assert_eq!(times(&mut packets, &alaw(8160, 320), &clock(7)), [16_160]);
    let long = alaw(8480, 1024);
    let stamped = packets.stamp(&long, &clock(7));
    let stamped: Vec<_> = stamped.iter().map(|(time, packet)| (*time, packet.len())).collect();
    assert_eq!(stamped, [(16_480, 512), (16_992, 512)], "too long for a datagram");
}

#[test]
fn change_of_codec_starts_another_clock() {
    let mut packets = reader(&test_stream::stream());
    assert_eq!(times(&mut packets, &opus(48_000), &clock(7)), [96_000]);
    assert_eq!(times(&mut packets, &alaw(8160, 160), &clock(7)), [16_160]);
    assert_eq!(times(&mut packets, &alaw(8160, 160), &clock(7)), [0; 0], "times only grow");
}

#[test]
fn packet_of_another_timeline_is_left_out() {
    let mut packets = reader(&test_stream::stream());
    packets.video = Some(VideoTimeline { number: 8, is_sub: false });
    assert_eq!(times(&mut packets, &opus(48_000), &clock(8)), [0; 0]);
    assert_eq!(times(&mut packets, &opus(48_000), &RtpClock::default()), [0; 0], "before the first frame");
    assert_eq!(times(&mut packets, &opus(48_000), &clock(7)), [96_000]);
}

#[test]
fn times_only_grow_when_the_clock_starts_again() {
    let mut packets = reader(&test_stream::stream());
    let mut clock = clock(7);
    assert_eq!(times(&mut packets, &opus(48_000), &clock), [96_000]);
    // 40 ms earlier than before.
    clock.begin_epoch(7);
    clock.stamp(90_000, 0, 180_000 - 3600);
    assert_eq!(times(&mut packets, &opus(48_000 + PACKET), &clock), [0; 0]);
    assert_eq!(times(&mut packets, &opus(48_000 + 3 * PACKET), &clock), [96_960]);
}

/// A stream with one picture at `main` milliseconds of the main stream, on timeline 1, and at `sub` of the sub stream.
fn stream_with_pair(main: u64, sub: u64) -> Stream {
    let stream = test_stream::stream_with_sub();
    for (variant, time) in [(Variant::Copy, main), (Variant::Low, sub)] {
        test_stream::start_epoch(&stream, variant, test_stream::H264, false);
        test_stream::publish_captured(&stream, variant, time, true, Some(NtpTime::from_unix(1000.0)));
    }
    stream
}

fn of_main(sound: Sound) -> Sound {
    Sound { timeline: 1, ..sound }
}

#[test]
fn sound_beside_a_sub_stream_has_the_time_of_the_frame_of_its_moment() {
    let mut packets = reader(&stream_with_pair(1500, 500));
    packets.video = Some(VideoTimeline { number: 9, is_sub: true });
    // The sub stream's second 1 is the session's second 2, and the main stream's second 2.
    assert_eq!(times(&mut packets, &of_main(opus(96_000)), &clock(9)), [96_000]);
    assert_eq!(times(&mut packets, &of_main(opus(96_000 + PACKET)), &clock(9)), [96_960]);
    packets.video = Some(VideoTimeline { number: 1, is_sub: false });
    assert_eq!(times(&mut packets, &of_main(opus(96_000)), &clock(1)), [144_000], "beside the main stream again");
    packets.video = Some(VideoTimeline { number: 9, is_sub: true });
    assert_eq!(times(&mut packets, &of_main(alaw(16_000, 160)), &clock(9)), [16_000]);
}

#[test]
fn sound_beside_a_sub_stream_waits_for_a_frame_of_its_own_run() {
    let mut packets = reader(&stream_with_pair(1500, 500));
    packets.video = Some(VideoTimeline { number: 9, is_sub: true });
    assert_eq!(times(&mut packets, &opus(96_000), &clock(9)), [0; 0], "timeline 7 is another run");
    let mut packets = reader(&test_stream::stream_with_sub());
    packets.video = Some(VideoTimeline { number: 9, is_sub: true });
    assert_eq!(times(&mut packets, &of_main(opus(96_000)), &clock(9)), [0; 0], "the main stream has no frame");
}

#[test]
fn distance_to_a_sub_stream_is_measured_again_and_moves_sound_by_more_than_the_tolerance() {
    let shift = |seconds, taken| Some(Shift { timelines: (1, 9), seconds, taken });
    assert_eq!(Shift::next(None, None), None);
    assert_eq!(Shift::next(None, shift(0.5, 3.0)), shift(0.5, 3.0));
    assert_eq!(Shift::next(shift(0.5, 3.0), shift(0.509, 4.0)), shift(0.5, 4.0));
    assert_eq!(Shift::next(shift(0.5, 3.0), shift(0.46, 4.0)), shift(0.46, 4.0));
    assert_eq!(Shift::next(shift(0.5, 3.0), None), shift(0.5, 3.0), "one of both has no frame");

    let stream = stream_with_pair(1500, 500);
    let mut packets = reader(&stream);
    packets.video = Some(VideoTimeline { number: 9, is_sub: true });
    assert_eq!(times(&mut packets, &of_main(opus(96_000)), &clock(9)), [96_000]);
    // A frame of the main stream that was 100 ms less delayed than the one before.
    test_stream::publish_captured(&stream, Variant::Copy, 1600, true, Some(NtpTime::from_unix(1000.0)));
    assert_eq!(times(&mut packets, &of_main(opus(96_000 + PACKET)), &clock(9)), [96_960], "within the interval");
    assert_eq!(times(&mut packets, &of_main(opus(144_000)), &clock(9)), [144_000 - 4800]);
}

async fn next(packets: &mut PacketReader, wait: Duration) -> Option<Sound> {
    timeout(wait, packets.next()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn reader_begins_after_the_burst_of_a_starting_encoder() {
    let ms = Duration::from_millis;
    let stream = test_stream::stream();
    let opus = stream.audio(AudioForm::Opus);
    opus.start_epoch(init(1));
    for decode_time in [0, PACKET, 2 * PACKET] {
        opus.publish(fragment(decode_time), 0.0);
    }
    let mut packets = reader(&stream);
    assert!(next(&mut packets, ms(9000)).await.is_none(), "pending before the connection");
    assert_eq!(opus.subscribers().borrow().viewers(), 0);
    packets.start();
    for decode_time in [3 * PACKET, 4 * PACKET] {
        assert!(next(&mut packets, ms(1)).await.is_none(), "a burst");
        opus.publish(fragment(decode_time), 0.0);
    }
    assert!(next(&mut packets, ms(20)).await.is_none(), "a burst");
    for decode_time in [5 * PACKET, 6 * PACKET] {
        opus.publish(fragment(decode_time), 0.0);
        let sound = next(&mut packets, ms(20)).await.unwrap();
        assert_eq!((sound.timeline, sound.packets()[0].0), (1, decode_time));
    }
}

#[tokio::test(start_paused = true)]
async fn g711_needs_no_encoder_once_the_source_is_known() {
    let ms = Duration::from_millis;
    let stream = test_stream::stream();
    let audio_buffer = stream.audio_buffer();
    let listeners = || stream.rendition(Variant::Copy).subscribers().borrow().listeners;
    let viewers = || stream.audio(AudioForm::Opus).subscribers().borrow().viewers();
    let mut packets = PacketReader::new(stream.clone(), payloads());
    packets.start();
    assert_eq!((listeners(), viewers()), (1, 0), "the main stream says what sound there is");
    assert!(next(&mut packets, ms(100)).await.is_none());
    describe_alaw(&stream);
    audio_buffer.begin(7, Bytes::from_static(b"head"));
    let samples = Bytes::from_static(&[0xd5; SAMPLES as usize]);
    let push = |decode_time| {
        let packet = G711Packet { decode_time, samples: samples.clone() };
        audio_buffer.push_packet(samples.clone(), true, packet);
    };
    for decode_time in [8000, 8000 + SAMPLES] {
        push(decode_time);
        let sound = next(&mut packets, ms(1)).await.unwrap();
        assert_eq!((sound.codec, sound.timeline), (SoundCodec::G711(G711::ALaw), 7));
        assert_eq!(sound.packets(), [(decode_time, &samples[..])]);
    }
    assert_eq!((listeners(), viewers()), (1, 0));

    // FFmpeg reads the source now, and hands over no packets.
    audio_buffer.describe(audio_buffer.audio());
    assert!(next(&mut packets, ms(1)).await.is_none());
    assert_eq!((listeners(), viewers()), (0, 1));
    drop(packets);
    assert_eq!((listeners(), viewers()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn source_without_sound_has_no_subscriber() {
    let stream = test_stream::stream();
    let viewers = || stream.audio(AudioForm::Opus).subscribers().borrow().viewers();
    let mut packets = reader(&stream);
    packets.start();
    assert_eq!(viewers(), 1, "its sound is unknown");
    stream.audio_buffer().describe(None);
    assert!(next(&mut packets, Duration::from_millis(1)).await.is_none());
    assert_eq!(viewers(), 0);
    stream.audio_buffer().reset(true);
    assert!(next(&mut packets, Duration::from_millis(1)).await.is_none());
    assert_eq!(viewers(), 1, "another source");
}
