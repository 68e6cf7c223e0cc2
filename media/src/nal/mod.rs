//! NAL units of H.264 and H.265, sans-IO: the frame order that parameter sets declare, the order of the pictures, and amended
//! parameter sets.
//!
//! | module | responsibility |
//! | --- | --- |
//! | [`bits`] | bits, Exp-Golomb codes, emulation prevention |
//! | [`avc`] | H.264: the sequence parameter set and the start of a slice header (Rec. ITU-T H.264) |
//! | [`hevc`] | H.265: video and sequence parameter sets and the start of a slice header (Rec. ITU-T H.265) |
//! | [`reorder_detector`] | whether presentation order is decode order |
//!
//! A decoder without a declared number of reordered pictures must assume a full buffer of them, and delays each picture by
//! that.

pub mod avc;
pub mod bits;
pub mod hevc;
pub mod reorder_detector;

mod picture_order_count;

use std::ops::Range;

use sightline_protocol::codec::Family;
use sightline_protocol::message::Size;

use bits::{BitReader, SyntaxError};

/// The form of NAL units in a track's access units (ISO/IEC 14496-15, sections 5.3.3 and 8.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The codec.
    pub family: Family,
    /// Size of the length field before each NAL unit, 1 to 4 bytes.
    pub length_size: usize,
}

impl Layout {
    /// The ranges of the NAL units in `access_unit`, without their lengths. Ends at the first that does not fit.
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

/// The reordering that a stream's parameter sets declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeclaredReordering {
    /// No picture is reordered.
    None,
    /// Nothing, so a decoder must assume the maximum.
    Unspecified,
    /// The maximum number of pictures that follow a picture in decode order and precede it in presentation order; at least one.
    AtMost(u32),
}

/// The declaration of `unit`, if it is a sequence parameter set.
///
/// # Errors
/// The set cannot be parsed.
pub fn declared_reordering(family: Family, unit: &[u8]) -> Result<Option<DeclaredReordering>, SyntaxError> {
    Ok(match family {
        Family::H264 if avc::is_sps(unit) => Some(avc::Sps::read(unit)?.declared_reordering()),
        Family::H265 if hevc::is_sps(unit) => Some(hevc::Sps::read(unit)?.declared_reordering()),
        _ => None,
    })
}

/// The size of frames by `unit`, if it is a sequence parameter set that can be read.
pub fn frame_size(family: Family, unit: &[u8]) -> Option<Size> {
    match family {
        Family::H264 if avc::is_sps(unit) => Some(avc::Sps::read(unit).ok()?.size),
        Family::H265 if hevc::is_sps(unit) => Some(hevc::Sps::read(unit).ok()?.size),
        _ => None,
    }
}

/// The type of `unit`, if it is a parameter set.
pub fn parameter_set_type(family: Family, unit: &[u8]) -> Option<u8> {
    match family {
        Family::H264 => avc::unit_type(unit).filter(|kind| (7..=8).contains(kind)),
        Family::H265 => unit.first().map(|header| header >> 1 & 0x3f).filter(|kind| (32..=34).contains(kind)),
    }
}

/// Samples of luma for one of chroma, horizontally and vertically, by `chroma_format_idc` (Rec. ITU-T H.264, table 6-1; H.265, table
/// 6-1).
fn subsampling(chroma_format_idc: u32) -> [u32; 2] {
    match chroma_format_idc {
        1 => [2, 2],
        2 => [2, 1],
        _ => [1, 1],
    }
}

/// Reads what is cropped of the coded width and height, in these units: a flag, then left, right, top and bottom.
fn cropped(bits: &mut BitReader<'_>, coded: [u32; 2], units: [u32; 2]) -> Result<Size, SyntaxError> {
    let [mut width, mut height] = coded;
    if bits.flag()? {
        for side in [&mut width, &mut height].into_iter().zip(units) {
            let (length, unit) = side;
            let both = u64::from(bits.ue()?) + u64::from(bits.ue()?);
            *length = length.saturating_sub(u32::try_from(both * u64::from(unit)).unwrap_or(u32::MAX));
        }
    }
    let side = |length: u32, name| u16::try_from(length).map_err(|_| SyntaxError::OutOfRange(name));
    Ok(Size { width: side(width, "width")?, height: side(height, "height")? })
}

/// Whether `unit` belongs to a picture at which decoding can start.
pub fn is_random_access(family: Family, unit: &[u8]) -> bool {
    match family {
        Family::H264 => avc::is_idr(unit),
        Family::H265 => hevc::is_irap(unit),
    }
}

/// An amended copy of `unit`, if it is a parameter set that does not declare frames to be in order.
///
/// # Errors
/// The unit cannot be parsed to its end, and must stay unchanged.
pub fn set_no_reorder(family: Family, unit: &[u8]) -> Result<Option<Vec<u8>>, SyntaxError> {
    match family {
        Family::H264 if avc::is_sps(unit) => avc::set_no_reorder(unit),
        Family::H265 if hevc::is_sps(unit) || hevc::is_vps(unit) => hevc::set_no_reorder(unit),
        _ => Ok(None),
    }
}

/// How the header of a slice begins (Rec. ITU-T H.264, section 7.3.3; H.265, section 7.3.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceStart {
    /// Whether it is the first slice of its picture.
    pub first_in_picture: bool,
    /// The id of its picture parameter set.
    pub pps: u32,
}

/// How the header of `unit` begins; none where it is no slice or cannot be read.
pub fn slice_start(family: Family, unit: &[u8]) -> Option<SliceStart> {
    match family {
        Family::H264 => avc::slice_start(unit),
        Family::H265 => hevc::slice_start(unit),
    }
}

/// The id of `unit`, if it is a picture parameter set.
pub fn pps_id(family: Family, unit: &[u8]) -> Option<u32> {
    match family {
        Family::H264 => avc::Pps::read(unit).map(|pps| pps.id),
        Family::H265 => hevc::Pps::read(unit).map(|pps| pps.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_end_at_the_first_truncated_length() {
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
                let _ = declared_reordering(family, &bytes);
                let _ = set_no_reorder(family, &bytes);
            }
        }

        /// As above, with valid unit types.
        #[test]
        fn garbage_in_a_parameter_set_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 2..80)) {
            for (family, header) in [(Family::H264, 0x67), (Family::H265, 0x40), (Family::H265, 0x42)] {
                bytes[0] = header;
                let _ = declared_reordering(family, &bytes);
                if let Ok(Some(amended)) = set_no_reorder(family, &bytes) {
                    prop_assert_eq!(set_no_reorder(family, &amended), Ok(None));
                }
            }
        }
    }

    #[test]
    fn slice_start_reads_first_flag_and_pps() {
        let start = |first_in_picture, pps| Some(SliceStart { first_in_picture, pps });
        // first_mb_in_slice 0, slice_type 7, pic_parameter_set_id 0: 1 0001000 1
        assert_eq!(slice_start(Family::H264, &[0x65, 0b1000_1000, 0b1000_0000]), start(true, 0));
        // first_mb_in_slice 1, slice_type 5, pic_parameter_set_id 2: 010 00110 011
        assert_eq!(slice_start(Family::H264, &[0x41, 0b0100_0110, 0b0110_0000]), start(false, 2));
        assert_eq!(slice_start(Family::H264, &[0x68, 0xff]), None, "a parameter set");
        // IDR_W_RADL: first_slice_segment_in_pic_flag, no_output_of_prior_pics_flag, slice_pic_parameter_set_id 1: 1 0 010
        assert_eq!(slice_start(Family::H265, &[0x26, 0x01, 0b1001_0000]), start(true, 1));
        // TRAIL_R: 0, slice_pic_parameter_set_id 0: 0 1
        assert_eq!(slice_start(Family::H265, &[0x02, 0x01, 0b0100_0000]), start(false, 0));
        assert_eq!(slice_start(Family::H265, &[0x44, 0x01, 0xff]), None, "a parameter set");
        for family in [Family::H264, Family::H265] {
            assert_eq!((slice_start(family, &[]), slice_start(family, &[0x26])), (None, None));
        }
    }
}
