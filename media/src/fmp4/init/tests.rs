use super::*;
use proptest::prelude::*;

// Init segments of FFmpeg 5.1 with `-movflags empty_moov+default_base_moof+frag_every_frame`.
const H264: &[u8] = include_bytes!("fixtures/h264.init.mp4");
const H265: &[u8] = include_bytes!("fixtures/h265.init.mp4");
const AUDIO: &[u8] = include_bytes!("fixtures/audio.init.mp4");
const OPUS: &[u8] = include_bytes!("fixtures/opus.init.mp4");
const MPEG4: &[u8] = include_bytes!("fixtures/mpeg4.init.mp4");

fn parse(bytes: &[u8]) -> Result<InitSegment, InitError> {
    InitSegment::parse(Bytes::copy_from_slice(bytes), TrackKind::Video, 7)
}

#[test]
fn codec_size_and_timescale_come_from_the_sample_entry() {
    let h264 = parse(H264).unwrap();
    assert_eq!(h264.track(None).mime, "video/mp4; codecs=\"avc1.64001E\"");
    assert_eq!((h264.size, h264.timescale), (Some(Size { width: 640, height: 360 }), 12_800));
    assert_eq!(h264.bytes, H264, "FFmpeg's H.264 is in live form already");

    let h265 = parse(H265).unwrap();
    assert_eq!(h265.track(None).mime, "video/mp4; codecs=\"hvc1.1.6.L63.90\"");
    assert_eq!(h265.track(None).timeline, 7);
}

#[test]
fn audio_codec_comes_from_the_decoder_configuration() {
    let audio = |bytes: &[u8]| InitSegment::parse(Bytes::copy_from_slice(bytes), TrackKind::Audio, 7).unwrap();
    let (aac, opus) = (audio(AUDIO), audio(OPUS));
    let track = Track {
        kind: TrackKind::Audio,
        mime: "audio/mp4; codecs=\"mp4a.40.2\"".into(),
        timescale: 44_100,
        timeline: 7,
        size: None,
        frame_rate: None,
    };
    assert_eq!((aac.track(None), aac.video_codec()), (track, None));
    assert_eq!((opus.track(None).mime.as_str(), opus.timescale), ("audio/mp4; codecs=\"opus\"", 48_000));
    assert_eq!(opus.bytes, OPUS, "FFmpeg's audio is in live form already");
}

#[test]
fn hev1_becomes_hvc1_with_complete_arrays() {
    let before = Moov::decode(&mut &H265[28..]).unwrap();
    let Codec::Hev1(before) = &before.trak[0].mdia.minf.stbl.stsd.codecs[0] else { panic!("the fixture is hev1") };
    let after = parse(H265).unwrap().bytes;
    assert_eq!(after.len(), H265.len());
    let after = Moov::decode(&mut &after[28..]).unwrap();
    let Codec::Hvc1(after) = &after.trak[0].mdia.minf.stbl.stsd.codecs[0] else { panic!("not hvc1") };
    assert!(!after.hvcc.arrays.is_empty() && after.hvcc.arrays.iter().all(|array| array.completeness));
    let nal_units = |hvcc: &Hvcc| hvcc.arrays.iter().map(|array| array.nalus.clone()).collect::<Vec<_>>();
    assert_eq!(nal_units(&after.hvcc), nal_units(&before.hvcc), "no parameter set is touched");
}

#[test]
fn duration_is_removed_for_live_playback() {
    let mvhd = boxes::find(H264, 0..H264.len(), &[b"moov", b"mvhd"]).unwrap();
    let mvex = boxes::find(H264, 0..H264.len(), &[b"moov", b"mvex"]).unwrap();
    let mut recording = H264.to_vec();
    recording[mvhd.body][16..20].copy_from_slice(&5000u32.to_be_bytes());
    // Inserts a `mehd` before `trex`; `moov` and `mvex` grow by its 16 bytes.
    let mehd = [&[0, 0, 0, 16], &b"mehd"[..], &[0; 4], &5000u32.to_be_bytes()].concat();
    recording.splice(mvex.body.start..mvex.body.start, mehd);
    for start in [28, mvex.whole.start] {
        let size = u32::from_be_bytes(recording[start..start + 4].try_into().unwrap()) + 16;
        recording[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }
    let before = Moov::decode(&mut &recording[28..]).unwrap();
    assert_eq!((before.mvhd.duration, before.mvex.unwrap().mehd.is_some()), (5000, true), "the test's own premise");

    let live = parse(&recording).unwrap().bytes;
    let after = Moov::decode(&mut &live[28..]).unwrap();
    let mvex = after.mvex.unwrap();
    assert_eq!((after.mvhd.duration, mvex.mehd, mvex.trex.len()), (0, None, 1));
}

#[test]
fn unsupported_init_segment_reports_the_reason() {
    assert_eq!(parse(AUDIO), Err(InitError::WrongKind(TrackKind::Video)));
    let audio = InitSegment::parse(Bytes::from_static(H264), TrackKind::Audio, 0);
    assert_eq!(audio, Err(InitError::WrongKind(TrackKind::Audio)));
    assert_eq!(parse(MPEG4), Err(InitError::UnsupportedCodec("mp4v".into())));
    assert!(matches!(parse(b"\0\0\0\x08ftyp"), Err(InitError::Malformed(_))));
}

proptest! {
    #[test]
    fn damaged_init_segment_never_panics(at in 0usize..H265.len(), value: u8) {
        let mut bytes = H265.to_vec();
        bytes[at] = value;
        let _ = parse(&bytes);
    }

    #[test]
    fn truncated_init_segment_is_an_error(end in 0usize..H264.len()) {
        prop_assert!(parse(&H264[..end]).is_err());
    }
}
