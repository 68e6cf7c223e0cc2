//! Parses the start of a slice segment header (Rec. ITU-T H.265, section 7.3.6.1), up to the picture order count, and the
//! fields of a picture parameter set on which it depends.

use super::{HEADER, unit_type};
use crate::nal::SliceStart;
use crate::nal::bits::{BitReader, SyntaxError, unescape};

/// More than the size of the parsed fields, including emulation prevention.
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

/// Whether this is the `nal_unit_type` of a picture at which decoding can start (IRAP).
pub(super) fn is_irap(kind: u8) -> bool {
    (BLA_W_LP..=IRAP_MAX).contains(&kind)
}

/// The fields of a picture parameter set on which slice headers depend (section 7.3.2.3.1).
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
    /// Parses `unit`. `None` for another or malformed unit.
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

/// See [`crate::nal::slice_start`].
pub fn slice_start(unit: &[u8]) -> Option<SliceStart> {
    let (kind, rbsp) = slice_header(unit)?;
    start(&mut BitReader::new(&rbsp), kind).ok()
}

/// The `nal_unit_type` and the first bytes of a slice segment's header, without emulation prevention. `None` for another unit.
fn slice_header(unit: &[u8]) -> Option<(u8, Vec<u8>)> {
    let kind = unit_type(unit).filter(|&kind| kind <= VCL_MAX)?;
    Some((kind, unescape(&unit[HEADER..unit.len().min(START)])))
}

/// The first fields of the slice segment header of a unit of this `kind`.
fn start(bits: &mut BitReader<'_>, kind: u8) -> Result<SliceStart, SyntaxError> {
    // first_slice_segment_in_pic_flag
    let first_in_picture = bits.flag()?;
    if is_irap(kind) {
        // no_output_of_prior_pics_flag
        bits.skip(1)?;
    }
    Ok(SliceStart { first_in_picture, pps: bits.ue()? })
}

/// The fields of parameter sets on which slice headers depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceSegmentParameters {
    /// `separate_colour_plane_flag`
    pub separate_colour_planes: bool,
    /// Bits of `slice_pic_order_cnt_lsb`: 4 to 16.
    pub pic_order_cnt_bits: u32,
    /// The picture parameter set.
    pub pps: Pps,
}

/// The start of the header of a picture's first slice segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceSegment {
    /// Whether the picture is IDR or BLA, which restart the picture order count.
    pub restarts: bool,
    /// Whether decoding can start at the picture (IRAP).
    pub random_access: bool,
    /// Whether later pictures derive their order count from this one (section 8.3.1).
    pub anchor: bool,
    /// `slice_pic_order_cnt_lsb`; 0 for an IDR picture.
    pub pic_order_cnt_lsb: u32,
}

impl SliceSegment {
    /// Parses `unit`. `parameters` returns those of a picture parameter set by its id. `None` for another or malformed unit, an
    /// unknown set, or a slice segment that is not the picture's first.
    pub fn read(unit: &[u8], parameters: impl FnOnce(u32) -> Option<SliceSegmentParameters>) -> Option<Self> {
        let (kind, rbsp) = slice_header(unit)?;
        let mut bits = BitReader::new(&rbsp);
        let start = start(&mut bits, kind).ok().filter(|start| start.first_in_picture)?;
        let random_access = is_irap(kind);
        let parameters = parameters(start.pps)?;
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

fn pic_order_cnt_lsb(bits: &mut BitReader<'_>, parameters: &SliceSegmentParameters) -> Result<u32, SyntaxError> {
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
