use super::*;
use crate::fmp4::websocket_frame::WebSocketFrame;
use crate::fmp4::writer::{self, AccessUnit};
use proptest::prelude::*;
use sightline_protocol::fragment::{FragmentHead, HEAD_LEN_MAX, NtpTime};

/// FFmpeg 5.1 with B-frames: one fragment per frame, and one fragment for all frames.
const FRAMES: [&[u8]; 2] =
    [include_bytes!("../samples/fixtures/h264_in_band.mp4"), include_bytes!("../samples/fixtures/h265_in_band.mp4")];
const GOP: &[u8] = include_bytes!("../samples/fixtures/h264_gop.mp4");

/// The fragments of a file, without `prft`.
fn fragments(file: &[u8]) -> Vec<Vec<u8>> {
    let mut start = None;
    let mut fragments = Vec::new();
    for found in boxes::children(file, 0..file.len()) {
        match &found.kind.to_string()[..] {
            "moof" => start = Some(found.whole.start),
            "mdat" => fragments.push(file[start.take().unwrap()..found.whole.end].to_vec()),
            _ => {}
        }
    }
    fragments
}

/// A fragment with a `prft` of this version before it.
fn with_prft(fragment: &[u8], version: u8) -> Vec<u8> {
    let media_time: &[u8] = if version == 0 { &[0, 0, 0, 9] } else { &[0, 0, 0, 1, 0, 0, 0, 9] };
    let body = [&[version, 0, 0, 24][..], &[0, 0, 0, 1], &[7; 8], media_time].concat();
    [&(body.len() as u32 + 8).to_be_bytes()[..], b"prft", &body, fragment].concat()
}

fn every_fragment() -> Vec<Vec<u8>> {
    let unit = AccessUnit { bytes: &[1; 300], decode_time: 90_000, duration: 3600, keyframe: true };
    let mut all = vec![writer::fragment(1, unit, NtpTime(1)).unwrap().bytes.to_vec()];
    for fragment in FRAMES.iter().chain([&GOP]).flat_map(|file| fragments(file)) {
        all.extend([with_prft(&fragment, 0), with_prft(&fragment, 1), fragment]);
    }
    all
}

/// The fragment with the media times of a retiming, as sent to a viewer.
fn retimed(fragment: &[u8], retiming: Retiming) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let shared = WebSocketFrame::from(fragment).retimed(retiming, &mut head)?;
    let frame = [&head[..], &shared].concat();
    Some(frame[frame.len() - fragment.len()..].to_vec())
}

/// The composition offsets of all samples.
fn offsets(fragment: &[u8]) -> Vec<i64> {
    use mp4_atom::{Decode, Moof};
    let moof = boxes::find(fragment, 0..fragment.len(), &[b"moof"]).unwrap();
    let moof = Moof::decode(&mut &fragment[moof.whole]).unwrap();
    moof.traf[0].trun.iter().flat_map(|run| run.samples.iter()).map(|sample| sample.cts.unwrap_or(0)).collect()
}

#[test]
fn heads_of_one_frame_fragments_are_small() {
    for fragment in FRAMES.iter().flat_map(|file| fragments(file)) {
        let times = MediaTimes::find(&fragment).unwrap();
        for composition_shift in [0, -512] {
            let head = times.head_len(Retiming { decode_time: 0, duration: None, composition_shift });
            assert!(head < HEAD_LEN_MAX, "{head}");
        }
        assert!(times.duration.is_some());
        assert!(
            !times.offsets.is_empty(),
            "FFmpeg writes composition offsets with every frame where there are B-frames"
        );
    }
}

#[test]
fn fragment_of_many_samples_keeps_their_durations() {
    let fragment = &fragments(GOP)[0];
    assert!(FragmentHead::read(fragment).unwrap().samples > 1);
    assert_eq!(retimed(fragment, Retiming { decode_time: 0, duration: Some(1), composition_shift: 0 }), None);
}

#[test]
fn decode_time_beyond_its_field_is_refused() {
    let fragment = &fragments(FRAMES[0])[0];
    let tfdt = boxes::find(fragment, 0..fragment.len(), &[b"moof", b"traf", b"tfdt"]).unwrap();
    // The same box in version 0.
    let mut narrow = fragment.clone();
    narrow[tfdt.whole.start + 3] = 16;
    narrow[tfdt.body.start] = 0;
    narrow.splice(tfdt.body.end - 4..tfdt.body.end, []);
    for path in [&[b"moof"][..], &[b"moof", b"traf"]] {
        let size = boxes::find(fragment, 0..fragment.len(), path).unwrap().whole.start;
        narrow[size + 3] -= 4;
    }
    let at = |decode_time| retimed(&narrow, Retiming { decode_time, duration: None, composition_shift: 0 });
    let fits = at(u32::MAX.into()).unwrap();
    assert_eq!(FragmentHead::read(&fits).unwrap().decode_time, u64::from(u32::MAX));
    assert_eq!(at(u64::from(u32::MAX) + 1), None);
}

proptest! {
    #[test]
    fn retiming_changes_only_the_times(
        which: prop::sample::Index, decode_time: u64, duration: Option<u32>, composition_shift in -5000i64..5000,
    ) {
        let all = every_fragment();
        let before = which.get(&all);
        let old = FragmentHead::read(before).unwrap();
        let duration = duration.filter(|_| old.samples == 1);
        let after = retimed(before, Retiming { decode_time, duration, composition_shift }).unwrap();
        let new = FragmentHead::read(&after).unwrap();

        let times = MediaTimes::find(before).unwrap();
        let shift = if times.offsets.is_empty() { 0 } else { composition_shift };
        prop_assert_eq!(new, FragmentHead {
            decode_time,
            duration: duration.map_or(old.duration, u64::from),
            composition_offset: old.composition_offset + shift,
            ..old
        });
        let moved: Vec<i64> = offsets(before).iter().map(|offset| offset + shift).collect();
        prop_assert_eq!(offsets(&after), moved);

        // Everything else is unchanged.
        let duration = times.duration.iter().filter(|_| duration.is_some());
        let fields = times.prft.iter().chain([&times.tfdt]).chain(duration);
        let mut changed: Vec<_> = fields.flat_map(|field| field.0.clone()).collect();
        for run in &times.offsets {
            changed.push(run.version_at);
            changed.extend((0..run.count).flat_map(|n| run.first_at + n * run.stride..run.first_at + n * run.stride + 4));
        }
        prop_assert_eq!(before.len(), after.len());
        let differs = (0..before.len()).find(|at| before[*at] != after[*at] && !changed.contains(at));
        prop_assert_eq!(differs, None);
    }

    #[test]
    fn prft_shifts_with_presentation_time(decode_time in 0u64..1 << 31, composition_shift in -5000i64..5000) {
        let fragment = &fragments(FRAMES[0])[1];
        let old = FragmentHead::read(fragment).unwrap().decode_time;
        let media_time = |fragment: &[u8]| u64::from_be_bytes(*fragment[24..].first_chunk().unwrap());
        let before = with_prft(fragment, 1);
        let after = retimed(&before, Retiming { decode_time, duration: None, composition_shift }).unwrap();
        let moved = (decode_time as i64 - old as i64 + composition_shift) as u64;
        prop_assert_eq!(media_time(&after).wrapping_sub(media_time(&before)), moved);
    }

    #[test]
    fn damage_never_panics(
        which: prop::sample::Index, at in 0usize..400, value: u8, cut in 0usize..2000,
        decode_time: u64, duration: Option<u32>, composition_shift: i64,
    ) {
        let all = every_fragment();
        let mut fragment = which.get(&all).clone();
        let at = at.min(fragment.len() - 1);
        fragment[at] = value;
        fragment.truncate(fragment.len().saturating_sub(cut));
        if let Some(after) = retimed(&fragment, Retiming { decode_time, duration, composition_shift }) {
            prop_assert_eq!(after.len(), fragment.len());
        }
    }
}
