//! The samples of a fragment: the ranges of its access units in `mdat`, and a copy with amended parameter sets (ISO/IEC
//! 14496-12, section 8.8).

use std::ops::Range;

use mp4_atom::{Decode, Encode, FourCC, Moof, TrunEntry};

use super::boxes::{self, BoxAt};
use crate::nal::{self, Layout};

/// The ranges of a fragment's samples.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    moof: Moof,
    moof_at: BoxAt,
    mdat_at: BoxAt,
    /// The samples of each track run.
    runs: Vec<Vec<Range<usize>>>,
}

impl Samples {
    /// Finds the samples. `None` if their ranges are invalid or unknown.
    pub(super) fn find(fragment: &[u8]) -> Option<Self> {
        let all = || boxes::children(fragment, 0..fragment.len());
        let moof_at = all().find(|found| found.kind == FourCC::new(b"moof"))?;
        let mdat_at = all().find(|found| found.kind == FourCC::new(b"mdat"))?;
        let moof = Moof::decode(&mut &fragment[moof_at.whole.clone()]).ok()?;
        let [traf] = moof.traf.as_slice() else { return None };
        // The end of the previous run, where a run without an offset starts.
        let mut at = None;
        let mut runs = Vec::new();
        for run in &traf.trun {
            // A damaged run may have a huge count without entries. Every sample has at least one byte.
            if run.samples.len() > mdat_at.body.len() {
                return None;
            }
            let mut start = match run.data_offset {
                Some(offset) => moof_at.whole.start.checked_add_signed(offset as isize)?,
                None => at?,
            };
            let mut samples = Vec::with_capacity(run.samples.len());
            for entry in &run.samples {
                let size = entry.size.or(traf.tfhd.default_sample_size)?;
                let end = start.checked_add(size as usize)?;
                (start >= mdat_at.body.start && end <= mdat_at.body.end).then_some(())?;
                samples.push(start..end);
                start = end;
            }
            at = Some(start);
            runs.push(samples);
        }
        Some(Self { moof, moof_at, mdat_at, runs })
    }

    /// The range of each access unit, in decode order.
    pub(super) fn access_units(&self) -> impl Iterator<Item = Range<usize>> {
        self.runs.iter().flatten().cloned()
    }

    /// `fragment` with these edits, which are in order.
    fn edit(&self, fragment: &[u8], edits: &[Edit]) -> Option<Vec<u8>> {
        let media = self.mdat_at.body.clone();
        let mut mdat = Vec::with_capacity(media.len() + edits.len() * 16);
        let mut at = media.start;
        for edit in edits {
            mdat.extend_from_slice(&fragment[at..edit.range.start]);
            mdat.extend_from_slice(&edit.new);
            at = edit.range.end;
        }
        mdat.extend_from_slice(&fragment[at..media.end]);

        let moof = self.moof_after(edits)?;
        let size = u32::try_from(mdat.len() + 8).ok()?;
        let before = &fragment[..self.moof_at.whole.start];
        Some([before, &moof, &size.to_be_bytes(), b"mdat", &mdat].concat())
    }

    /// The `moof` with explicit sample sizes and adjusted offsets.
    fn moof_after(&self, edits: &[Edit]) -> Option<Vec<u8>> {
        let grown = |within: Range<usize>| -> i64 {
            edits.iter().filter(|edit| within.contains(&edit.range.start)).map(Edit::growth).sum()
        };
        let mut moof = self.moof.clone();
        for (run, samples) in moof.traf.iter_mut().flat_map(|traf| &mut traf.trun).zip(&self.runs) {
            let sized = |(entry, sample): (TrunEntry, &Range<usize>)| {
                let size = u32::try_from(sample.len() as i64 + grown(sample.clone())).ok()?;
                Some(TrunEntry { size: Some(size), ..entry })
            };
            run.samples = run.samples.iter().zip(samples).map(sized).collect::<Option<Vec<_>>>()?.into();
        }
        // The offsets count from the start of `moof`, so its length comes first. The offsets do not change it.
        let header = self.mdat_at.body.start - self.mdat_at.whole.start;
        let moved = encode(&moof)?.len() as i64 - self.moof_at.whole.len() as i64 + 8 - header as i64;
        for (run, samples) in moof.traf.iter_mut().flat_map(|traf| &mut traf.trun).zip(&self.runs) {
            let start = samples.first().map_or(self.mdat_at.body.start, |sample| sample.start);
            if let Some(offset) = &mut run.data_offset {
                let moved = moved + grown(self.mdat_at.body.start..start);
                *offset = i32::try_from(i64::from(*offset) + moved).ok()?;
            }
        }
        encode(&moof)
    }
}

/// `fragment` with parameter sets that declare frames to be in order. `None` if no parameter set of its access units needs that.
/// Parameter sets that cannot be amended stay unchanged.
pub(super) fn set_no_reorder(fragment: &[u8], access_units: &[Range<usize>], layout: Layout) -> Option<Vec<u8>> {
    let edits: Vec<Edit> =
        access_units.iter().flat_map(|unit| edits(&fragment[unit.clone()], unit.start, layout)).collect();
    // Runs of other muxers than FFmpeg may be unordered or overlap.
    if edits.is_empty() || !edits.is_sorted_by(|one, next| one.range.end <= next.range.start) {
        return None;
    }
    Samples::find(fragment)?.edit(fragment, &edits)
}

fn encode(moof: &Moof) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    moof.encode(&mut out).ok()?;
    Some(out)
}

/// A NAL unit with its length field, and its replacement.
#[derive(Debug)]
struct Edit {
    range: Range<usize>,
    new: Vec<u8>,
}

impl Edit {
    fn growth(&self) -> i64 {
        self.new.len() as i64 - self.range.len() as i64
    }
}

/// The edits of the access unit that starts at `start`.
fn edits(access_unit: &[u8], start: usize, layout: Layout) -> Vec<Edit> {
    let edit = |unit: Range<usize>| {
        let amended = nal::set_no_reorder(layout.family, &access_unit[unit.clone()]).ok()??;
        let length = amended.len() as u32;
        // All units of a track have the same size of the length field.
        (layout.length_size == 4 || length < 1 << (8 * layout.length_size)).then_some(())?;
        let length = &length.to_be_bytes()[4 - layout.length_size..];
        let range = start + unit.start - layout.length_size..start + unit.end;
        Some(Edit { range, new: [length, &amended].concat() })
    };
    layout.units(access_unit).filter_map(edit).collect()
}

#[cfg(test)]
mod tests;
