//! The decoder configuration record of a sample entry, `avcC` or `hvcC` (ISO/IEC 14496-15, sections 5.3.3.1 and 8.3.3.1): the
//! form of NAL units in samples, and the parameter sets.

use std::ops::Range;

use mp4_atom::FourCC;
use sightline_protocol::codec::Family;
use sightline_protocol::message::Size;

use super::boxes::{self, BoxAt};
use super::sample_entry;
use crate::nal::bits::{SyntaxError, unescape};
use crate::nal::{self, DeclaredReordering, Layout};

/// Offset of the byte with `lengthSizeMinusOne` in its lower two bits, in both records.
const AVCC_LENGTH_SIZE: usize = 4;
const HVCC_LENGTH_SIZE: usize = 21;
/// Offset of the profile and level in `avcC`, as in bytes 1 to 3 of the SPS, and in `hvcC`, as in `profile_tier_level`.
const AVCC_PROFILE: usize = 1;
const HVCC_PROFILE: usize = 1;
/// Offset of width and height in a visual sample entry.
const SAMPLE_ENTRY_SIZE: usize = 24;
/// Offset of `numOfSequenceParameterSets`, in the lower five bits.
const AVCC_SETS: usize = 5;
/// Offset of `numOfArrays`.
const HVCC_ARRAYS: usize = 22;

/// A track's NAL unit format and parameter sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderConfig {
    /// The form of NAL units in samples.
    pub layout: Layout,
    /// The ranges of the parameter sets in the init segment, in the order of the record.
    pub sets: Vec<Range<usize>>,
    /// The record and its enclosing boxes, the outermost first.
    enclosing: Vec<BoxAt>,
}

impl DecoderConfig {
    /// Finds the record in the init segment `init`.
    pub fn find(init: &[u8]) -> Option<Self> {
        let mut enclosing = sample_entry::find_enclosed(init)?;
        let entry = enclosing.last()?.body.clone();
        let mut inner = boxes::children(init, entry.start.checked_add(sample_entry::VISUAL_FIELDS)?..entry.end);
        let found = inner.find(|inner| [FourCC::new(b"avcC"), FourCC::new(b"hvcC")].contains(&inner.kind))?;
        let body = found.body.clone();
        let (family, length_size, sets) = if found.kind == FourCC::new(b"avcC") {
            (Family::H264, AVCC_LENGTH_SIZE, avcc_sets(init, body.clone())?)
        } else {
            let arrays = hvcc_arrays(init, body.clone())?;
            (Family::H265, HVCC_LENGTH_SIZE, arrays.into_iter().flat_map(|array| array.sets).collect())
        };
        enclosing.push(found);
        let length_size = usize::from(init.get(body.start + length_size)? & 3) + 1;
        Some(Self { layout: Layout { family, length_size }, sets, enclosing })
    }

    /// The parameter sets.
    pub fn units<'a>(&self, init: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.sets.iter().map(|set| &init[set.clone()])
    }

    /// The frame order that the sequence parameter sets declare. If they differ, the least favourable.
    ///
    /// # Errors
    /// A sequence parameter set cannot be read, or there is none.
    pub fn declared_reordering(&self, init: &[u8]) -> Result<DeclaredReordering, SyntaxError> {
        let declared =
            self.units(init).filter_map(|unit| nal::declared_reordering(self.layout.family, unit).transpose());
        let declared: Vec<DeclaredReordering> = declared.collect::<Result<_, _>>()?;
        declared.into_iter().max().ok_or(SyntaxError::Truncated)
    }

    /// `init` with parameter sets that declare frames to be in order. `None` if nothing has to be changed, or the change is
    /// impossible.
    pub fn set_no_reorder(&self, init: &[u8]) -> Option<Vec<u8>> {
        let mut out = init.to_vec();
        // From the last to the first, so that earlier ranges stay valid.
        for set in self.sets.iter().rev() {
            if let Some(amended) = nal::set_no_reorder(self.layout.family, &init[set.clone()]).ok()? {
                let length = u16::try_from(amended.len()).ok()?.to_be_bytes();
                boxes::replace(&mut out, &self.enclosing, set.start - 2..set.end, &[&length, &*amended].concat())?;
            }
        }
        (out != init).then_some(out)
    }
}

/// `init` with the parameter sets in `access_unit`, if these declare another size of frames. FFmpeg writes one init segment, whatever
/// the camera sends later.
pub fn resized(init: &[u8], access_unit: &[u8]) -> Option<Vec<u8>> {
    let config = DecoderConfig::find(init)?;
    let family = config.layout.family;
    let new: Vec<&[u8]> = config.layout.units(access_unit).map(|unit| &access_unit[unit]).collect();
    let size = new.iter().find_map(|unit| nal::frame_size(family, unit))?;
    if config.units(init).find_map(|unit| nal::frame_size(family, unit)) == Some(size) {
        return None;
    }
    let mut out = init.to_vec();
    // Fields of a fixed place first: the sets have other lengths.
    let record = config.enclosing.last()?.body.start;
    let sps = new.iter().find(|unit| nal::frame_size(family, unit).is_some())?;
    let (at, profile) = match family {
        Family::H264 => (record + AVCC_PROFILE, sps.get(1..4)?.to_vec()),
        Family::H265 => (record + HVCC_PROFILE, unescape(sps.get(2..)?).get(1..13)?.to_vec()),
    };
    out.get_mut(at..at + profile.len())?.copy_from_slice(&profile);
    set_size(&mut out, size)?;
    remove_pixel_aspect(&mut out, &config.enclosing)?;
    for set in config.sets.iter().rev() {
        let kind = nal::parameter_set_type(family, &init[set.clone()]);
        let Some(unit) = new.iter().find(|unit| kind.is_some() && nal::parameter_set_type(family, unit) == kind) else {
            continue;
        };
        let length = u16::try_from(unit.len()).ok()?.to_be_bytes();
        boxes::replace(&mut out, &config.enclosing, set.start - 2..set.end, &[&length, *unit].concat())?;
    }
    Some(out)
}

/// Removes `pasp` (ISO/IEC 14496-12, section 12.1.4) behind the record: it belongs to the former parameter sets.
fn remove_pixel_aspect(init: &mut Vec<u8>, enclosing: &[BoxAt]) -> Option<()> {
    let (record, entries) = enclosing.split_last()?;
    let behind = record.whole.end..entries.last()?.body.end;
    let Some(aspect) = boxes::find(init, behind, &[b"pasp"]) else { return Some(()) };
    boxes::replace(init, entries, aspect.whole, &[])
}

/// Writes a size into the visual sample entry and the track header (ISO/IEC 14496-12, sections 12.1.3 and 8.3.2).
fn set_size(init: &mut [u8], size: Size) -> Option<()> {
    let Size { width, height } = size;
    let entry = sample_entry::find(init)?.body.start + SAMPLE_ENTRY_SIZE;
    let track = boxes::find(init, 0..init.len(), &[b"moov", b"trak", b"tkhd"])?.body;
    init.get_mut(entry..entry + 4)?.copy_from_slice(&[width.to_be_bytes(), height.to_be_bytes()].concat());
    let fixed_point = [width, 0, height, 0].map(u16::to_be_bytes).concat();
    init.get_mut(track.end.checked_sub(8)?..track.end)?.copy_from_slice(&fixed_point);
    Some(())
}

/// Sequence and picture parameter sets of `avcC`. Further fields of some profiles contain neither.
fn avcc_sets(bytes: &[u8], record: Range<usize>) -> Option<Vec<Range<usize>>> {
    let mut at = record.start + AVCC_SETS;
    let mut sets = Vec::new();
    for mask in [0x1f, 0xff] {
        let count = *bytes[..record.end].get(at)? & mask;
        at += 1;
        for _ in 0..count {
            sets.push(length_prefixed(bytes, record.end, &mut at)?);
        }
    }
    Some(sets)
}

/// An array of `hvcC` with parameter sets of one type.
#[derive(Debug)]
pub(super) struct Array {
    /// Offset of its first byte, which contains the type and whether the array is complete.
    pub(super) at: usize,
    pub(super) sets: Vec<Range<usize>>,
}

/// The arrays of the HEVC decoder configuration record in `bytes[record]`.
pub(super) fn hvcc_arrays(bytes: &[u8], record: Range<usize>) -> Option<Vec<Array>> {
    let mut at = record.start + HVCC_ARRAYS;
    let count = *bytes[..record.end].get(at)?;
    at += 1;
    (0..count)
        .map(|_| {
            let start = at;
            let sets = u16::from_be_bytes(*bytes[..record.end].get(at + 1..)?.first_chunk()?);
            at += 3;
            let sets = (0..sets).map(|_| length_prefixed(bytes, record.end, &mut at)).collect::<Option<_>>()?;
            Some(Array { at: start, sets })
        })
        .collect()
}

/// The range after a 16-bit length at `at`, which moves past it.
fn length_prefixed(bytes: &[u8], end: usize, at: &mut usize) -> Option<Range<usize>> {
    let length = u16::from_be_bytes(*bytes[..end].get(*at..)?.first_chunk()?);
    let start = *at + 2;
    *at = start + usize::from(length);
    (*at <= end).then_some(start..*at)
}

#[cfg(test)]
mod tests;
