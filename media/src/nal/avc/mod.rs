//! H.264 (Rec. ITU-T H.264): parses the frame order in a sequence parameter set, and amends the set to declare no reordering.
//! Section numbers are those of the edition of 08/2021.

mod slice;
mod vui;

use sightline_protocol::message::Size;

use super::bits::{BitReader, BitWriter, SyntaxError, escape, unescape};
use super::{DeclaredReordering, cropped, subsampling};
pub use slice::{Pps, Slice, SliceParameters, slice_start};
use vui::{Restriction, Vui};

/// `nal_unit_type` of a sequence parameter set (table 7-1).
const SPS: u8 = 7;

/// Profiles with chroma format, bit depth and scaling in the SPS (section 7.3.2.1.1).
const WITH_CHROMA_FORMAT: [u32; 13] = [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244];

/// The most macroblocks in a row or column: more than in any level (table A-1).
const MACROBLOCKS_MAX: u32 = 4095;

/// `nal_unit_type`.
pub fn unit_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}

/// Whether `unit` is a slice of an IDR picture, at which decoding can start.
pub fn is_idr(unit: &[u8]) -> bool {
    unit_type(unit) == Some(slice::IDR_SLICE)
}

/// Whether `unit` is a sequence parameter set.
pub fn is_sps(unit: &[u8]) -> bool {
    unit_type(unit) == Some(SPS)
}

/// The coding of a picture's presentation order (`pic_order_cnt_type`, section 8.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PicOrderCntType {
    /// 0: each picture has the lower bits of its order count.
    Lsb {
        /// Number of bits, 4 to 16.
        bits: u32,
    },
    /// 1: a difference from an expected order count.
    Expected,
    /// 2: decode order. No reordering is possible.
    DecodingOrder,
}

/// A sequence parameter set (section 7.3.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    /// `seq_parameter_set_id`, at most 31.
    pub id: u32,
    /// The fields on which slice headers depend.
    pub slices: SliceParameters,
    /// `max_num_ref_frames`, at most 16.
    pub max_num_ref_frames: u32,
    /// The size of frames, without what is cropped.
    pub size: Size,
    /// The bit offset of `vui_parameters_present_flag` in the RBSP.
    vui_at: usize,
    vui: Option<Vui>,
}

impl Sps {
    /// Parses a NAL unit.
    ///
    /// # Errors
    /// The unit violates the standard.
    pub fn read(unit: &[u8]) -> Result<Self, SyntaxError> {
        Self::read_rbsp(&unescape(unit.get(1..).unwrap_or_default()))
    }

    fn read_rbsp(rbsp: &[u8]) -> Result<Self, SyntaxError> {
        let mut bits = BitReader::new(rbsp);
        let profile = bits.bits(8)?;
        // Constraint flags and level_idc.
        bits.skip(16)?;
        let id = bits.ue_up_to(31, "seq_parameter_set_id")?;
        let (chroma_format_idc, separate_colour_planes) =
            if WITH_CHROMA_FORMAT.contains(&profile) { chroma_format(&mut bits)? } else { (1, false) };
        let frame_num_bits = 4 + bits.ue_up_to(12, "log2_max_frame_num_minus4")?;
        let pic_order_cnt = pic_order_cnt(&mut bits)?;
        let max_num_ref_frames = bits.ue_up_to(16, "max_num_ref_frames")?;
        // gaps_in_frame_num_value_allowed_flag
        bits.skip(1)?;
        let macroblocks = [bits.ue_up_to(MACROBLOCKS_MAX, "width")? + 1, bits.ue_up_to(MACROBLOCKS_MAX, "height")? + 1];
        let frames_only = bits.flag()?;
        if !frames_only {
            // mb_adaptive_frame_field_flag
            bits.skip(1)?;
        }
        // direct_8x8_inference_flag
        bits.skip(1)?;
        let fields = if frames_only { 1 } else { 2 };
        let coded = [macroblocks[0] * 16, macroblocks[1] * 16 * fields];
        let [horizontal, vertical] = if separate_colour_planes { [1, 1] } else { subsampling(chroma_format_idc) };
        let size = cropped(&mut bits, coded, [horizontal, vertical * fields])?;
        let vui_at = bits.position();
        let vui = if bits.flag()? { Some(Vui::read(&mut bits)?) } else { None };
        bits.finish()?;
        let slices = SliceParameters { separate_colour_planes, frame_num_bits, pic_order_cnt, frames_only };
        Ok(Self { id, slices, max_num_ref_frames, size, vui_at, vui })
    }

    /// The declared frame order. Without `bitstream_restriction`, a decoder must assume the maximum of the level (section
    /// E.2.1), even for profiles without B slices.
    pub fn declared_reordering(&self) -> DeclaredReordering {
        match self.vui.as_ref().and_then(|vui| vui.restriction.as_ref()) {
            None => DeclaredReordering::Unspecified,
            Some(Restriction { max_num_reorder_frames: 0, .. }) => DeclaredReordering::None,
            Some(restriction) => DeclaredReordering::AtMost(restriction.max_num_reorder_frames),
        }
    }
}

/// Parses from `chroma_format_idc` to the scaling lists. Returns `separate_colour_plane_flag`.
fn chroma_format(bits: &mut BitReader<'_>) -> Result<(u32, bool), SyntaxError> {
    let chroma_format_idc = bits.ue_up_to(3, "chroma_format_idc")?;
    let separate_colour_planes = chroma_format_idc == 3 && bits.flag()?;
    // Bit depths of luma and chroma, minus 8.
    bits.ue_up_to(6, "bit_depth_luma_minus8")?;
    bits.ue_up_to(6, "bit_depth_chroma_minus8")?;
    // qpprime_y_zero_transform_bypass_flag
    bits.skip(1)?;
    if bits.flag()? {
        let lists = if chroma_format_idc == 3 { 12 } else { 8 };
        for list in 0..lists {
            if bits.flag()? {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok((chroma_format_idc, separate_colour_planes))
}

/// `scaling_list()` (section 7.3.2.1.1.1).
fn scaling_list(bits: &mut BitReader<'_>, size: u32) -> Result<(), SyntaxError> {
    let mut last = 8;
    for _ in 0..size {
        let next = (last + bits.se()?).rem_euclid(256);
        // Zero: the last value repeats up to the end.
        if next == 0 {
            break;
        }
        last = next;
    }
    Ok(())
}

fn pic_order_cnt(bits: &mut BitReader<'_>) -> Result<PicOrderCntType, SyntaxError> {
    match bits.ue_up_to(2, "pic_order_cnt_type")? {
        0 => Ok(PicOrderCntType::Lsb { bits: 4 + bits.ue_up_to(12, "log2_max_pic_order_cnt_lsb_minus4")? }),
        1 => {
            // delta_pic_order_always_zero_flag, two offsets, and those of the cycle.
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue_up_to(255, "num_ref_frames_in_pic_order_cnt_cycle")? {
                bits.se()?;
            }
            Ok(PicOrderCntType::Expected)
        }
        _ => Ok(PicOrderCntType::DecodingOrder),
    }
}

/// The sequence parameter set `unit` with `max_num_reorder_frames` 0. `None` if it has that already.
///
/// All bits before `bitstream_restriction_flag` stay unchanged.
///
/// # Errors
/// The unit cannot be parsed to its end.
pub fn set_no_reorder(unit: &[u8]) -> Result<Option<Vec<u8>>, SyntaxError> {
    let (&header, payload) = unit.split_first().ok_or(SyntaxError::Truncated)?;
    let rbsp = unescape(payload);
    let sps = Sps::read_rbsp(&rbsp)?;
    if sps.declared_reordering() == DeclaredReordering::None {
        return Ok(None);
    }
    let mut out = BitWriter::default();
    let restriction = match sps.vui {
        Some(vui) => {
            out.copy(&rbsp, 0..vui.restriction_at)?;
            vui.restriction
        }
        None => {
            out.copy(&rbsp, 0..sps.vui_at)?;
            vui::write_empty(&mut out);
            None
        }
    };
    let restriction = restriction.unwrap_or_else(|| Restriction::inferred(sps.max_num_ref_frames));
    restriction.in_order().write(&mut out);
    Ok(Some(escape(&[header], &out.finish())))
}

#[cfg(test)]
mod tests;
