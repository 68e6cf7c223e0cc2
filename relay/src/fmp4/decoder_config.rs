//! The decoder configuration record of a sample entry, `avcC` or `hvcC` (ISO/IEC 14496-15, sections 5.3.3.1 and
//! 8.3.3.1): how samples hold their NAL units, and the parameter sets.

use std::ops::Range;

use mp4_atom::FourCC;
use sightline_protocol::codec::Family;

use super::boxes::{self, BoxAt};
use super::init::{VISUAL_SAMPLE_ENTRY, sample_entry_chain};
use crate::nal::bits::SyntaxError;
use crate::nal::{self, Declared, Layout};

/// Offset of the byte whose lower two bits are `lengthSizeMinusOne`, in both records.
const AVCC_LENGTH_SIZE: usize = 4;
const HVCC_LENGTH_SIZE: usize = 21;
/// Offset of `numOfSequenceParameterSets`, in the lower five bits.
const AVCC_SETS: usize = 5;
/// Offset of `numOfArrays`.
const HVCC_ARRAYS: usize = 22;

/// What an init segment says of its track's NAL units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderConfig {
    /// How samples hold their NAL units.
    pub layout: Layout,
    /// Where in the init segment the parameter sets lie, in the order of the record.
    pub sets: Vec<Range<usize>>,
    /// The record and the boxes around it, the outermost first.
    enclosing: Vec<BoxAt>,
}

impl DecoderConfig {
    /// Finds the record in the init segment `init`.
    pub fn find(init: &[u8]) -> Option<Self> {
        let mut enclosing = sample_entry_chain(init)?;
        let entry = enclosing.last()?.body.clone();
        let mut inner = boxes::children(init, entry.start.checked_add(VISUAL_SAMPLE_ENTRY)?..entry.end);
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

    /// What its sequence parameter sets declare of the order of pictures: if they differ, the least favourable.
    ///
    /// # Errors
    /// Where one of them cannot be read, or there is none.
    pub fn declared(&self, init: &[u8]) -> Result<Declared, SyntaxError> {
        let declared = self.units(init).filter_map(|unit| nal::declared(self.layout.family, unit).transpose());
        let declared: Vec<Declared> = declared.collect::<Result<_, _>>()?;
        declared.into_iter().max().ok_or(SyntaxError::Truncated)
    }

    /// `init` with parameter sets that declare that pictures come in order; `None` where nothing has to be changed or
    /// what has to be cannot be.
    pub fn declare_in_order(&self, init: &[u8]) -> Option<Vec<u8>> {
        let mut out = init.to_vec();
        // From the last to the first, so that what is not yet changed stays where it was.
        for set in self.sets.iter().rev() {
            if let Some(amended) = nal::declare_in_order(self.layout.family, &init[set.clone()]).ok()? {
                let length = u16::try_from(amended.len()).ok()?.to_be_bytes();
                boxes::replace(&mut out, &self.enclosing, set.start - 2..set.end, &[&length, &*amended].concat())?;
            }
        }
        (out != init).then_some(out)
    }
}

/// Sequence and picture parameter sets of `avcC`. What may follow them, for some profiles, holds none of either.
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

/// An array of `hvcC`: parameter sets of one type.
#[derive(Debug)]
pub(super) struct Array {
    /// Where its first byte is, which tells the type and whether the array is complete.
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

/// The bytes behind a length of 16 bits at `at`, which moves past them.
fn length_prefixed(bytes: &[u8], end: usize, at: &mut usize) -> Option<Range<usize>> {
    let length = u16::from_be_bytes(*bytes[..end].get(*at..)?.first_chunk()?);
    let start = *at + 2;
    *at = start + usize::from(length);
    (*at <= end).then_some(start..*at)
}

#[cfg(test)]
mod tests;
