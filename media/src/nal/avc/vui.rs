//! Video usability information (Rec. ITU-T H.264, section E.1.1), which ends with `bitstream_restriction`.

use crate::nal::bits::{BitReader, BitWriter, SyntaxError};

/// `aspect_ratio_idc` of an explicit ratio (table E-1).
const EXTENDED_SAR: u32 = 255;

/// The relevant part of `vui_parameters()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vui {
    /// The bit offset of `bitstream_restriction_flag` in the RBSP.
    pub(super) restriction_at: usize,
    pub(super) restriction: Option<Restriction>,
}

/// The fields after `bitstream_restriction_flag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restriction {
    motion_vectors_over_pic_boundaries: bool,
    max_bytes_per_pic_denom: u32,
    max_bits_per_mb_denom: u32,
    log2_max_mv_length_horizontal: u32,
    log2_max_mv_length_vertical: u32,
    pub(super) max_num_reorder_frames: u32,
    max_dec_frame_buffering: u32,
}

impl Vui {
    /// Parses the fields after `vui_parameters_present_flag`.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, SyntaxError> {
        if bits.flag()? && bits.bits(8)? == EXTENDED_SAR {
            bits.skip(32)?;
        }
        // overscan_info_present_flag
        if bits.flag()? {
            bits.skip(1)?;
        }
        // video_signal_type_present_flag: format, range, and an optional colour description.
        if bits.flag()? {
            bits.skip(4)?;
            if bits.flag()? {
                bits.skip(24)?;
            }
        }
        // chroma_loc_info_present_flag
        if bits.flag()? {
            bits.ue()?;
            bits.ue()?;
        }
        // timing_info_present_flag: two times 32 bits and a flag.
        if bits.flag()? {
            bits.skip(65)?;
        }
        let (nal, vcl) = (hrd(bits)?, hrd(bits)?);
        if nal || vcl {
            // low_delay_hrd_flag
            bits.skip(1)?;
        }
        // pic_struct_present_flag
        bits.skip(1)?;
        let restriction_at = bits.position();
        let restriction = if bits.flag()? { Some(Restriction::read(bits)?) } else { None };
        Ok(Self { restriction_at, restriction })
    }
}

/// A flag and, if it is set, `hrd_parameters()` (section E.1.2).
fn hrd(bits: &mut BitReader<'_>) -> Result<bool, SyntaxError> {
    let present = bits.flag()?;
    if present {
        let buffers = bits.ue_up_to(31, "cpb_cnt_minus1")? + 1;
        // The scales of bit rate and buffer size.
        bits.skip(8)?;
        for _ in 0..buffers {
            bits.ue()?;
            bits.ue()?;
            bits.skip(1)?;
        }
        // Four lengths of 5 bits.
        bits.skip(20)?;
    }
    Ok(present)
}

/// Writes `vui_parameters_present_flag` and absent optional fields, up to `bitstream_restriction_flag`.
pub(super) fn write_empty(out: &mut BitWriter) {
    out.flag(true);
    // Aspect ratio, overscan, signal type, chroma location, timing, both HRDs, pic_struct.
    (0..8).for_each(|_| out.flag(false));
}

impl Restriction {
    /// The values that a decoder infers without a restriction (section E.2.1), except for the size of its buffer.
    ///
    /// The buffer must hold the reference frames, and more is not needed if each frame is shown once it is decoded. For the
    /// length of motion vectors, 15 is the largest value that every edition of the standard allows, and exceeds all levels.
    pub(super) fn inferred(max_num_ref_frames: u32) -> Self {
        Self {
            motion_vectors_over_pic_boundaries: true,
            max_bytes_per_pic_denom: 2,
            max_bits_per_mb_denom: 1,
            log2_max_mv_length_horizontal: 15,
            log2_max_mv_length_vertical: 15,
            max_num_reorder_frames: 0,
            max_dec_frame_buffering: max_num_ref_frames,
        }
    }

    /// The same without reordering.
    pub(super) fn in_order(self) -> Self {
        Self { max_num_reorder_frames: 0, ..self }
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, SyntaxError> {
        Ok(Self {
            motion_vectors_over_pic_boundaries: bits.flag()?,
            max_bytes_per_pic_denom: bits.ue()?,
            max_bits_per_mb_denom: bits.ue()?,
            log2_max_mv_length_horizontal: bits.ue()?,
            log2_max_mv_length_vertical: bits.ue()?,
            max_num_reorder_frames: bits.ue()?,
            max_dec_frame_buffering: bits.ue()?,
        })
    }

    /// Writes `bitstream_restriction_flag` and its fields.
    pub(super) fn write(&self, out: &mut BitWriter) {
        out.flag(true);
        out.flag(self.motion_vectors_over_pic_boundaries);
        for value in [
            self.max_bytes_per_pic_denom,
            self.max_bits_per_mb_denom,
            self.log2_max_mv_length_horizontal,
            self.log2_max_mv_length_vertical,
            self.max_num_reorder_frames,
            self.max_dec_frame_buffering,
        ] {
            out.ue(value);
        }
    }
}
