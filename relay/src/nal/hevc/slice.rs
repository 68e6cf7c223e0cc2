//! The start of a slice segment header (Rec. ITU-T H.265, section 7.3.6.1), up to the place of its picture on the
//! screen, and what of a picture parameter set it depends on.

use super::{HEADER, unit_type};
use crate::nal::bits::{BitReader, SyntaxError, unescape};

/// More than the fields read here take, emulation prevention included.
const START: usize = 64;

// `nal_unit_type` (table 7-1).
const RADL_N: u8 = 6;
const RASL_R: u8 = 9;
const SUB_LAYER_NON_REFERENCE_MAX: u8 = 14;
const BLA_W_LP: u8 = 16;
const IDR_W_RADL: u8 = 19;
const IDR_N_LP: u8 = 20;
const CRA: u8 = 21;
const IRAP_MAX: u8 = 23;
const VCL_MAX: u8 = 31;
const PPS: u8 = 34;

/// Whether this is the `nal_unit_type` of a picture where decoding can begin (IRAP).
pub(super) fn is_irap(kind: u8) -> bool {
    (BLA_W_LP..=IRAP_MAX).contains(&kind)
}

/// What of a picture parameter set the header of a slice depends on (section 7.3.2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pps {
    /// `pps_pic_parameter_set_id`, at most 63.
    pub id: u32,
    /// `pps_seq_parameter_set_id`, at most 15.
    pub sps: u32,
    /// `output_flag_present_flag`
    pub output_flag: bool,
    /// `num_extra_slice_header_bits`
    pub extra_bits: usize,
}

impl Pps {
    /// Reads `unit`; none where it is something else or cannot be read.
    pub fn read(unit: &[u8]) -> Option<Self> {
        if unit_type(unit) != Some(PPS) {
            return None;
        }
        let rbsp = unescape(&unit[HEADER..unit.len().min(START)]);
        let mut bits = BitReader::new(&rbsp);
        let id = bits.ue_up_to(63, "pps_pic_parameter_set_id").ok()?;
        let sps = bits.ue_up_to(15, "pps_seq_parameter_set_id").ok()?;
        // dependent_slice_segments_enabled_flag
        bits.skip(1).ok()?;
        let output_flag = bits.flag().ok()?;
        Some(Self { id, sps, output_flag, extra_bits: bits.bits(3).ok()? as usize })
    }
}

/// What of its parameter sets the header of a slice depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceParameters {
    /// `separate_colour_plane_flag`
    pub separate_colour_planes: bool,
    /// Bits of `slice_pic_order_cnt_lsb`: 4 to 16.
    pub pic_order_cnt_bits: u32,
    /// The picture parameter set.
    pub pps: Pps,
}

/// The start of the header of a picture's first slice segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Whether it is of an IDR or BLA picture, where counting begins anew.
    pub restarts: bool,
    /// Whether it is of a picture where decoding can begin (IRAP).
    pub random_access: bool,
    /// Whether the places of later pictures count from this one (section 8.3.1).
    pub anchor: bool,
    /// `slice_pic_order_cnt_lsb`; 0 for an IDR picture.
    pub pic_order_cnt_lsb: u32,
}

impl Slice {
    /// Reads `unit`; `parameters` gives those of the picture parameter set with an id. None where it is not the first
    /// slice segment of a picture, belongs to an unknown set, or cannot be read.
    pub fn read(unit: &[u8], parameters: impl FnOnce(u32) -> Option<SliceParameters>) -> Option<Self> {
        let kind = unit_type(unit).filter(|&kind| kind <= VCL_MAX)?;
        let rbsp = unescape(&unit[HEADER..unit.len().min(START)]);
        let mut bits = BitReader::new(&rbsp);
        // first_slice_segment_in_pic_flag
        if !bits.flag().ok()? {
            return None;
        }
        let random_access = is_irap(kind);
        if random_access {
            // no_output_of_prior_pics_flag
            bits.skip(1).ok()?;
        }
        let parameters = parameters(bits.ue().ok()?)?;
        let idr = matches!(kind, IDR_W_RADL | IDR_N_LP);
        let pic_order_cnt_lsb = if idr { 0 } else { pic_order_cnt_lsb(&mut bits, &parameters).ok()? };
        let leading = (RADL_N..=RASL_R).contains(&kind);
        let non_reference = kind <= SUB_LAYER_NON_REFERENCE_MAX && kind.is_multiple_of(2);
        let lowest_sub_layer = unit[1] & 7 == 1;
        Some(Self {
            restarts: random_access && kind < CRA,
            random_access,
            anchor: lowest_sub_layer && !leading && !non_reference,
            pic_order_cnt_lsb,
        })
    }
}

fn pic_order_cnt_lsb(bits: &mut BitReader<'_>, parameters: &SliceParameters) -> Result<u32, SyntaxError> {
    bits.skip(parameters.pps.extra_bits)?;
    // slice_type
    bits.ue()?;
    if parameters.pps.output_flag {
        // pic_output_flag
        bits.skip(1)?;
    }
    if parameters.separate_colour_planes {
        // colour_plane_id
        bits.skip(2)?;
    }
    bits.bits(parameters.pic_order_cnt_bits)
}
