use super::*;
use proptest::prelude::*;

/// 16 pictures of FFmpeg 5.1's x264 and x265, with a key frame at the 12th. One line per access unit: its parameter sets, and
/// the first 20 bytes of its slice. In `interlaced`, the order count has four bits and wraps around.
const STREAMS: [(Family, &str, &str); 6] = [
    (Family::H264, "in order", include_str!("fixtures/x264_no_b.hex")),
    (Family::H264, "in order", include_str!("fixtures/x264_interlaced_no_b.hex")),
    (Family::H265, "in order", include_str!("fixtures/x265_no_b.hex")),
    (Family::H264, "B-frames", include_str!("fixtures/x264_b.hex")),
    (Family::H265, "B-frames", include_str!("fixtures/x265_b.hex")),
    (Family::H265, "B-frames", include_str!("fixtures/x265_open_gop.hex")),
];

fn access_units(text: &str) -> Vec<Vec<Vec<u8>>> {
    let byte = |at: usize, unit: &str| u8::from_str_radix(&unit[at..at + 2], 16).unwrap();
    let unit = |unit: &str| (0..unit.len()).step_by(2).map(|at| byte(at, unit)).collect();
    text.lines().map(|line| line.split(' ').map(unit).collect()).collect()
}

fn detect(family: Family, access_units: &[Vec<Vec<u8>>]) -> Vec<Option<bool>> {
    let mut detector = ReorderDetector::new(family);
    access_units.iter().map(|units| detector.is_out_of_order(units.iter().map(Vec::as_slice))).collect()
}

#[test]
fn picture_order_counts_reveal_reordering() {
    for (family, kind, text) in STREAMS {
        let detected = detect(family, &access_units(text));
        match kind {
            "in order" => assert_eq!(detected, vec![Some(false); 16], "{family:?}"),
            _ => assert_eq!(detected[..4], [Some(false), Some(false), Some(true), Some(true)], "{family:?}"),
        }
    }
}

#[test]
fn missing_parameter_sets_yield_no_result() {
    for (family, _, text) in STREAMS {
        let mut units = access_units(text);
        let slice = units[0].pop().unwrap();
        units[0] = vec![slice];
        assert_eq!(detect(family, &units[..9]), [None; 9], "{family:?}");
        // Parameter sets may come from the init segment.
        let mut detector = ReorderDetector::new(family);
        access_units(text)[0].iter().for_each(|unit| detector.parameter_set(unit));
        assert_eq!(detector.is_out_of_order(units[0].iter().map(Vec::as_slice)), Some(false));
    }
}

proptest! {
    /// An order count of four bits proves nothing across a gap.
    #[test]
    fn lost_frames_are_not_reordering(lost in proptest::collection::vec(any::<bool>(), 16)) {
        for (family, kind, text) in STREAMS {
            if kind == "in order" {
                let mut units = access_units(text);
                let mut n = 0;
                units.retain(|_| { n += 1; n == 1 || !lost[n - 1] });
                prop_assert!(!detect(family, &units).contains(&Some(true)));
            }
        }
    }

    #[test]
    fn damage_never_panics(line in 0usize..16, at in 0usize..20, value: u8, cut in 0usize..20) {
        for (family, _, text) in STREAMS {
            let mut units = access_units(text);
            for unit in &mut units[line] {
                if let Some(byte) = unit.get_mut(at) {
                    *byte = value;
                }
                unit.truncate(unit.len().saturating_sub(cut));
            }
            detect(family, &units);
        }
    }
}
