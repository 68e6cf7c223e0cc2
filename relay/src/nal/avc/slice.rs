//! The start of a slice header (Rec. ITU-T H.264, section 7.3.3), up to the place of its picture on the screen.

use super::{PicOrderCntType, unit_type};
use crate::nal::bits::{BitReader, SyntaxError, unescape};

/// More than the fields read here take, emulation prevention included: seven of at most 63 bits.
const START: usize = 64;

/// `nal_unit_type` of slices (table 7-1): of another picture than an IDR picture, whole or partition A; of an IDR
/// picture. And of a picture parameter set.
const SLICE: u8 = 1;
const PARTITION_A: u8 = 2;
pub(super) const IDR_SLICE: u8 = 5;
const PPS: u8 = 8;

/// What of a sequence parameter set the header of a slice depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceParameters {
    /// `separate_colour_plane_flag`
    pub separate_colour_planes: bool,
    /// Bits of `frame_num`: 4 to 16.
    pub frame_num_bits: u32,
    /// How pictures tell their place.
    pub pic_order_cnt: PicOrderCntType,
    /// `frame_mbs_only_flag`
    pub frames_only: bool,
}

/// The ids of a picture parameter set and the sequence parameter set it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pps {
    /// `pic_parameter_set_id`, at most 255.
    pub id: u32,
    /// `seq_parameter_set_id`, at most 31.
    pub sps: u32,
}

impl Pps {
    /// Reads `unit`; none where it is something else or cannot be read.
    pub fn read(unit: &[u8]) -> Option<Self> {
        if unit_type(unit) != Some(PPS) {
            return None;
        }
        let rbsp = unescape(&unit[1..unit.len().min(START)]);
        let mut bits = BitReader::new(&rbsp);
        let id = bits.ue_up_to(255, "pic_parameter_set_id").ok()?;
        Some(Self { id, sps: bits.ue_up_to(31, "seq_parameter_set_id").ok()? })
    }
}

/// The start of a slice header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Whether the picture is an IDR picture.
    pub idr: bool,
    /// Whether other pictures may refer to it (`nal_ref_idc`).
    pub reference: bool,
    /// Whether it is a B slice.
    pub bidirectional: bool,
    /// `frame_num`
    pub frame_num: u32,
    /// `pic_order_cnt_lsb`, where there is one.
    pub pic_order_cnt_lsb: Option<u32>,
}

impl Slice {
    /// Reads `unit`; `parameters` gives those of the picture parameter set with an id. None where it is no slice,
    /// belongs to an unknown set, or cannot be read.
    pub fn read(unit: &[u8], parameters: impl FnOnce(u32) -> Option<SliceParameters>) -> Option<Self> {
        let kind = unit_type(unit)?;
        if !matches!(kind, SLICE | PARTITION_A | IDR_SLICE) {
            return None;
        }
        let rbsp = unescape(&unit[1..unit.len().min(START)]);
        let mut bits = BitReader::new(&rbsp);
        // first_mb_in_slice
        bits.ue().ok()?;
        let slice_type = bits.ue().ok()?;
        let parameters = parameters(bits.ue().ok()?)?;
        let idr = kind == IDR_SLICE;
        let (frame_num, pic_order_cnt_lsb) = place(&mut bits, idr, &parameters).ok()?;
        Some(Self {
            idr,
            reference: unit[0] & 0x60 != 0,
            // Table 7-6: 1 and 6 are B.
            bidirectional: slice_type % 5 == 1,
            frame_num,
            pic_order_cnt_lsb,
        })
    }
}

/// What follows `pic_parameter_set_id`: `frame_num` and `pic_order_cnt_lsb`.
fn place(bits: &mut BitReader<'_>, idr: bool, parameters: &SliceParameters) -> Result<(u32, Option<u32>), SyntaxError> {
    if parameters.separate_colour_planes {
        // colour_plane_id
        bits.skip(2)?;
    }
    let frame_num = bits.bits(parameters.frame_num_bits)?;
    // field_pic_flag, bottom_field_flag
    if !parameters.frames_only && bits.flag()? {
        bits.skip(1)?;
    }
    if idr {
        // idr_pic_id
        bits.ue()?;
    }
    match parameters.pic_order_cnt {
        PicOrderCntType::Lsb { bits: count } => Ok((frame_num, Some(bits.bits(count)?))),
        PicOrderCntType::Expected | PicOrderCntType::DecodingOrder => Ok((frame_num, None)),
    }
}
