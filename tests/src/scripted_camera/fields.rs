//! Field pictures (PAFF), which no encoder at hand makes: the frames of a progressive video become the fields of one that is twice
//! as high. Predictions then refer to other fields than were meant, which changes the image and not its syntax.

use super::annex_b::{Unit, bits_of, read_ue, ue_end, unit_of, unit_type};

/// The profile with field pictures that is nearest to Baseline.
const MAIN: u8 = 77;
/// A level for the greater height.
const LEVEL_3: u8 = 30;

/// Pairs of fields. The frames are of Baseline, with a picture order count of type 2, and each GOP has an even number.
///
/// # Panics
/// When they are not.
pub fn as_fields(frames: &[Vec<Unit>]) -> Vec<Vec<Unit>> {
    let (mut number_bits, mut in_gop) = (0, 0);
    let mut rewritten = |unit: &Unit| match unit_type(unit) {
        7 => {
            let (unit, bits) = interlaced_sps(unit);
            number_bits = bits;
            unit
        }
        kind @ (1 | 5) => {
            in_gop = if kind == 5 { 0 } else { in_gop + 1 };
            field_slice(unit, number_bits, in_gop)
        }
        _ => unit.clone(),
    };
    let fields: Vec<Vec<Unit>> = frames.iter().map(|units| units.iter().map(&mut rewritten).collect()).collect();
    fields.chunks(2).map(<[_]>::concat).collect()
}

/// A sequence parameter set with `frame_mbs_only_flag` 0, and the length of `frame_num` (Rec. ITU-T H.264, section 7.3.2.1.1).
fn interlaced_sps(sps: &[u8]) -> (Unit, usize) {
    let mut bits = bits_of(&[&[MAIN, 0, LEVEL_3][..], &sps[4..]].concat());
    let (number_bits, at) = read_ue(&bits, ue_end(&bits, 24));
    let (order_type, at) = read_ue(&bits, at);
    assert_eq!(order_type, 2, "no more fields of the picture order count");
    // Reference frames, gaps, width, height.
    let at = ue_end(&bits, ue_end(&bits, ue_end(&bits, at) + 1));
    assert!(bits[at] && bits[at + 1], "frames only, and 8x8 inference, which fields need");
    // `frame_mbs_only_flag`, `mb_adaptive_frame_field_flag`.
    bits.splice(at..=at, [false, false]);
    (unit_of(sps[0], &bits), number_bits as usize + 4)
}

/// A slice with `field_pic_flag` (section 7.3.3): the first, third, … of a GOP are top fields.
fn field_slice(slice: &[u8], number_bits: usize, in_gop: usize) -> Unit {
    let mut bits = bits_of(&slice[1..]);
    let at = ue_end(&bits, ue_end(&bits, ue_end(&bits, 0)));
    let number = (0..number_bits).rev().map(|bit| (in_gop / 2) >> bit & 1 == 1);
    bits.splice(at..at + number_bits, number.chain([true, in_gop % 2 == 1]).collect::<Vec<_>>());
    unit_of(slice[0], &bits)
}
