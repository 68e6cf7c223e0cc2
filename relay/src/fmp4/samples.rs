//! The samples of a fragment: where its access units lie in `mdat`, and the fragment with some of them changed
//! (ISO/IEC 14496-12, section 8.8).

use std::ops::Range;

use mp4_atom::{Decode, Encode, FourCC, Moof, TrunEntry};

use super::boxes::{self, BoxAt};
use crate::nal::{self, Layout};

/// Where the samples of a fragment lie.
#[derive(Debug, Clone)]
pub struct Samples {
    moof: Moof,
    moof_at: BoxAt,
    mdat_at: BoxAt,
    /// For each track run of the one track, its samples.
    runs: Vec<Vec<Range<usize>>>,
}

impl Samples {
    /// Finds them; `None` where `fragment` does not say where they are.
    pub fn find(fragment: &[u8]) -> Option<Self> {
        let all = || boxes::children(fragment, 0..fragment.len());
        let moof_at = all().find(|found| found.kind == FourCC::new(b"moof"))?;
        let mdat_at = all().find(|found| found.kind == FourCC::new(b"mdat"))?;
        let moof = Moof::decode(&mut &fragment[moof_at.whole.clone()]).ok()?;
        let [traf] = moof.traf.as_slice() else { return None };
        // The end of the run before, where a run without an offset goes on.
        let mut at = None;
        let mut runs = Vec::new();
        for run in &traf.trun {
            // A run may be a bare count, made huge by damage; no sample is without a byte.
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

    /// Where each access unit lies, in decoding order.
    pub fn access_units(&self) -> impl Iterator<Item = Range<usize>> {
        self.runs.iter().flatten().cloned()
    }

    /// `fragment` with parameter sets that declare that pictures come in order, or `None` where it holds none that does
    /// not. What cannot be amended stays as it is.
    pub fn declare_in_order(&self, fragment: &[u8], layout: Layout) -> Option<Vec<u8>> {
        let edits: Vec<Edit> =
            self.access_units().flat_map(|unit| edits(&fragment[unit.clone()], unit.start, layout)).collect();
        // Runs may lie in any order, or on top of each other, where FFmpeg did not write them.
        if edits.is_empty() || !edits.is_sorted_by(|one, next| one.range.end <= next.range.start) {
            return None;
        }
        let media = self.mdat_at.body.clone();
        let mut mdat = Vec::with_capacity(media.len() + edits.len() * 16);
        let mut at = media.start;
        for edit in &edits {
            mdat.extend_from_slice(&fragment[at..edit.range.start]);
            mdat.extend_from_slice(&edit.new);
            at = edit.range.end;
        }
        mdat.extend_from_slice(&fragment[at..media.end]);

        let moof = self.moof_after(&edits)?;
        let size = u32::try_from(mdat.len() + 8).ok()?;
        let before = &fragment[..self.moof_at.whole.start];
        Some([before, &moof, &size.to_be_bytes(), b"mdat", &mdat].concat())
    }

    /// The `moof`, with the size of each sample written out and offsets that fit.
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
        // Its own length has to be known before the offsets, which count from its start; they do not change it.
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

fn encode(moof: &Moof) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    moof.encode(&mut out).ok()?;
    Some(out)
}

/// A NAL unit with its length, and what comes in its place.
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

/// What there is to amend in the access unit that starts at `start`.
fn edits(access_unit: &[u8], start: usize, layout: Layout) -> Vec<Edit> {
    let edit = |unit: Range<usize>| {
        let amended = nal::declare_in_order(layout.family, &access_unit[unit.clone()]).ok()??;
        let length = amended.len() as u32;
        // The length's own size is the same for all units of the track.
        (layout.length_size == 4 || length < 1 << (8 * layout.length_size)).then_some(())?;
        let length = &length.to_be_bytes()[4 - layout.length_size..];
        let range = start + unit.start - layout.length_size..start + unit.end;
        Some(Edit { range, new: [length, &amended].concat() })
    };
    layout.units(access_unit).filter_map(edit).collect()
}

#[cfg(test)]
mod tests;
