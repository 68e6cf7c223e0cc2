use super::*;
use mp4_atom::{Encode, Mfhd, Moof, ReferenceTime, Traf, TrunEntry, TrunSamples};
use proptest::prelude::*;

fn moof(decode_time: u64, entries: Vec<TrunEntry>) -> Moof {
    Moof {
        mfhd: Mfhd { sequence_number: 1 },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: 1,
                default_sample_duration: Some(3600),
                default_sample_flags: Some(NON_SYNC_SAMPLE),
                default_base_is_moof: true,
                ..Default::default()
            },
            tfdt: Some(Tfdt { base_media_decode_time: decode_time }),
            trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(entries) }],
            ..Default::default()
        }],
    }
}

fn entry(duration: Option<u32>, flags: Option<u32>, cts: Option<i64>) -> TrunEntry {
    TrunEntry { duration, size: Some(10), flags, cts }
}

fn bytes(atom: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    atom.encode(&mut out).unwrap();
    out
}

/// A fragment with a `prft`, a `moof` and only the header of a `mdat`.
fn fragment(moof: &Moof) -> Vec<u8> {
    let prft = Prft {
        reference_track_id: 1,
        // 2000-01-01 00:00:00.5 UTC.
        ntp_timestamp: (3_155_673_600 << 32) | 0x8000_0000,
        media_time: 0,
        utc_time_semantics: ReferenceTime::RealTime,
    };
    let mut out = bytes(&prft);
    out.extend(bytes(moof));
    out.extend([0, 1, 0, 0]);
    out.extend(b"mdat");
    out
}

#[test]
fn head_fields_match_the_boxes() {
    let bytes = fragment(&moof(7200, vec![entry(Some(3600), Some(0), Some(40)), entry(Some(1800), None, None)]));
    let head = FragmentHead::read(&bytes).unwrap();
    assert_eq!(
        head,
        FragmentHead {
            track_id: 1,
            decode_time: 7200,
            duration: 5400,
            samples: 2,
            keyframe: true,
            composition_offset: 40,
            capture: Some(NtpTime((3_155_673_600 << 32) | 0x8000_0000)),
        }
    );
    assert_eq!(head.capture.unwrap().unix_ms(), 946_684_800_500.0);
    assert!(bytes.len() < HEAD_LEN_MAX, "{} bytes", bytes.len());
}

#[test]
fn flags_and_duration_fall_back_to_the_defaults_of_tfhd() {
    let head = FragmentHead::read(&fragment(&moof(0, vec![entry(None, None, None)]))).unwrap();
    assert!(!head.keyframe);
    assert_eq!((head.duration, head.composition_offset), (3600, 0));
}

#[test]
fn invalid_fragment_reports_the_reason() {
    let whole = fragment(&moof(0, vec![entry(None, None, None)]));
    assert_eq!(FragmentHead::read(&whole[..60]), Err(FragmentError::Truncated(60)));
    assert_eq!(FragmentHead::read(b"\0\0\0\x08mdat"), Err(FragmentError::Missing("moof")));
    assert_eq!(FragmentHead::read(b"\0\0\0\x08moof"), Err(FragmentError::Missing("traf")));
    assert_eq!(FragmentHead::read(b"\0\0\0\x08free"), Err(FragmentError::UnexpectedBox(FourCC::new(b"free"))));
    let mut two = moof(0, vec![entry(None, None, None)]);
    two.traf.push(two.traf[0].clone());
    assert_eq!(FragmentHead::read(&fragment(&two)), Err(FragmentError::ManyTracks));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = FragmentHead::read(&bytes);
    }

    #[test]
    fn damaged_fragment_never_panics(at in 0usize..200, value: u8) {
        let mut bytes = fragment(&moof(7200, vec![entry(None, Some(0), Some(40)); 3]));
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = FragmentHead::read(&bytes);
    }
}
