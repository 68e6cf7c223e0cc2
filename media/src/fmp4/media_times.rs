//! Reads and replaces the media times in a fragment's head.
//!
//! A viewer with a timeline of its own gets the shared fragment with these few bytes changed; all of them precede `mdat`.
//!
//! | box | field | ISO/IEC 14496-12 |
//! | --- | --- | --- |
//! | `prft` | `media_time` | section 8.16.5 |
//! | `tfdt` | `baseMediaDecodeTime` | section 8.8.12 |
//! | `tfhd` or `trun` | the duration of a fragment's only sample, if it is shortened | sections 8.8.7, 8.8.8 |
//! | `trun` | `sample_composition_time_offset`, if presentation and decode order differ | section 8.8.8 |
//!
//! Other boxes with media times do not occur: the demuxer drops `sidx`, and FFmpeg writes no `edts` (`-use_editlist 0`). Bytes
//! and times in, bytes out; reads no clock.

use std::ops::Range;

use mp4_atom::FourCC;

use super::boxes::{self, BoxAt};

/// Version and flags of a full box (ISO/IEC 14496-12, section 4.2.2).
const FULL_BOX: usize = 4;
/// `prft`: `reference_track_ID` and `ntp_timestamp`, which precede `media_time`.
const PRFT_FIELDS: usize = 12;
/// `tfhd`: `track_ID`.
const TRACK_ID: usize = 4;
/// `tfhd` flags of the optional fields before the default sample duration, `base_data_offset` and `sample_description_index`,
/// with their lengths.
const TFHD_FIELDS: [(u32, usize); 2] = [(0x1, 8), (0x2, 4)];
/// `tfhd` flag of a default sample duration.
const DEFAULT_DURATION: u32 = 0x8;
/// `trun`: `sample_count`.
const SAMPLE_COUNT: usize = 4;
/// `trun` flags of the run's optional fields, `data_offset` and `first_sample_flags`.
const RUN_FIELDS: [u32; 2] = [0x1, 0x4];
/// `trun` flags of each sample's optional fields in their order, 32 bits each: duration, size, flags, composition offset.
const SAMPLE_FIELDS: [u32; 4] = [DURATIONS, 0x200, 0x400, COMPOSITION_OFFSETS];
const DURATIONS: u32 = 0x100;
const COMPOSITION_OFFSETS: u32 = 0x800;
/// `trun` version with signed composition offsets.
const SIGNED: u8 = 1;

/// Media times of a fragment on another timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retiming {
    /// Decode time of the first sample.
    pub decode_time: u64,
    /// Another duration for the only sample.
    pub duration: Option<u32>,
    /// Added to the composition offset of each sample.
    pub composition_shift: i64,
}

/// A 32-bit or 64-bit number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field(Range<usize>);

impl Field {
    /// The time `before` bytes after version and flags; 64 bits in version 1 of its box.
    fn of(bytes: &[u8], found: &BoxAt, before: usize) -> Option<Self> {
        let start = found.body.start + FULL_BOX + before;
        let length = if *bytes.get(found.body.start)? == 0 { 4 } else { 8 };
        (start + length <= found.body.end).then_some(Self(start..start + length))
    }

    fn read(&self, bytes: &[u8]) -> u64 {
        bytes[self.0.clone()].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }

    /// `None`, without a change, if the value does not fit.
    fn write(&self, bytes: &mut [u8], value: u64) -> Option<()> {
        let all = value.to_be_bytes();
        let (above, kept) = all.split_at(all.len() - self.0.len());
        above.iter().all(|&byte| byte == 0).then_some(())?;
        bytes[self.0.clone()].copy_from_slice(kept);
        Some(())
    }
}

/// A track run.
struct Run {
    flags: u32,
    /// Offset of the first sample's fields.
    samples_at: usize,
    /// Size of each sample's fields.
    stride: usize,
    count: usize,
}

impl Run {
    /// `None` if the box is shorter than its fields.
    fn read(bytes: &[u8], run: &BoxAt) -> Option<Self> {
        let flags = number(bytes, run.body.start)?;
        let fields = |of: &[u32]| 4 * of.iter().filter(|&flag| flags & flag != 0).count();
        let count = number(bytes, run.body.start + FULL_BOX)? as usize;
        let (samples_at, stride) =
            (run.body.start + FULL_BOX + SAMPLE_COUNT + fields(&RUN_FIELDS), fields(&SAMPLE_FIELDS));
        let end = count.checked_mul(stride)?.checked_add(samples_at)?;
        (end <= run.body.end).then_some(Self { flags, samples_at, stride, count })
    }

    /// Offset of the first sample's field with this flag.
    fn field(&self, wanted: u32) -> Option<usize> {
        let before = SAMPLE_FIELDS.iter().filter(|&flag| *flag < wanted && self.flags & flag != 0).count();
        (self.flags & wanted != 0 && self.count > 0).then_some(self.samples_at + 4 * before)
    }
}

/// The composition offsets of a track run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offsets {
    version_at: usize,
    first_at: usize,
    /// Bytes from one offset to the next.
    stride: usize,
    count: usize,
}

impl Offsets {
    fn end(&self) -> usize {
        self.first_at + (self.count - 1) * self.stride + 4
    }

    fn shift(&self, bytes: &mut [u8], by: i64) {
        let signed = bytes[self.version_at] != 0;
        for at in (0..self.count).map(|sample| self.first_at + sample * self.stride) {
            let Some(offset) = bytes[at..].first_chunk_mut::<4>() else { return };
            let old = match (signed, u32::from_be_bytes(*offset)) {
                (true, value) => i64::from(value as i32),
                (false, value) => i64::from(value),
            };
            let new = old.saturating_add(by).clamp(i32::MIN.into(), i32::MAX.into());
            *offset = (new as i32).to_be_bytes();
        }
        bytes[self.version_at] = SIGNED;
    }
}

/// The 32-bit number at `at`.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The offset of the default sample duration.
fn default_duration(bytes: &[u8], tfhd: &BoxAt) -> Option<usize> {
    let flags = number(bytes, tfhd.body.start)?;
    let before: usize = TFHD_FIELDS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, length)| length).sum();
    let at = tfhd.body.start + FULL_BOX + TRACK_ID + before;
    (flags & DEFAULT_DURATION != 0 && at + 4 <= tfhd.body.end).then_some(at)
}

/// See the [module](self). Offsets count from the start of the fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaTimes {
    prft: Option<Field>,
    tfdt: Field,
    /// The duration of the only sample.
    duration: Option<Field>,
    /// The composition offsets of the runs that have any.
    offsets: Vec<Offsets>,
}

impl MediaTimes {
    /// Finds the media times. `None` if `fragment` is not `[prft] moof` of one track.
    pub fn find(fragment: &[u8]) -> Option<Self> {
        let mut top = boxes::children(fragment, 0..fragment.len()).peekable();
        let prft = top.next_if(|found| found.kind == FourCC::new(b"prft"));
        let prft = prft.and_then(|found| Field::of(fragment, &found, PRFT_FIELDS));
        let moof = top.next().filter(|found| found.kind == FourCC::new(b"moof"))?;
        let traf = boxes::find(fragment, moof.body, &[b"traf"])?;
        let (mut tfhd, mut tfdt, mut offsets, mut runs) = (None, None, Vec::new(), Vec::new());
        for found in boxes::children(fragment, traf.body) {
            match found.kind.as_ref() {
                b"tfhd" => tfhd = Some(found),
                b"tfdt" => tfdt = Some(found),
                b"trun" => {
                    let run = Run::read(fragment, &found)?;
                    offsets.extend(run.field(COMPOSITION_OFFSETS).map(|first_at| Offsets {
                        version_at: found.body.start,
                        first_at,
                        stride: run.stride,
                        count: run.count,
                    }));
                    runs.push(run);
                }
                _ => {}
            }
        }
        let duration = match &runs[..] {
            [run @ Run { count: 1, .. }] => run.field(DURATIONS).or_else(|| default_duration(fragment, &tfhd?)),
            _ => None,
        };
        let duration = duration.map(|at| Field(at..at + 4));
        Some(Self { prft, tfdt: Field::of(fragment, &tfdt?, 0)?, duration, offsets })
    }

    /// Length of the fragment's head that contains everything that [`Self::retime`] changes.
    pub fn head_len(&self, retiming: Retiming) -> usize {
        let offsets = self.offsets.iter().filter(|_| retiming.composition_shift != 0).map(Offsets::end);
        let duration = self.duration.iter().filter(|_| retiming.duration.is_some()).map(|field| field.0.end);
        offsets.chain(duration).max().unwrap_or(0).max(self.tfdt.0.end)
    }

    /// Writes the times into the head, which has at least [`Self::head_len`] bytes. Runs without composition
    /// offsets have no room for any; their presentation order is decode order.
    ///
    /// `None`, without a change, if the decode time does not fit its field. Also if a new duration is given and the fragment
    /// does not have exactly one sample with a duration.
    pub fn retime(&self, head: &mut [u8], retiming: Retiming) -> Option<()> {
        let Retiming { decode_time, duration, composition_shift } = retiming;
        let duration = match duration {
            Some(duration) => Some((self.duration.as_ref()?, duration)),
            None => None,
        };
        let shift = decode_time.wrapping_sub(self.tfdt.read(head)).wrapping_add_signed(composition_shift);
        self.tfdt.write(head, decode_time)?;
        if let Some((field, duration)) = duration {
            field.write(head, duration.into())?;
        }
        if let Some(prft) = &self.prft {
            // No reader depends on `media_time`; a value that does not fit stays unchanged.
            let _ = prft.write(head, prft.read(head).wrapping_add(shift));
        }
        if composition_shift != 0 {
            self.offsets.iter().for_each(|run| run.shift(head, composition_shift));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
