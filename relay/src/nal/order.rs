//! Whether pictures come in the order in which they are shown, judged by the pictures themselves.
//!
//! The place that each carries (the picture order count) is what decides, because it is what a decoder sorts by. What
//! looks simpler misleads: B slices are no sign, because many H.265 encoders (Intel's, NVIDIA's, those of cameras)
//! write every picture with them and let them refer to the past alone; composition offsets are none either, because
//! FFmpeg derives them from what the parameter sets declare, and where these declare a reordering that is not used,
//! every picture has one.

use std::collections::BTreeMap;

use sightline_protocol::codec::Family;

use super::avc::{self, PicOrderCntType};
use super::hevc;
use super::picture_order_count::{Picture, PictureOrderCount};

/// Judges the access units of one track, in the order of the stream. Bounded: it keeps no more than the parameter
/// sets, of which their standards allow 32 and 256.
#[derive(Debug)]
pub struct OrderJudge(Codec);

#[derive(Debug)]
enum Codec {
    Avc(Avc),
    Hevc(Hevc),
}

impl OrderJudge {
    /// A judge for a track of this codec.
    pub fn new(family: Family) -> Self {
        Self(match family {
            Family::H264 => Codec::Avc(Avc::default()),
            Family::H265 => Codec::Hevc(Hevc::default()),
        })
    }

    /// Takes note of `unit`, if it is a parameter set, from outside of the access units.
    pub fn parameter_set(&mut self, unit: &[u8]) {
        match &mut self.0 {
            Codec::Avc(avc) => avc.parameter_set(unit),
            Codec::Hevc(hevc) => hevc.parameter_set(unit),
        }
    }

    /// Whether the picture in these NAL units is shown before one that came earlier; none where they hold no slice
    /// that can be read.
    pub fn is_out_of_order<'a>(&mut self, access_unit: impl IntoIterator<Item = &'a [u8]>) -> Option<bool> {
        access_unit.into_iter().find_map(|unit| {
            self.parameter_set(unit);
            match &mut self.0 {
                Codec::Avc(avc) => avc.is_out_of_order(unit),
                Codec::Hevc(hevc) => hevc.is_out_of_order(unit),
            }
        })
    }
}

#[derive(Debug, Default)]
struct Avc {
    sps: BTreeMap<u32, avc::SliceParameters>,
    /// The sequence parameter set that a picture parameter set belongs to.
    pps: BTreeMap<u32, u32>,
    count: PictureOrderCount,
    /// `frame_num` of the last reference picture.
    reference: Option<u32>,
}

impl Avc {
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
            // The lower bits may be as few as four, so that the loss of some frames looks like a step back.
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
            // Nobody uses this type. A B slice is sign enough.
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
struct Hevc {
    /// Separate colour planes, and bits of the picture order count.
    sps: BTreeMap<u32, (bool, u32)>,
    pps: BTreeMap<u32, hevc::Pps>,
    count: PictureOrderCount,
}

impl Hevc {
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
        let slice = hevc::Slice::read(unit, |pps| {
            let pps = *self.pps.get(&pps)?;
            let &(separate_colour_planes, pic_order_cnt_bits) = self.sps.get(&pps.sps)?;
            bits = pic_order_cnt_bits;
            Some(hevc::SliceParameters { separate_colour_planes, pic_order_cnt_bits, pps })
        })?;
        Some(self.count.is_out_of_order(Picture {
            lsb: slice.pic_order_cnt_lsb,
            bits,
            restarts: slice.restarts,
            // Section 7.4.2.2: what precedes such a picture in the stream precedes it on the screen.
            barrier: slice.random_access,
            anchor: slice.anchor,
        }))
    }
}

#[cfg(test)]
mod tests;
