use super::*;
use bytes::Bytes;
use mp4_atom::{Codec, Decode, Moov};
use proptest::prelude::*;
use sightline_protocol::message::TrackKind;

use crate::fmp4::init::InitSegment;

const H264: &[u8] = include_bytes!("../init/fixtures/h264.init.mp4");
const H265: &[u8] = include_bytes!("../init/fixtures/h265.init.mp4");
/// Init segments and fragments of FFmpeg 5.1 with B-frames; they declare that two frames are reordered.
const REORDERED: [&[u8]; 2] =
    [include_bytes!("../samples/fixtures/h264_in_band.mp4"), include_bytes!("../samples/fixtures/h265_in_band.mp4")];

fn init_of(file: &[u8]) -> &[u8] {
    let moov = boxes::find(file, 0..file.len(), &[b"moov"]).unwrap();
    &file[..moov.whole.end]
}

#[test]
fn layout_and_parameter_sets_match_the_record() {
    let config = DecoderConfig::find(H264).unwrap();
    assert_eq!((config.layout.family, config.layout.length_size), (Family::H264, 4));
    let types: Vec<u8> = config.units(H264).map(|unit| unit[0] & 0x1f).collect();
    assert_eq!(types, [7, 8]);

    let config = DecoderConfig::find(H265).unwrap();
    assert_eq!((config.layout.family, config.layout.length_size), (Family::H265, 4));
    let types: Vec<u8> = config.units(H265).map(|unit| unit[0] >> 1).collect();
    assert_eq!(types, [32, 33, 34]);
}

#[test]
fn declared_order_leaves_init_segment_unchanged() {
    for init in [H264, H265] {
        let config = DecoderConfig::find(init).unwrap();
        assert_eq!(config.declared_reordering(init), Ok(DeclaredReordering::None));
        assert_eq!(config.set_no_reorder(init), None);
    }
}

/// The enclosing boxes grow with the record, and nothing else changes.
#[test]
fn amended_init_segment_differs_only_in_parameter_sets() {
    for before in REORDERED.map(init_of) {
        let config = DecoderConfig::find(before).unwrap();
        assert_eq!(config.declared_reordering(before), Ok(DeclaredReordering::AtMost(2)));
        let after = config.set_no_reorder(before).unwrap();
        let amended = DecoderConfig::find(&after).unwrap();
        assert_eq!(amended.declared_reordering(&after), Ok(DeclaredReordering::None));
        assert_eq!(amended.set_no_reorder(&after), None);
        assert_eq!(amended.sets.len(), config.sets.len());

        let (mut old, mut new) = (moov(before), moov(&after));
        assert_ne!(sample_entry(&mut old), sample_entry(&mut new));
        for moov in [&mut old, &mut new] {
            match sample_entry(moov) {
                Codec::Avc1(entry) => entry.avcc.sequence_parameter_sets.clear(),
                Codec::Hev1(entry) => entry.hvcc.arrays.clear(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(old, new);
        let parse = |bytes: &[u8]| InitSegment::parse(Bytes::copy_from_slice(bytes), TrackKind::Video, 1).unwrap();
        let (old, new) = (parse(before), parse(&after));
        assert_eq!((old.codec, old.size, old.timescale), (new.codec, new.size, new.timescale));
    }
}

/// The whole `moov`. No bytes may be left over, which verifies every size.
fn moov(init: &[u8]) -> Moov {
    let at = boxes::find(init, 0..init.len(), &[b"moov"]).unwrap();
    assert_eq!(at.whole.end, init.len());
    Moov::decode(&mut &init[at.whole]).unwrap()
}

fn sample_entry(moov: &mut Moov) -> &mut Codec {
    &mut moov.trak[0].mdia.minf.stbl.stsd.codecs[0]
}

proptest! {
    #[test]
    fn damage_never_panics(which in 0usize..2, at in 0usize..900, value: u8, cut in 0usize..900) {
        let mut init = init_of(REORDERED[which]).to_vec();
        if let Some(byte) = init.get_mut(at) {
            *byte = value;
        }
        for init in [&init[..], &init[..init.len().saturating_sub(cut)]] {
            if let Some(config) = DecoderConfig::find(init) {
                let _ = (config.declared_reordering(init), config.set_no_reorder(init));
            }
        }
    }
}

#[test]
fn init_segment_takes_the_size_of_parameter_sets_in_band() {
    let sets_of = |init: &[u8]| {
        let config = DecoderConfig::find(init).unwrap();
        config.units(init).flat_map(|unit| [&(unit.len() as u32).to_be_bytes(), unit].concat()).collect::<Vec<u8>>()
    };
    let parsed = |init: Vec<u8>| InitSegment::parse(Bytes::from(init), TrackKind::Video, 1).unwrap();
    for (init, other) in [(H264, init_of(REORDERED[0])), (H265, init_of(REORDERED[1]))] {
        assert_eq!(resized(init, &sets_of(init)), None, "the same size");
        let (size, wanted) = (parsed(init.to_vec()).size, parsed(other.to_vec()));
        assert_ne!(size, wanted.size);
        let changed = resized(init, &sets_of(other)).unwrap();
        let config = DecoderConfig::find(&changed).unwrap();
        assert_eq!(
            config.units(&changed).collect::<Vec<_>>(),
            DecoderConfig::find(other).unwrap().units(other).collect::<Vec<_>>()
        );
        let changed = parsed(changed);
        assert_eq!((changed.size, &changed.codec), (wanted.size, &wanted.codec));
        assert_eq!(resized(init, b"\0\0\0\x01\x65"), None, "no sets");
    }
}
