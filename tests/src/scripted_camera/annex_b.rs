//! H.264 byte streams (Rec. ITU-T H.264, annex B): NAL units, access units, and units that refer to a second picture parameter
//! set.

/// A NAL unit without a start code.
pub type Unit = Vec<u8>;

/// The id that replaces 0: its Exp-Golomb code is 8 bits longer, so the rest of the unit keeps its alignment.
const SECOND_PPS: u32 = 15;

/// `nal_unit_type` of H.264.
pub fn unit_type(unit: &[u8]) -> u8 {
    unit[0] & 0x1f
}

/// Whether a unit is a sequence or picture parameter set.
pub fn is_parameter_set(unit: &[u8]) -> bool {
    matches!(unit_type(unit), 7 | 8)
}

/// Whether a unit is a slice.
pub fn is_slice(unit: &[u8]) -> bool {
    matches!(unit_type(unit), 1..=5)
}

/// The access units of a byte stream. One begins at the first unit after a slice that is no slice, or at a slice of macroblock 0.
pub fn access_units(stream: &[u8]) -> Vec<Vec<Unit>> {
    let mut all: Vec<Vec<Unit>> = Vec::new();
    let mut ended = true;
    for unit in units(stream) {
        // `first_mb_in_slice` is 0: the code is a single 1.
        let first = is_slice(&unit) && unit[1] & 0x80 != 0;
        let had_slice = all.last().is_some_and(|last| last.iter().any(|unit| is_slice(unit)));
        ended |= had_slice && (first || !is_slice(&unit));
        if std::mem::take(&mut ended) {
            all.push(Vec::new());
        }
        all.last_mut().expect("it was begun").push(unit);
    }
    all
}

fn units(stream: &[u8]) -> Vec<Unit> {
    let starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, three)| *three == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let unit = |(start, end): (&usize, usize)| {
        let unit = &stream[start + 3..end];
        // The next start code may have a zero in front.
        let length = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        unit[..length].to_vec()
    };
    starts.iter().zip(ends).map(unit).collect()
}

/// A copy of a picture parameter set of id 0 with another id.
pub fn second_pps(pps: &[u8]) -> Unit {
    let bits = bits_of(&pps[1..]);
    let (id, rest) = read_ue(&bits, 0);
    assert_eq!(id, 0, "the encoder uses one parameter set");
    unit_of(pps[0], &[&ue(SECOND_PPS)[..], &bits[rest..]].concat())
}

/// A copy of a slice that refers to [`second_pps`].
pub fn with_second_pps(slice: &[u8]) -> Unit {
    let bits = bits_of(&slice[1..]);
    // `first_mb_in_slice`, `slice_type`, `pic_parameter_set_id` (section 7.3.3).
    let (_, at) = read_ue(&bits, 0);
    let (_, at) = read_ue(&bits, at);
    let (id, rest) = read_ue(&bits, at);
    assert_eq!(id, 0, "the encoder uses one parameter set");
    unit_of(slice[0], &[&bits[..at], &ue(SECOND_PPS), &bits[rest..]].concat())
}

/// The bits of a unit without emulation prevention bytes (section 7.4.1).
pub(super) fn bits_of(bytes: &[u8]) -> Vec<bool> {
    let mut bits = Vec::with_capacity(bytes.len() * 8);
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bits.extend((0..8).rev().map(|bit| byte >> bit & 1 == 1));
    }
    bits
}

/// A unit of these bits, with emulation prevention bytes. What follows the last 1 is left out.
pub(super) fn unit_of(header: u8, bits: &[bool]) -> Unit {
    let bits = &bits[..bits.iter().rposition(|&bit| bit).map_or(0, |last| last + 1)];
    let mut unit = vec![header];
    let mut zeros = 0;
    for byte in
        bits.chunks(8).map(|bits| bits.iter().fold(0u8, |byte, &bit| byte << 1 | u8::from(bit)) << (8 - bits.len()))
    {
        if zeros >= 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        unit.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    unit
}

/// The Exp-Golomb value at `at`, and where it ends (section 9.1).
pub(super) fn read_ue(bits: &[bool], at: usize) -> (u32, usize) {
    let zeros = bits[at..].iter().take_while(|&&bit| !bit).count();
    let end = at + 2 * zeros + 1;
    (bits[at + zeros..end].iter().fold(0, |value, &bit| value << 1 | u32::from(bit)) - 1, end)
}

/// Where the Exp-Golomb value at `at` ends.
pub(super) fn ue_end(bits: &[bool], at: usize) -> usize {
    read_ue(bits, at).1
}

fn ue(value: u32) -> Vec<bool> {
    let length = (value + 1).ilog2() as usize;
    let digits = (0..=length).rev().map(|bit| (value + 1) >> bit & 1 == 1);
    std::iter::repeat_n(false, length).chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_units_begin_at_parameter_sets_and_first_slices() {
        let stream = [
            &[0, 0, 0, 1, 0x67, 1][..],
            &[0, 0, 1, 0x68, 2],
            &[0, 0, 1, 0x65, 0x80, 0],
            &[0, 0, 1, 0x65, 0x40],
            &[0, 0, 1, 0x41, 0x80],
            &[0, 0, 1, 0x67, 3],
        ];
        let types = |units: &Vec<Unit>| units.iter().map(|unit| unit_type(unit)).collect::<Vec<_>>();
        let found: Vec<_> = access_units(&stream.concat()).iter().map(types).collect();
        assert_eq!(found, [vec![7, 8, 5, 5], vec![1], vec![7]]);
    }

    #[test]
    fn rewritten_units_refer_to_the_second_set() {
        // Id 0, then whatever follows: 1 1 101010 …
        let pps = second_pps(&[0x68, 0b1110_1010, 0x80]);
        assert_eq!(read_ue(&bits_of(&pps[1..]), 0), (SECOND_PPS, 9));
        // Macroblock 0, type 5 (00110), set 0.
        let slice = with_second_pps(&[0x41, 0b1001_1010, 0, 0, 3, 1]);
        let bits = bits_of(&slice[1..]);
        assert_eq!(read_ue(&bits, 6), (SECOND_PPS, 15));
        assert_eq!(bits.len(), 5 * 8, "whole bytes stay aligned");
    }
}
