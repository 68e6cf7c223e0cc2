use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

fn bytes(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

/// VPSs and SPSs from cameras' SDP (`sprop-vps`, `sprop-sps`; from the test data of the crate retina), and x265's (FFmpeg 5.1)
/// with `bframes=0`.
const IN_ORDER: [(&str, &str); 6] = [
    ("Dahua's VPS", "QAEMAf//AWAAAAMAsAAAAwAAAwBarAwAAAMABAAAAwAyqA=="),
    ("Dahua", "QgEBAWAAAAMAsAAAAwAAAwBaoAWCAeFja5JFL83BQYFBAAADAAEAAAMADKE="),
    ("Reolink", "QgEBAWAAAAMAAAMAAAMAAAMAlqAB4CACHH+KrTuiS7I="),
    ("TP-Link", "QgEBAWAAAAMAAAMAAAMAAAMAlqABQCAFof4qtO6JLuaAgA27oADN/mAE"),
    ("Vitek", "QgEBAWAAAAMAAAMAAAMAAAMAlqALCA8f4qtO6JLuQgAAAwAIAG3dAAzf5gBA"),
    ("x265", "QgEBAWAAAAMAkAAAAwAAAwA8oAoIDB8+W6SkwvAWgIAAAAMAgAAADIQ="),
];

/// x265's with reordering, and the amended forms. According to `ffmpeg -bsf:v trace_headers`, they differ only in the numbers
/// of reordered pictures, which are 2 before.
const REORDERED: [(&str, &str, &str); 4] = [
    ("VPS", "QAEMAf//AWAAAAMAkAAAAwAAAwA8lZQJ", "QAEMAf//AWAAAAMAkAAAAwAAAwA8llAk"),
    (
        "SPS",
        "QgEBAWAAAAMAkAAAAwAAAwA8oAoIDB8+WVlSkwvAWgIAAAMAAgAAAwAyEA==",
        "QgEBAWAAAAMAkAAAAwAAAwA8oAoIDB8+WWVKTC8BaAgAAAMACAAAAwDIQA==",
    ),
    ("VPS of two sub-layers", "QAEMAv//AWAAAAMAkAAAAwAAAwA8AACVmKzASA==", "QAEMAv//AWAAAAMAkAAAAwAAAwA8AACWYswEgA=="),
    (
        "SPS of two sub-layers; its end is shifted against the bytes of emulation prevention",
        "QgECAWAAAAMAkAAAAwAAAwA8AACgCggMHz5ZWYrMlJheAtAQAAADABAAAAMBkIA=",
        "QgECAWAAAAMAkAAAAwAAAwA8AACgCggMHz5ZZizJSYXgLQEAAAMAAQAAAwAZCA==",
    ),
];

#[test]
fn declared_order_stays_unchanged() {
    for (encoder, unit) in IN_ORDER {
        assert_eq!(set_no_reorder(&bytes(unit)), Ok(None), "{encoder}");
    }
}

#[test]
fn declared_reordering_becomes_zero_in_every_sub_layer() {
    for (what, before, after) in REORDERED {
        let before = bytes(before);
        if is_sps(&before) {
            assert_eq!(
                Sps::read(&before).map(|sps| sps.declared_reordering()),
                Ok(DeclaredReordering::AtMost(2)),
                "{what}"
            );
        }
        let amended = set_no_reorder(&before).unwrap().map(|unit| STANDARD.encode(unit));
        assert_eq!(amended.as_deref(), Some(after), "{what}");
    }
}

#[test]
fn units_of_other_layers_are_ignored() {
    let mut sps = bytes(REORDERED[1].1);
    sps[1] |= 1 << 3;
    assert_eq!((is_sps(&sps), unit_type(&sps)), (false, None));
}

#[test]
fn truncated_set_is_an_error() {
    let whole = bytes(REORDERED[3].1);
    for end in 0..31 {
        assert!(set_no_reorder(&whole[..end]).is_err(), "{end} bytes");
    }
}

/// An SPS (or, with `vps`, the parsed part of a VPS) with these sub-layers, followed by `rest`. `present` says which sub-layers
/// have a profile and a level.
fn write(vps: bool, sub_layers: &[(u32, u32, u32)], all: bool, present: &[(bool, bool)], rest: &[bool]) -> Vec<u8> {
    let mut out = BitWriter::default();
    let max = sub_layers.len() - 1;
    (0..if vps { 12 } else { 4 }).for_each(|bit| out.flag(bit % 2 == 1));
    (0..3).rev().for_each(|bit| out.flag(max >> bit & 1 == 1));
    (0..if vps { 17 } else { 1 }).for_each(|_| out.flag(true));
    (0..PROFILE + LEVEL).for_each(|bit| out.flag(bit % 3 == 1));
    for sub_layer in 0..if max > 0 { 8 } else { 0 } {
        let (profile, level) = present[..max].get(sub_layer).copied().unwrap_or_default();
        out.flag(profile);
        out.flag(level);
    }
    for &(profile, level) in &present[..max] {
        let bits = if profile { PROFILE } else { 0 } + if level { LEVEL } else { 0 };
        (0..bits).for_each(|bit| out.flag(bit % 5 == 1));
    }
    if !vps {
        // The id, 4:2:0, the size, no conformance window, the bit depths, four more bits of the order count.
        [3, 1, 640, 360].into_iter().for_each(|value| out.ue(value));
        out.flag(false);
        [0, 0, 4].into_iter().for_each(|value| out.ue(value));
    }
    out.flag(all);
    for &(buffering, reordered, latency) in if all { sub_layers } else { &sub_layers[max..] } {
        [buffering, reordered, latency].into_iter().for_each(|value| out.ue(value));
    }
    rest.iter().for_each(|&bit| out.flag(bit));
    escape(&[if vps { VPS } else { SPS } << 1, 1], &out.finish())
}

proptest! {
    #[test]
    fn any_set_changes_only_in_its_reordering(
        vps: bool,
        mut sub_layers in proptest::collection::vec((0u32..16, 0u32..8, 0u32..300), 1..=7),
        all: bool,
        present in proptest::collection::vec(any::<(bool, bool)>(), 7),
        rest in proptest::collection::vec(proptest::bool::weighted(0.1), 0..200),
    ) {
        let before = write(vps, &sub_layers, all, &present, &rest);
        sub_layers.iter_mut().for_each(|(_, reordered, _)| *reordered = 0);
        let expected = write(vps, &sub_layers, all, &present, &rest);
        let amended = set_no_reorder(&before).unwrap();
        prop_assert_eq!(amended.as_ref().unwrap_or(&before), &expected);
        prop_assert_eq!(set_no_reorder(&expected), Ok(None), "once is enough");
        if !vps {
            let sps = Sps::read(&expected).unwrap();
            prop_assert_eq!((sps.id, sps.pic_order_cnt_bits, sps.declared_reordering()), (3, 8, DeclaredReordering::None));
        }
    }
}
