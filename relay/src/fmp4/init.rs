//! The init segment: `ftyp moov` (ISO/IEC 14496-12, section 8.2.1), read and brought into the form that browsers play
//! with the least delay.
//!
//! What is changed, in place and without moving a byte:
//! - `hev1` becomes `hvc1` with complete parameter set arrays, which Apple's players insist on (ISO/IEC 14496-15,
//!   section 8.4.1). FFmpeg writes the same parameter sets for both.
//! - `mehd` becomes `free` and the duration in `mvhd` zero: with a duration Chrome takes the stream for a recording
//!   and buffers several frames where a live stream gets one.

use bytes::Bytes;
use mp4_atom::{Avcc, Codec, Decode, FourCC, Hvcc, Moov};
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{Size, Track, TrackKind};

use super::boxes;

/// An init segment and what viewers must know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct InitSegment {
    /// All its bytes.
    pub bytes: Bytes,
    /// The codec, from `avcC` or `hvcC`.
    pub codec: VideoCodec,
    /// Ticks a second of the decode times (`mdhd`).
    pub timescale: u32,
    /// The picture's size, from the sample entry.
    pub size: Size,
}

/// Why an init segment cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// No `moov`, or one that cannot be read.
    #[error("the init segment cannot be read: {0}")]
    Malformed(String),
    /// Not exactly one track.
    #[error("the init segment has {0} tracks where one is expected")]
    Tracks(usize),
    /// The track is no video track.
    #[error("the source has no video")]
    NotVideo,
    /// The video is of a codec that browsers do not play from MP4 fragments.
    #[error("the source's video is {0}, not H.264 or H.265")]
    UnsupportedCodec(String),
}

/// From `moov` down to the sample entries' box.
const STSD: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"];
/// Version, flags and entry count of `stsd`, before its first entry (ISO/IEC 14496-12, section 8.5.2).
const STSD_HEADER: usize = 8;
/// The fixed fields of a visual sample entry, before its boxes (ISO/IEC 14496-12, section 12.1.3).
const VISUAL_SAMPLE_ENTRY: usize = 78;
/// Offset of `numOfArrays` in the HEVC decoder configuration record (ISO/IEC 14496-15, section 8.3.3.1.2).
const HVCC_ARRAYS: usize = 22;
/// `array_completeness`: the parameter sets are all here, none in the samples.
const ARRAY_COMPLETENESS: u8 = 0x80;

impl InitSegment {
    /// Reads `bytes` and brings them into live form.
    ///
    /// # Errors
    /// See [`InitError`].
    pub fn parse(bytes: Bytes) -> Result<Self, InitError> {
        let malformed = |what: &str| InitError::Malformed(what.to_owned());
        let at = boxes::find(&bytes, 0..bytes.len(), &[b"moov"]).ok_or_else(|| malformed("no moov box"))?;
        let moov = Moov::decode(&mut &bytes[at.whole]).map_err(|e| InitError::Malformed(e.to_string()))?;
        let [trak] = moov.trak.as_slice() else {
            return Err(InitError::Tracks(moov.trak.len()));
        };
        if trak.mdia.hdlr.handler != FourCC::new(b"vide") {
            return Err(InitError::NotVideo);
        }
        let entry = trak.mdia.minf.stbl.stsd.codecs.first().ok_or_else(|| malformed("no sample entry"))?;
        let (codec, visual) = match entry {
            Codec::Avc1(entry) => (avc(&entry.avcc), &entry.visual),
            Codec::Hev1(entry) => (hevc(&entry.hvcc), &entry.visual),
            Codec::Hvc1(entry) => (hevc(&entry.hvcc), &entry.visual),
            _ => return Err(InitError::UnsupportedCodec(sample_entry_name(&bytes))),
        };
        let size = Size { width: visual.width, height: visual.height };
        Ok(Self { codec, timescale: trak.mdia.mdhd.timescale, size, bytes: live_form(bytes) })
    }

    /// The track as viewers are told of it.
    pub fn track(&self, frame_rate: Option<f64>) -> Track {
        Track {
            kind: TrackKind::Video,
            mime: self.codec.mime(),
            timescale: self.timescale,
            size: Some(self.size),
            frame_rate,
        }
    }
}

fn avc(avcc: &Avcc) -> VideoCodec {
    VideoCodec::Avc {
        profile: avcc.avc_profile_indication,
        constraints: avcc.profile_compatibility,
        level: avcc.avc_level_indication,
    }
}

fn hevc(hvcc: &Hvcc) -> VideoCodec {
    VideoCodec::Hevc {
        profile_space: hvcc.general_profile_space,
        profile: hvcc.general_profile_idc,
        // The string counts the flags from the other end (ISO/IEC 14496-15, Annex E.3).
        compatibility: u32::from_be_bytes(hvcc.general_profile_compatibility_flags).reverse_bits(),
        high_tier: hvcc.general_tier_flag,
        level: hvcc.general_level_idc,
        constraints: hvcc.general_constraint_indicator_flags,
    }
}

fn sample_entry(bytes: &[u8]) -> Option<boxes::BoxAt> {
    let stsd = boxes::find(bytes, 0..bytes.len(), &STSD)?;
    boxes::children(bytes, stsd.body.start + STSD_HEADER..stsd.body.end).next()
}

fn sample_entry_name(bytes: &[u8]) -> String {
    sample_entry(bytes).map_or_else(|| "of an unknown kind".to_owned(), |entry| format!("{:?}", entry.kind))
}

fn live_form(bytes: Bytes) -> Bytes {
    let mut out = Vec::from(bytes);
    let all = 0..out.len();
    if let Some(mehd) = boxes::find(&out, all.clone(), &[b"moov", b"mvex", b"mehd"]) {
        out[mehd.body.start - 4..mehd.body.start].copy_from_slice(b"free");
    }
    if let Some(mvhd) = boxes::find(&out, all, &[b"moov", b"mvhd"]) {
        // Section 8.2.2: version 0 has the duration as 32 bits at 16, version 1 as 64 bits at 24.
        let duration = if out[mvhd.body.start] == 0 { 16..20 } else { 24..32 };
        out[mvhd.body][duration].fill(0);
    }
    if let Some(entry) = sample_entry(&out).filter(|entry| entry.kind == FourCC::new(b"hev1")) {
        out[entry.body.start - 4..entry.body.start].copy_from_slice(b"hvc1");
        let children = entry.body.start + VISUAL_SAMPLE_ENTRY..entry.body.end;
        if let Some(hvcc) = boxes::find(&out, children, &[b"hvcC"]) {
            complete_arrays(&mut out[hvcc.body]);
        }
    }
    out.into()
}

/// Marks every array of the HEVC decoder configuration record as complete.
fn complete_arrays(record: &mut [u8]) -> Option<()> {
    let arrays = *record.get(HVCC_ARRAYS)?;
    let mut at = HVCC_ARRAYS + 1;
    for _ in 0..arrays {
        *record.get_mut(at)? |= ARRAY_COMPLETENESS;
        let nal_units = u16::from_be_bytes([*record.get(at + 1)?, *record.get(at + 2)?]);
        at += 3;
        for _ in 0..nal_units {
            let len = u16::from_be_bytes([*record.get(at)?, *record.get(at + 1)?]);
            at += 2 + usize::from(len);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
