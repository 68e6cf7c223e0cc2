//! Parses the start of a slice header (Rec. ITU-T H.264, section 7.3.3), up to the picture order count.

use super::{PicOrderCntType, unit_type};
use crate::nal::SliceStart;
use crate::nal::bits::{BitReader, SyntaxError, unescape};

/// More than the size of the parsed fields, including emulation prevention: seven of at most 63 bits.
const START: usize = 64;

/// `nal_unit_type` (table 7-1) of a non-IDR slice, whole or partition A, of an IDR slice, and of a picture parameter set.
const SLICE: u8 = 1;
const PARTITION_A: u8 = 2;
pub(super) const IDR_SLICE: u8 = 5;
const PPS: u8 = 8;

/// The fields of a sequence parameter set on which slice headers depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceParameters {
    /// `separate_colour_plane_flag`
    pub separate_colour_planes: bool,
    /// Bits of `frame_num`: 4 to 16.
    pub frame_num_bits: u32,
    /// The coding of the presentation order.
    pub pic_order_cnt: PicOrderCntType,
    /// `frame_mbs_only_flag`
    pub frames_only: bool,
}

/// The ids of a picture parameter set and of its sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pps {
    /// `pic_parameter_set_id`, at most 255.
    pub id: u32,
    /// `seq_parameter_set_id`, at most 31.
    pub sps: u32,
}

impl Pps {
    /// Parses `unit`. `None` for another or malformed unit.
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

/// See [`crate::nal::slice_start`].
pub fn slice_start(unit: &[u8]) -> Option<SliceStart> {
    let (_, rbsp) = slice_header(unit)?;
    Some(start(&mut BitReader::new(&rbsp)).ok()?.0)
}

/// The `nal_unit_type` and the first bytes of a slice's header, without emulation prevention. `None` for another unit.
fn slice_header(unit: &[u8]) -> Option<(u8, Vec<u8>)> {
    let kind = unit_type(unit).filter(|kind| matches!(*kind, SLICE | PARTITION_A | IDR_SLICE))?;
    Some((kind, unescape(&unit[1..unit.len().min(START)])))
}

/// The first fields of a slice header, and `slice_type`.
fn start(bits: &mut BitReader<'_>) -> Result<(SliceStart, u32), SyntaxError> {
    let first_mb = bits.ue()?;
    let slice_type = bits.ue()?;
    Ok((SliceStart { first_in_picture: first_mb == 0, pps: bits.ue()? }, slice_type))
}

/// The start of a slice header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Whether the slice belongs to an IDR picture.
    pub idr: bool,
    /// Whether other pictures may refer to the slice's picture (`nal_ref_idc`).
    pub reference: bool,
    /// Whether the slice is a B slice.
    pub bidirectional: bool,
    /// `frame_num`
    pub frame_num: u32,
    /// `pic_order_cnt_lsb`, if there is one.
    pub pic_order_cnt_lsb: Option<u32>,
}

impl Slice {
    /// Parses `unit`. `parameters` returns those of a picture parameter set by its id. `None` for another or malformed unit, or
    /// an unknown set.
    pub fn read(unit: &[u8], parameters: impl FnOnce(u32) -> Option<SliceParameters>) -> Option<Self> {
        let (kind, rbsp) = slice_header(unit)?;
        let mut bits = BitReader::new(&rbsp);
        let (start, slice_type) = start(&mut bits).ok()?;
        let parameters = parameters(start.pps)?;
        let idr = kind == IDR_SLICE;
        let (frame_num, pic_order_cnt_lsb) = picture_order(&mut bits, idr, &parameters).ok()?;
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

/// Parses `frame_num` and `pic_order_cnt_lsb`, which follow `pic_parameter_set_id`.
fn picture_order(
    bits: &mut BitReader<'_>,
    idr: bool,
    parameters: &SliceParameters,
) -> Result<(u32, Option<u32>), SyntaxError> {
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
