//! Parses an init segment, `ftyp moov` (ISO/IEC 14496-12, section 8.2.1), and changes it for playback with the least delay.
//!
//! The changes, in place and without moving a byte:
//! - `hev1` becomes `hvc1` with complete parameter set arrays, which Apple's players require (ISO/IEC 14496-15, section 8.4.1).
//!   FFmpeg writes the same parameter sets for both.
//! - `mehd` becomes `free` and the duration in `mvhd` zero. With a duration, Chrome treats the stream as a recording and
//!   buffers several frames instead of one.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mp4_atom::{Avcc, Codec, Decode, Esds, FourCC, Hvcc, Moov, Visual};
use sightline_protocol::codec::{AudioCodec, VideoCodec};
use sightline_protocol::message::{Size, Track, TrackKind};

use super::{boxes, decoder_config, sample_entry};

/// An init segment and its properties.
#[derive(Debug, Clone, PartialEq)]
pub struct InitSegment {
    /// All its bytes.
    pub bytes: Bytes,
    /// The codec, from `avcC`, `hvcC`, `esds` or `dOps`.
    pub codec: TrackCodec,
    /// Ticks per second of the decode times (`mdhd`).
    pub timescale: u32,
    /// The video's size, from the sample entry.
    pub size: Option<Size>,
    /// The source's timeline of the decode times, as [`Track::timeline`]. Not part of the init segment.
    pub timeline: u32,
    /// Whether frames are reordered, as far as known. A change of it ends the epoch.
    pub reordering: Reordering,
}

/// Whether presentation order differs from decode order in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reordering {
    /// Presentation order is decode order.
    #[default]
    Absent,
    /// The same, and the relay has amended the parameter sets to declare it.
    AbsentDeclared,
    /// Presentation order differs: the stream has B-frames.
    Present,
}

/// The codec of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackCodec {
    /// A video codec.
    Video(VideoCodec),
    /// An audio codec.
    Audio(AudioCodec),
}

/// Why an init segment cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// There is no `moov`, or it cannot be parsed.
    #[error("the init segment cannot be read: {0}")]
    Malformed(String),
    /// The number of tracks is not one.
    #[error("the init segment has {0} tracks where one is expected")]
    Tracks(usize),
    /// The track is of another kind than expected.
    #[error("the source has no {}", match .0 { TrackKind::Video => "video", TrackKind::Audio => "audio" })]
    WrongKind(TrackKind),
    /// Browsers do not play the track's codec from MP4 fragments.
    #[error("the source's track is {0}, not H.264, H.265, AAC or Opus")]
    UnsupportedCodec(String),
}

/// `objectTypeIndication` of ISO/IEC 14496-3 audio (ISO/IEC 14496-1, table 5).
const MPEG4_AUDIO: u8 = 0x40;
/// `array_completeness`: all parameter sets are here, none in the samples.
const ARRAY_COMPLETENESS: u8 = 0x80;

impl InitSegment {
    /// Converts ticks of the track's timescale.
    pub fn time(&self, ticks: u64) -> Duration {
        Duration::from_secs_f64(ticks as f64 / f64::from(self.timescale.max(1)))
    }

    /// Parses `bytes` with one track of this kind on that timeline, and changes them for live playback.
    ///
    /// # Errors
    /// See [`InitError`].
    pub fn parse(bytes: Bytes, kind: TrackKind, timeline: u32) -> Result<Self, InitError> {
        let malformed = |what: &str| InitError::Malformed(what.to_owned());
        let at = boxes::find(&bytes, 0..bytes.len(), &[b"moov"]).ok_or_else(|| malformed("no moov box"))?;
        let moov = Moov::decode(&mut &bytes[at.whole]).map_err(|e| InitError::Malformed(e.to_string()))?;
        let [trak] = moov.trak.as_slice() else {
            return Err(InitError::Tracks(moov.trak.len()));
        };
        let handler = match kind {
            TrackKind::Video => FourCC::new(b"vide"),
            TrackKind::Audio => FourCC::new(b"soun"),
        };
        if trak.mdia.hdlr.handler != handler {
            return Err(InitError::WrongKind(kind));
        }
        let entry = trak.mdia.minf.stbl.stsd.codecs.first().ok_or_else(|| malformed("no sample entry"))?;
        let unsupported = || InitError::UnsupportedCodec(sample_entry::name(&bytes));
        let (codec, visual) = track_codec(entry).ok_or_else(unsupported)?;
        let size = visual.map(|visual| Size { width: visual.width, height: visual.height });
        let timescale = trak.mdia.mdhd.timescale;
        Ok(Self { codec, timescale, size, timeline, reordering: Reordering::default(), bytes: live_form(bytes) })
    }

    /// The codec of a video track.
    pub fn video_codec(&self) -> Option<&VideoCodec> {
        match &self.codec {
            TrackCodec::Video(codec) => Some(codec),
            TrackCodec::Audio(_) => None,
        }
    }

    /// The track's description for viewers.
    pub fn track(&self, frame_rate: Option<f64>) -> Track {
        let (kind, mime) = match &self.codec {
            TrackCodec::Video(codec) => (TrackKind::Video, codec.mime()),
            TrackCodec::Audio(codec) => (TrackKind::Audio, codec.mime()),
        };
        Track { kind, mime, timescale: self.timescale, timeline: self.timeline, size: self.size, frame_rate }
    }
}

impl fmt::Display for TrackCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(codec) => codec.fmt(f),
            Self::Audio(codec) => codec.fmt(f),
        }
    }
}

/// The codec of a sample entry, and the fields of video.
fn track_codec(entry: &Codec) -> Option<(TrackCodec, Option<&Visual>)> {
    let (codec, visual) = match entry {
        Codec::Avc1(entry) => (avc(&entry.avcc), &entry.visual),
        Codec::Hev1(entry) => (hevc(&entry.hvcc), &entry.visual),
        Codec::Hvc1(entry) => (hevc(&entry.hvcc), &entry.visual),
        Codec::Mp4a(entry) => return Some((TrackCodec::Audio(aac(&entry.esds)?), None)),
        Codec::Opus(_) => return Some((TrackCodec::Audio(AudioCodec::Opus), None)),
        _ => return None,
    };
    Some((TrackCodec::Video(codec), Some(visual)))
}

fn aac(esds: &Esds) -> Option<AudioCodec> {
    let config = &esds.es_desc.dec_config;
    let object_type = config.dec_specific.as_ref()?.profile;
    (config.object_type_indication == MPEG4_AUDIO).then_some(AudioCodec::Aac { object_type })
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
        // The codec string has the flags in reverse order (ISO/IEC 14496-15, Annex E.3).
        compatibility: u32::from_be_bytes(hvcc.general_profile_compatibility_flags).reverse_bits(),
        high_tier: hvcc.general_tier_flag,
        level: hvcc.general_level_idc,
        constraints: hvcc.general_constraint_indicator_flags,
    }
}

fn live_form(bytes: Bytes) -> Bytes {
    let mut out = Vec::from(bytes);
    let all = 0..out.len();
    if let Some(mehd) = boxes::find(&out, all.clone(), &[b"moov", b"mvex", b"mehd"]) {
        out[mehd.body.start - 4..mehd.body.start].copy_from_slice(b"free");
    }
    if let Some(mvhd) = boxes::find(&out, all, &[b"moov", b"mvhd"]) {
        // Section 8.2.2: version 0 has a 32-bit duration at offset 16, version 1 a 64-bit one at 24.
        let duration = if out[mvhd.body.start] == 0 { 16..20 } else { 24..32 };
        out[mvhd.body][duration].fill(0);
    }
    if let Some(entry) = sample_entry::find(&out).filter(|entry| entry.kind == FourCC::new(b"hev1")) {
        out[entry.body.start - 4..entry.body.start].copy_from_slice(b"hvc1");
        let children = entry.body.start + sample_entry::VISUAL_FIELDS..entry.body.end;
        if let Some(hvcc) = boxes::find(&out, children, &[b"hvcC"]) {
            for array in decoder_config::hvcc_arrays(&out, hvcc.body).unwrap_or_default() {
                out[array.at] |= ARRAY_COMPLETENESS;
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests;
