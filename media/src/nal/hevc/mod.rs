//! H.265 (Rec. ITU-T H.265): parses the frame order in video and sequence parameter sets, and amends them to declare no
//! reordering. Section numbers are those of the edition of 08/2021.
//!
//! Both sets have the same three numbers per sub-layer. Decoders use the sequence parameter set, and its numbers must not
//! exceed those of the video parameter set (section 7.4.3.2.1). Both are amended, so that they are consistent.

mod slice;

use std::ops::Range;

use sightline_protocol::message::Size;

use super::bits::{BitReader, BitWriter, SyntaxError, escape, unescape};
use super::{DeclaredReordering, cropped, subsampling};
pub use slice::{Pps, SliceSegment, SliceSegmentParameters, slice_start};

/// `nal_unit_type` of a video and of a sequence parameter set (table 7-1).
const VPS: u8 = 32;
const SPS: u8 = 33;
/// The most samples in a row or column: more than in any level (table A.8).
const SAMPLES_MAX: u32 = 65_535;
/// Size of the NAL unit header (section 7.3.1.2).
const HEADER: usize = 2;
/// Bits of `profile_tier_level()` for the whole stream: profile, compatibility, constraints (section 7.3.3).
const PROFILE: usize = 88;
/// Bits of a level.
const LEVEL: usize = 8;

/// `nal_unit_type` of a unit in the base layer. `None` for other layers.
pub fn unit_type(unit: &[u8]) -> Option<u8> {
    let header = u16::from_be_bytes([*unit.first()?, *unit.get(1)?]);
    let layer = header >> 3 & 0x3f;
    (layer == 0).then_some((header >> 9 & 0x3f) as u8)
}

/// Whether `unit` is a slice of a picture at which decoding can start: IDR, BLA, CRA.
pub fn is_irap(unit: &[u8]) -> bool {
    unit_type(unit).is_some_and(slice::is_irap)
}

/// Whether `unit` is a sequence parameter set.
pub fn is_sps(unit: &[u8]) -> bool {
    unit_type(unit) == Some(SPS)
}

/// Whether `unit` is a video parameter set.
pub fn is_vps(unit: &[u8]) -> bool {
    unit_type(unit) == Some(VPS)
}

/// The frame order of each sub-layer in a parameter set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ordering {
    sub_layers: Vec<SubLayer>,
    /// The bit range of the numbers in the RBSP.
    at: Range<usize>,
}

/// `max_dec_pic_buffering_minus1`, `max_num_reorder_pics` and `max_latency_increase_plus1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SubLayer {
    buffering: u32,
    reordered: u32,
    latency: u32,
}

impl Ordering {
    /// Parses from `sub_layer_ordering_info_present_flag` on.
    fn read(bits: &mut BitReader<'_>, max_sub_layers_minus1: u32) -> Result<Self, SyntaxError> {
        let count = if bits.flag()? { max_sub_layers_minus1 + 1 } else { 1 };
        let start = bits.position();
        let sub_layers = (0..count)
            .map(|_| Ok(SubLayer { buffering: bits.ue()?, reordered: bits.ue()?, latency: bits.ue()? }))
            .collect::<Result<_, SyntaxError>>()?;
        Ok(Self { sub_layers, at: start..bits.position() })
    }

    /// The declaration for all sub-layers together, because all are sent.
    fn declared_reordering(&self) -> DeclaredReordering {
        match self.sub_layers.iter().map(|sub_layer| sub_layer.reordered).max() {
            None | Some(0) => DeclaredReordering::None,
            Some(most) => DeclaredReordering::AtMost(most),
        }
    }
}

/// A sequence parameter set (section 7.3.2.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    /// `sps_seq_parameter_set_id`, at most 15.
    pub id: u32,
    /// `separate_colour_plane_flag`
    pub separate_colour_planes: bool,
    /// Bits of `slice_pic_order_cnt_lsb`: 4 to 16.
    pub pic_order_cnt_bits: u32,
    /// The size of frames, without what is cropped.
    pub size: Size,
    ordering: Ordering,
}

impl Sps {
    /// Parses a NAL unit.
    ///
    /// # Errors
    /// The unit violates the standard.
    pub fn read(unit: &[u8]) -> Result<Self, SyntaxError> {
        Self::read_rbsp(&unescape(unit.get(HEADER..).unwrap_or_default()))
    }

    fn read_rbsp(rbsp: &[u8]) -> Result<Self, SyntaxError> {
        let mut bits = BitReader::new(rbsp);
        // sps_video_parameter_set_id
        bits.skip(4)?;
        let max_sub_layers_minus1 = bits.bits(3)?;
        // sps_temporal_id_nesting_flag
        bits.skip(1)?;
        profile_tier_level(&mut bits, max_sub_layers_minus1)?;
        let id = bits.ue_up_to(15, "sps_seq_parameter_set_id")?;
        let chroma_format_idc = bits.ue_up_to(3, "chroma_format_idc")?;
        let separate_colour_planes = chroma_format_idc == 3 && bits.flag()?;
        let coded = [bits.ue_up_to(SAMPLES_MAX, "width")?, bits.ue_up_to(SAMPLES_MAX, "height")?];
        // The conformance window.
        let size = cropped(&mut bits, coded, subsampling(chroma_format_idc))?;
        // Bit depths of luma and chroma, minus 8.
        bits.ue_up_to(8, "bit_depth_luma_minus8")?;
        bits.ue_up_to(8, "bit_depth_chroma_minus8")?;
        let pic_order_cnt_bits = 4 + bits.ue_up_to(12, "log2_max_pic_order_cnt_lsb_minus4")?;
        let ordering = Ordering::read(&mut bits, max_sub_layers_minus1)?;
        Ok(Self { id, separate_colour_planes, pic_order_cnt_bits, size, ordering })
    }

    /// The declared frame order.
    pub fn declared_reordering(&self) -> DeclaredReordering {
        self.ordering.declared_reordering()
    }
}

/// The frame order in a video parameter set (section 7.3.2.1).
fn vps_ordering(rbsp: &[u8]) -> Result<Ordering, SyntaxError> {
    let mut bits = BitReader::new(rbsp);
    // The id, two flags and vps_max_layers_minus1.
    bits.skip(12)?;
    let max_sub_layers_minus1 = bits.bits(3)?;
    // vps_temporal_id_nesting_flag and 16 reserved bits.
    bits.skip(17)?;
    profile_tier_level(&mut bits, max_sub_layers_minus1)?;
    Ordering::read(&mut bits, max_sub_layers_minus1)
}

/// `profile_tier_level(1, max_sub_layers_minus1)` (section 7.3.3).
fn profile_tier_level(bits: &mut BitReader<'_>, max_sub_layers_minus1: u32) -> Result<(), SyntaxError> {
    if max_sub_layers_minus1 > 6 {
        return Err(SyntaxError::OutOfRange("max_sub_layers_minus1"));
    }
    bits.skip(PROFILE + LEVEL)?;
    let mut lower = 0;
    for sub_layer in 0..8 {
        if sub_layer < max_sub_layers_minus1 {
            lower += if bits.flag()? { PROFILE } else { 0 };
            lower += if bits.flag()? { LEVEL } else { 0 };
        } else if max_sub_layers_minus1 > 0 {
            // reserved_zero_2bits, for alignment.
            bits.skip(2)?;
        }
    }
    bits.skip(lower)
}

/// The video or sequence parameter set `unit` without reordering in any sub-layer. `None` if it declares none already.
///
/// All other bits stay unchanged, also the latency: a picture that need not wait for others is shown at once. The latency only
/// limits pictures that wait (section C.5.2.3).
///
/// # Errors
/// The unit cannot be parsed up to the frame order.
pub fn set_no_reorder(unit: &[u8]) -> Result<Option<Vec<u8>>, SyntaxError> {
    let (header, payload) = unit.split_at_checked(HEADER).ok_or(SyntaxError::Truncated)?;
    let rbsp = unescape(payload);
    let ordering = if is_vps(unit) { vps_ordering(&rbsp)? } else { Sps::read_rbsp(&rbsp)?.ordering };
    if ordering.declared_reordering() == DeclaredReordering::None {
        return Ok(None);
    }
    let end = BitReader::new(&rbsp).payload_len().filter(|&end| end >= ordering.at.end);
    let mut out = BitWriter::default();
    out.copy(&rbsp, 0..ordering.at.start)?;
    for sub_layer in ordering.sub_layers {
        out.ue(sub_layer.buffering);
        out.ue(0);
        out.ue(sub_layer.latency);
    }
    out.copy(&rbsp, ordering.at.end..end.ok_or(SyntaxError::Truncated)?)?;
    Ok(Some(escape(header, &out.finish())))
}

#[cfg(test)]
mod tests;
