use super::*;
use mp4_atom::{Mfhd, Tfdt, Tfhd, Traf, Trun};
use proptest::prelude::*;
use sightline_protocol::codec::Family;
use sightline_protocol::fragment::FragmentHead;

/// FFmpeg 5.1 with B-frames and an SPS before each key frame (`-bsf:v dump_extra`). One fragment per frame or, in `gop`, one
/// for all frames.
const FILES: [(Family, &[u8]); 3] = [
    (Family::H264, include_bytes!("fixtures/h264_in_band.mp4")),
    (Family::H265, include_bytes!("fixtures/h265_in_band.mp4")),
    (Family::H264, include_bytes!("fixtures/h264_gop.mp4")),
];

fn fragments(file: &[u8]) -> Vec<Vec<u8>> {
    let mut start = None;
    let mut fragments = Vec::new();
    for found in boxes::children(file, 0..file.len()) {
        match &found.kind.to_string()[..] {
            "prft" | "moof" => _ = start.get_or_insert(found.whole.start),
            "mdat" => fragments.push(file[start.take().unwrap()..found.whole.end].to_vec()),
            _ => {}
        }
    }
    fragments
}

/// The NAL units of each sample.
fn units(fragment: &[u8], layout: Layout) -> Vec<Vec<Vec<u8>>> {
    let samples = Samples::find(fragment).unwrap();
    let sample = |at: Range<usize>| {
        let unit = &fragment[at];
        let units: Vec<Vec<u8>> = layout.units(unit).map(|at| unit[at].to_vec()).collect();
        assert_eq!(units.iter().map(|unit| unit.len() + layout.length_size).sum::<usize>(), unit.len());
        units
    };
    samples.access_units().map(sample).collect()
}

/// The fragment with amended parameter sets, if that changes any.
fn amend(fragment: &[u8], layout: Layout) -> Option<Vec<u8>> {
    let access_units: Vec<_> = Samples::find(fragment)?.access_units().collect();
    set_no_reorder(fragment, &access_units, layout)
}

fn expected(family: Family, units: &[Vec<Vec<u8>>]) -> Vec<Vec<Vec<u8>>> {
    let amended = |unit: &Vec<u8>| nal::set_no_reorder(family, unit).unwrap().unwrap_or_else(|| unit.clone());
    units.iter().map(|units| units.iter().map(amended).collect()).collect()
}

#[test]
fn in_band_parameter_sets_are_amended_and_the_rest_is_kept() {
    for (family, file) in FILES {
        let layout = Layout { family, length_size: 4 };
        let mut amended = 0;
        for before in fragments(file) {
            let old = units(&before, layout);
            let Some(after) = amend(&before, layout) else {
                assert_eq!(expected(family, &old), old);
                continue;
            };
            amended += 1;
            assert_eq!(units(&after, layout), expected(family, &old));
            assert_ne!(units(&after, layout), old);
            assert_eq!(amend(&after, layout), None);
            let head = |fragment: &[u8]| FragmentHead::read(fragment).unwrap();
            assert_eq!(head(&after), head(&before), "times, flags and prft");
        }
        assert!((1..=2).contains(&amended), "{amended}: not every frame is a key frame");
    }
}

#[test]
fn rewritten_ffmpeg_fragment_is_identical() {
    for fragment in FILES.iter().flat_map(|(_, file)| fragments(file)) {
        let samples = Samples::find(&fragment).unwrap();
        let again = encode(&samples.moof).unwrap();
        assert_eq!(again.len(), samples.moof_at.whole.len(), "no box in it is dropped");
        assert_eq!(Moof::decode(&mut &*again).unwrap(), samples.moof);
    }
}

/// A fragment with runs of these access units. Sizes are explicit in each run, or a default for all samples.
fn write(runs: &[Vec<Vec<u8>>], default_size: Option<u32>, offsets: bool) -> Vec<u8> {
    let mut data = 0;
    let mut moof = Moof {
        mfhd: Mfhd::default(),
        traf: vec![Traf {
            tfhd: Tfhd { track_id: 1, default_sample_size: default_size, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: 7 }),
            ..Traf::default()
        }],
    };
    for (n, run) in runs.iter().enumerate() {
        let entry = |unit: &Vec<u8>| TrunEntry {
            size: default_size.is_none().then_some(unit.len() as u32),
            ..TrunEntry::default()
        };
        let samples = match default_size {
            Some(_) => mp4_atom::TrunSamples::Inherited { count: run.len() as u32, first_flags: Some(0) },
            None => run.iter().map(entry).collect::<Vec<_>>().into(),
        };
        moof.traf[0].trun.push(Trun { data_offset: (n == 0 || offsets).then_some(data), samples });
        data += run.iter().map(Vec::len).sum::<usize>() as i32;
    }
    let start = encode(&moof).unwrap().len() as i32 + 8;
    moof.traf[0].trun.iter_mut().filter_map(|run| run.data_offset.as_mut()).for_each(|offset| *offset += start);
    let media = runs.concat().concat();
    let size = (media.len() as u32 + 8).to_be_bytes();
    [&*encode(&moof).unwrap(), &size, b"mdat", &media].concat()
}

proptest! {
    /// For any form of sizes and any starts of runs.
    #[test]
    fn amended_fragment_has_adjusted_sizes_and_offsets(
        runs in proptest::collection::vec(proptest::collection::vec(0usize..4, 1..4), 1..4),
        length_size in prop_oneof![Just(1usize), Just(2), Just(4)],
        offsets: bool,
    ) {
        let layout = Layout { family: Family::H264, length_size };
        // Reolink's SPS without a VUI, x264's with no reordering, a slice, a delimiter.
        let sps = [0x67, 0x64, 0, 0x33, 0xac, 0xe8, 2, 0x80, 0x0b, 0x59];
        let kinds: [&[u8]; 4] = [&sps, &[0x67, 0x42], &[0x65, 1, 2], &[9, 0xf0]];
        let access_unit = |&kind: &usize| {
            let unit = kinds[kind];
            let length = &(unit.len() as u32).to_be_bytes()[4 - length_size..];
            // Each access unit ends with the same slice.
            [length, unit, &[&[0, 0, 0, 3][4 - length_size..], kinds[2]].concat()].concat()
        };
        let runs: Vec<Vec<Vec<u8>>> = runs.iter().map(|run| run.iter().map(access_unit).collect()).collect();
        let first = runs[0][0].len();
        let same = runs.iter().flatten().all(|unit| unit.len() == first);
        for default_size in [None, same.then_some(first as u32)] {
            let before = write(&runs, default_size, offsets);
            let old = units(&before, layout);
            let amended = amend(&before, layout);
            let has_sps = runs.iter().flatten().any(|unit| unit[length_size..].starts_with(&sps));
            prop_assert_eq!(amended.is_some(), has_sps);
            let wanted: Vec<Vec<Vec<u8>>> = old.iter().map(|units| units.iter().map(|unit| {
                nal::set_no_reorder(Family::H264, unit).ok().flatten().unwrap_or_else(|| unit.clone())
            }).collect()).collect();
            prop_assert_eq!(units(&amended.unwrap_or(before), layout), wanted);
        }
    }

    #[test]
    fn damage_never_panics(which in 0usize..3, at in 0usize..300, value: u8, cut in 0usize..2000) {
        let (family, file) = FILES[which];
        let mut fragment = fragments(file).remove(0);
        fragment[at] = value;
        fragment.truncate(fragment.len().saturating_sub(cut));
        for length_size in 1..=4 {
            amend(&fragment, Layout { family, length_size });
        }
    }
}
