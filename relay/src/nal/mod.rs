//! NAL units of H.264 and H.265, sans-IO: what a parameter set declares of the order of pictures, what the pictures
//! themselves show of it, and parameter sets that declare what is shown.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`bits`] | bits, Exp-Golomb codes, emulation prevention |
//! | [`avc`] | H.264: the sequence parameter set and the start of a slice header (Rec. ITU-T H.264) |
//! | [`hevc`] | H.265: video and sequence parameter sets and the start of a slice header (Rec. ITU-T H.265) |
//! | [`order`] | whether pictures come in the order in which they are shown |
//!
//! A decoder that is not told how many pictures a stream reorders has to reckon with a full buffer of them, and shows
//! each picture so much later.

pub mod avc;
pub mod bits;
pub mod hevc;
pub mod order;

mod picture_order_count;

use std::ops::Range;

use sightline_protocol::codec::Family;

use bits::SyntaxError;

/// How the access units of a track hold their NAL units (ISO/IEC 14496-15, sections 5.3.3 and 8.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The codec.
    pub family: Family,
    /// Bytes of the length in front of each NAL unit: 1 to 4.
    pub length_size: usize,
}

impl Layout {
    /// Where the NAL units of `access_unit` lie in it, without their lengths. Ends at the first that does not fit.
    pub fn units(self, access_unit: &[u8]) -> impl Iterator<Item = Range<usize>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let length = access_unit.get(at..at + self.length_size)?;
            let start = at + self.length_size;
            let end = start + length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            access_unit.get(start..end)?;
            at = end;
            Some(start..end)
        })
    }
}

/// What the parameter sets of a stream declare of the order of its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Declared {
    /// That none is reordered.
    InOrder,
    /// Nothing, so a decoder has to expect the worst.
    Nothing,
    /// That this many may follow a picture in the stream and precede it on the screen; at least one.
    Reordered(u32),
}

/// What `unit` declares, if it is a sequence parameter set.
///
/// # Errors
/// Where it is one and cannot be read.
pub fn declared(family: Family, unit: &[u8]) -> Result<Option<Declared>, SyntaxError> {
    Ok(match family {
        Family::H264 if avc::is_sps(unit) => Some(avc::Sps::read(unit)?.declared()),
        Family::H265 if hevc::is_sps(unit) => Some(hevc::Sps::read(unit)?.declared()),
        _ => None,
    })
}

/// Whether `unit` is part of a picture with which decoding can begin.
pub fn is_random_access(family: Family, unit: &[u8]) -> bool {
    match family {
        Family::H264 => avc::is_idr(unit),
        Family::H265 => hevc::is_irap(unit),
    }
}

/// `unit`, if it is a parameter set that does not declare that pictures come in order, as one that does.
///
/// # Errors
/// Where it cannot be read to its end, so that it must stay as it is.
pub fn declare_in_order(family: Family, unit: &[u8]) -> Result<Option<Vec<u8>>, SyntaxError> {
    match family {
        Family::H264 if avc::is_sps(unit) => avc::declare_in_order(unit),
        Family::H265 if hevc::is_sps(unit) || hevc::is_vps(unit) => hevc::declare_in_order(unit),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_found_by_their_lengths() {
        let layout = Layout { family: Family::H264, length_size: 2 };
        let bytes = [0, 1, 9, 0, 0, 0, 2, 6, 5, 0, 9, 1];
        assert_eq!(layout.units(&bytes).collect::<Vec<_>>(), [2..3, 5..5, 7..9], "the last is cut off");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), length_size in 1usize..=4) {
            for family in [Family::H264, Family::H265] {
                let layout = Layout { family, length_size };
                for unit in layout.units(&bytes) {
                    prop_assert!(unit.end <= bytes.len());
                }
                let _ = declared(family, &bytes);
                let _ = declare_in_order(family, &bytes);
            }
        }

        /// As above, past the checks of the type.
        #[test]
        fn garbage_in_a_parameter_set_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 2..80)) {
            for (family, header) in [(Family::H264, 0x67), (Family::H265, 0x40), (Family::H265, 0x42)] {
                bytes[0] = header;
                let _ = declared(family, &bytes);
                if let Ok(Some(amended)) = declare_in_order(family, &bytes) {
                    prop_assert_eq!(declare_in_order(family, &amended), Ok(None));
                }
            }
        }
    }
}
