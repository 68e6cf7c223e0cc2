//! Detects from picture order counts whether presentation order is decode order.
//!
//! The picture order count decides, because decoders sort by it. Simpler signs mislead:
//! - B slices: many H.265 encoders (Intel's, NVIDIA's, those of cameras) use them for every picture and refer to earlier
//!   pictures only.
//! - Composition offsets: FFmpeg derives them from the parameter sets. If these declare a reordering that is not used, every
//!   picture has an offset.

use std::collections::BTreeMap;

use sightline_protocol::codec::Family;

use super::avc::{self, PicOrderCntType};
use super::hevc;
use super::picture_order_count::{Picture, PictureOrderCount};

/// Detects reordering in the access units of one track, in decode order. Memory is bounded by the parameter sets; the standards
/// allow 32 and 256 of them.
#[derive(Debug)]
pub struct ReorderDetector(CodecDetector);

#[derive(Debug)]
enum CodecDetector {
    Avc(AvcDetector),
    Hevc(HevcDetector),
}

impl ReorderDetector {
    /// A detector for a track of this codec.
    pub fn new(family: Family) -> Self {
        Self(match family {
            Family::H264 => CodecDetector::Avc(AvcDetector::default()),
            Family::H265 => CodecDetector::Hevc(HevcDetector::default()),
        })
    }

    /// Records `unit` if it is a parameter set, from outside the access units.
    pub fn parameter_set(&mut self, unit: &[u8]) {
        match &mut self.0 {
            CodecDetector::Avc(avc) => avc.parameter_set(unit),
            CodecDetector::Hevc(hevc) => hevc.parameter_set(unit),
        }
    }

    /// Whether the picture in these NAL units precedes an earlier one in presentation order. `None` if they contain no readable
    /// slice.
    pub fn is_out_of_order<'a>(&mut self, access_unit: impl IntoIterator<Item = &'a [u8]>) -> Option<bool> {
        access_unit.into_iter().find_map(|unit| {
            self.parameter_set(unit);
            match &mut self.0 {
                CodecDetector::Avc(avc) => avc.is_out_of_order(unit),
                CodecDetector::Hevc(hevc) => hevc.is_out_of_order(unit),
            }
        })
    }
}

#[derive(Debug, Default)]
struct AvcDetector {
    sps: BTreeMap<u32, avc::SliceParameters>,
    /// The id of each picture parameter set's sequence parameter set.
    pps: BTreeMap<u32, u32>,
    count: PictureOrderCount,
    /// `frame_num` of the last reference picture.
    reference: Option<u32>,
}

impl AvcDetector {
    fn parameter_set(&mut self, unit: &[u8]) {
        if let Some(pps) = avc::Pps::read(unit) {
            self.pps.insert(pps.id, pps.sps);
        } else if avc::is_sps(unit)
            && let Ok(sps) = avc::Sps::read(unit)
        {
            self.sps.insert(sps.id, sps.slices);
        }
    }

    fn is_out_of_order(&mut self, unit: &[u8]) -> Option<bool> {
        let mut parameters = None;
        let slice = avc::Slice::read(unit, |pps| {
            parameters = self.sps.get(self.pps.get(&pps)?).copied();
            parameters
        })?;
        let parameters = parameters?;
        if self.has_gap(&slice, parameters.frame_num_bits) {
            // With as few as four bits, the loss of some frames looks like a step back.
            self.count.lost();
        }
        if slice.reference {
            self.reference = Some(slice.frame_num);
        }
        Some(match (parameters.pic_order_cnt, slice.pic_order_cnt_lsb) {
            (PicOrderCntType::Lsb { bits }, Some(lsb)) => self.count.is_out_of_order(Picture {
                lsb,
                bits,
                restarts: slice.idr,
                barrier: slice.idr,
                anchor: slice.reference,
            }),
            (PicOrderCntType::DecodingOrder, _) => false,
            // Unused in practice. A B slice is a sufficient sign.
            _ => slice.bidirectional,
        })
    }

    /// Whether reference pictures are missing before this one (Rec. ITU-T H.264, section 7.4.3, `frame_num`).
    fn has_gap(&self, slice: &avc::Slice, bits: u32) -> bool {
        self.reference.is_some_and(|before| {
            let next = (before + 1) % (1 << bits);
            !slice.idr && slice.frame_num != before && slice.frame_num != next
        })
    }
}

#[derive(Debug, Default)]
struct HevcDetector {
    /// Whether colour planes are separate, and the bits of the picture order count.
    sps: BTreeMap<u32, (bool, u32)>,
    pps: BTreeMap<u32, hevc::Pps>,
    count: PictureOrderCount,
}

impl HevcDetector {
    fn parameter_set(&mut self, unit: &[u8]) {
        if let Some(pps) = hevc::Pps::read(unit) {
            self.pps.insert(pps.id, pps);
        } else if hevc::is_sps(unit)
            && let Ok(sps) = hevc::Sps::read(unit)
        {
            self.sps.insert(sps.id, (sps.separate_colour_planes, sps.pic_order_cnt_bits));
        }
    }

    fn is_out_of_order(&mut self, unit: &[u8]) -> Option<bool> {
        let mut bits = 0;
        let slice = hevc::SliceSegment::read(unit, |pps| {
            let pps = *self.pps.get(&pps)?;
            let &(separate_colour_planes, pic_order_cnt_bits) = self.sps.get(&pps.sps)?;
            bits = pic_order_cnt_bits;
            Some(hevc::SliceSegmentParameters { separate_colour_planes, pic_order_cnt_bits, pps })
        })?;
        Some(self.count.is_out_of_order(Picture {
            lsb: slice.pic_order_cnt_lsb,
            bits,
            restarts: slice.restarts,
            // Section 7.4.2.2: pictures before such a picture in decode order precede it in presentation order.
            barrier: slice.random_access,
            anchor: slice.anchor,
        }))
    }
}

#[cfg(test)]
mod tests;
