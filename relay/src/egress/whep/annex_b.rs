//! Converts access units from MP4's length-prefixed form to the byte stream format (Rec. ITU-T H.264 and H.265, Annex B), the
//! input of RTP packetizers.

use sightline_media::nal::Layout;
use sightline_protocol::codec::Family;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// An access unit as a byte stream, after `parameter_sets`.
///
/// A key frame gets the parameter sets of the init segment: a new viewer has none, and RTP sends them nowhere else. The access
/// unit's own parameter sets follow, and a decoder uses the later ones.
pub(super) fn convert<'a>(
    layout: Layout,
    parameter_sets: impl IntoIterator<Item = &'a [u8]>,
    access_unit: &[u8],
) -> Vec<u8> {
    // A start code is as long as the length field of most cameras, so this capacity nearly always suffices.
    let mut out = Vec::with_capacity(access_unit.len() + 256);
    let mut append = |unit: &[u8]| {
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(unit);
    };
    parameter_sets.into_iter().for_each(&mut append);
    let units = layout.units(access_unit).map(|range| &access_unit[range]);
    units.filter(|unit| !unit.is_empty() && !is_delimiter(layout.family, unit)).for_each(append);
    out
}

/// Whether the unit is an access unit delimiter. It would have to come first, and RTP's marker bit replaces it.
fn is_delimiter(family: Family, unit: &[u8]) -> bool {
    match family {
        Family::H264 => unit[0] & 0x1f == 9,
        Family::H265 => unit[0] >> 1 & 0x3f == 35,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AVC: Layout = Layout { family: Family::H264, length_size: 4 };
    const HEVC: Layout = Layout { family: Family::H265, length_size: 2 };

    #[test]
    fn parameter_sets_precede_a_key_frame() {
        let unit = [0, 0, 0, 2, 9, 16, 0, 0, 0, 3, 0x65, 1, 2, 0, 0, 0, 1, 6];
        let sets: [&[u8]; 2] = [&[0x67, 7], &[0x68]];
        assert_eq!(
            convert(AVC, sets, &unit),
            [0, 0, 0, 1, 0x67, 7, 0, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 1, 2, 0, 0, 0, 1, 6],
            "without the delimiter"
        );
        assert_eq!(convert(AVC, [], &unit), [0, 0, 0, 1, 0x65, 1, 2, 0, 0, 0, 1, 6]);
    }

    #[test]
    fn any_length_size_is_parsed() {
        let unit = [0, 2, 35 << 1, 1, 0, 3, 19 << 1, 1, 5];
        assert_eq!(convert(HEVC, [&[32 << 1, 1][..]], &unit), [0, 0, 0, 1, 64, 1, 0, 0, 0, 1, 38, 1, 5]);
    }

    #[test]
    fn truncated_and_empty_units_are_dropped() {
        assert!(convert(AVC, [], &[0, 0, 0, 0, 0, 0, 0, 9, 0x65]).is_empty());
        assert!(convert(AVC, [], &[]).is_empty());
    }

    proptest! {
        #[test]
        fn all_units_keep_their_order(units in proptest::collection::vec(proptest::collection::vec(2u8..8, 1..20), 0..6)) {
            let unit: Vec<u8> =
                units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes(), &unit[..]].concat()).collect();
            let expected: Vec<u8> = units.iter().flat_map(|unit| [&START_CODE, &unit[..]].concat()).collect();
            prop_assert_eq!(convert(AVC, [], &unit), expected);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), length_size in 1usize..=4) {
            for family in [Family::H264, Family::H265] {
                let out = convert(Layout { family, length_size }, [], &bytes);
                prop_assert!(out.len() <= bytes.len() * 5);
            }
        }
    }
}
