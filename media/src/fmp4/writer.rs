//! Writes fragmented MP4 of one track (ISO/IEC 14496-12, section 8.8) for sources without a container. For video: `ftyp moov`
//! from a sample entry, and `prft moof mdat` of each access unit. For audio: `moof mdat` of an access unit.

use bytes::Bytes;
use mp4_atom::{
    Dref, DrefEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Prft, Stbl, Stco,
    Stsd, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, TrunSamples, Url, Vmhd,
};
use sightline_protocol::fragment::{FragmentHead, NtpTime};
use sightline_protocol::message::{Size, TrackKind};

use super::sample_entry::STSD;
use super::websocket_frame::WebSocketFrame;
use super::{Fragment, boxes};

/// Ticks per second: RTP's video clock (RFC 6184, section 8.2.1).
pub const TIMESCALE: u32 = 90_000;

/// The video track.
const TRACK: u32 = TrackKind::Video.track_id();
/// `sample_depends_on`: no other sample, or others (ISO/IEC 14496-12, section 8.8.3.1).
const SYNC_SAMPLE: u32 = 0x0200_0000;
const NON_SYNC_SAMPLE: u32 = 0x0101_0000;
/// The size of a box header with a 32-bit size.
const BOX_HEADER: usize = 8;

/// A value does not fit its MP4 field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value does not fit its MP4 box: {0}")]
pub struct WriteError(String);

impl From<mp4_atom::Error> for WriteError {
    fn from(error: mp4_atom::Error) -> Self {
        Self(error.to_string())
    }
}

/// The init segment of a video track of this size. `sample_entry` is a whole box such as `avc1` (ISO/IEC 14496-15, section
/// 5.4.2).
///
/// # Errors
/// A size does not fit its field.
pub fn init(sample_entry: &[u8], size: Size) -> Result<Bytes, WriteError> {
    let mut out = Vec::new();
    let brands = [b"iso6", b"mp41"].map(FourCC::new);
    Ftyp { major_brand: brands[0], minor_version: 0, compatible_brands: brands.into() }.encode(&mut out)?;
    let stbl = Stbl { stsd: Stsd { codecs: Vec::new() }, stco: Some(Stco::default()), ..Stbl::default() };
    let here = DrefEntry::Url(Url { location: String::new() });
    let minf = Minf {
        vmhd: Some(Vmhd::default()),
        dinf: mp4_atom::Dinf { dref: Dref { entries: vec![here] } },
        stbl,
        ..Minf::default()
    };
    let track = Trak {
        tkhd: Tkhd {
            track_id: TRACK,
            enabled: true,
            in_movie: true,
            width: size.width.into(),
            height: size.height.into(),
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd { timescale: TIMESCALE, language: "und".to_owned(), ..Mdhd::default() },
            hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "video".to_owned() },
            minf,
        },
        ..Trak::default()
    };
    let defaults = Trex { track_id: TRACK, default_sample_description_index: 1, ..Trex::default() };
    let moov = Moov {
        // No duration: the stream is live.
        mvhd: Mvhd { next_track_id: TRACK + 1, ..Mvhd::default() },
        mvex: Some(Mvex { mehd: None, trex: vec![defaults] }),
        trak: vec![track],
        ..Moov::default()
    };
    moov.encode(&mut out)?;
    // The sample entry is inserted unchanged, so that no codec property is lost.
    let enclosing = boxes::chain(&out, 0..out.len(), &STSD).ok_or_else(|| WriteError("no stsd".to_owned()))?;
    let stsd = enclosing.last().map_or(0..0, |stsd| stsd.body.clone());
    let body = [&[0, 0, 0, 0], &1u32.to_be_bytes()[..], sample_entry].concat();
    boxes::replace(&mut out, &enclosing, stsd, &body)
        .ok_or_else(|| WriteError("the sample entry is too large".into()))?;
    Ok(out.into())
}

/// An access unit with its times, in ticks.
#[derive(Debug, Clone, Copy)]
pub struct AccessUnit<'a> {
    /// Length-prefixed NAL units, or a frame of audio.
    pub bytes: &'a [u8],
    /// Decode time and presentation time.
    pub decode_time: u64,
    /// Duration.
    pub duration: u32,
    /// Whether decoding can start with it.
    pub keyframe: bool,
}

/// The fragment of one access unit, captured at this time.
///
/// # Errors
/// A size does not fit its field.
pub fn fragment(sequence_number: u32, unit: AccessUnit<'_>, capture: NtpTime) -> Result<Fragment, WriteError> {
    let prft = Prft { reference_track_id: TRACK, media_time: unit.decode_time, ..Prft::default() };
    let mut boxes = Vec::new();
    Prft { ntp_timestamp: capture.0, ..prft }.encode(&mut boxes)?;
    with_moof(boxes, TRACK, sequence_number, unit, Some(capture))
}

/// The fragment of one access unit of audio.
///
/// # Errors
/// A size does not fit its field.
pub fn audio_fragment(sequence_number: u32, unit: AccessUnit<'_>) -> Result<Fragment, WriteError> {
    with_moof(Vec::new(), TrackKind::Audio.track_id(), sequence_number, unit, None)
}

/// The fragment of `boxes`, then `moof mdat` of this access unit.
fn with_moof(
    mut boxes: Vec<u8>,
    track_id: u32,
    sequence_number: u32,
    unit: AccessUnit<'_>,
    capture: Option<NtpTime>,
) -> Result<Fragment, WriteError> {
    let too_large = || WriteError("an access unit of 4 GiB".to_owned());
    let size = u32::try_from(unit.bytes.len()).map_err(|_| too_large())?;
    let mdat_size = u32::try_from(unit.bytes.len() + BOX_HEADER).map_err(|_| too_large())?;
    let mut moof = moof(track_id, sequence_number, unit, size);
    // The data offset depends on the length of `moof`, which the offset does not change.
    let mut measured = Vec::new();
    moof.encode(&mut measured)?;
    moof.traf[0].trun[0].data_offset = Some((measured.len() + BOX_HEADER) as i32);
    moof.encode(&mut boxes)?;
    let start = boxes.len() + BOX_HEADER;
    let head = FragmentHead {
        track_id,
        decode_time: unit.decode_time,
        duration: unit.duration.into(),
        samples: 1,
        keyframe: unit.keyframe,
        composition_offset: 0,
        capture,
    };
    Ok(Fragment {
        bytes: WebSocketFrame::of(&[&boxes, &mdat_size.to_be_bytes(), b"mdat", unit.bytes]),
        head,
        samples: std::iter::once(start..start + unit.bytes.len()).collect(),
    })
}

fn moof(track_id: u32, sequence_number: u32, unit: AccessUnit<'_>, size: u32) -> Moof {
    let sample = TrunEntry {
        duration: Some(unit.duration),
        size: Some(size),
        flags: Some(if unit.keyframe { SYNC_SAMPLE } else { NON_SYNC_SAMPLE }),
        cts: None,
    };
    let traf = Traf {
        tfhd: Tfhd { track_id, default_base_is_moof: true, ..Tfhd::default() },
        tfdt: Some(Tfdt { base_media_decode_time: unit.decode_time }),
        trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(vec![sample]) }],
        ..Traf::default()
    };
    Moof { mfhd: Mfhd { sequence_number }, traf: vec![traf] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fmp4::demuxer::{Demuxer, Segment};
    use crate::fmp4::init::InitSegment;
    use proptest::prelude::*;
    use sightline_protocol::message::TrackKind;

    /// FFmpeg's init segments of the same cameras.
    const H264: &[u8] = include_bytes!("init/fixtures/h264.init.mp4");
    const H265: &[u8] = include_bytes!("init/fixtures/h265.init.mp4");

    fn sample_entry(init: &[u8]) -> &[u8] {
        let stsd = boxes::find(init, 0..init.len(), &STSD).unwrap();
        let entry = boxes::children(init, stsd.body.start + 8..stsd.body.end).next().unwrap();
        &init[entry.whole]
    }

    #[test]
    fn init_segment_matches_ffmpeg() {
        for theirs in [H264, H265] {
            let parse = |bytes| InitSegment::parse(bytes, TrackKind::Video, 3).unwrap();
            let theirs = parse(Bytes::from_static(theirs));
            let ours = init(sample_entry(&theirs.bytes), theirs.size.unwrap()).unwrap();
            let parsed = parse(ours.clone());
            assert_eq!(parsed.bytes, ours, "it is in live form already");
            assert_eq!((parsed.codec, parsed.size), (theirs.codec.clone(), theirs.size));
            assert_eq!(parsed.timescale, TIMESCALE);
            assert_eq!(sample_entry(&ours), sample_entry(&theirs.bytes));
        }
    }

    proptest! {
        #[test]
        fn written_fragment_parses_to_its_input(
            bytes in prop::collection::vec(any::<u8>(), 1..3000), decode_time in 0..u64::MAX / 2, duration in 1u32..900_000,
            keyframe: bool, number: u32,
        ) {
            let capture = NtpTime(7 << 32);
            let written = fragment(number, AccessUnit { bytes: &bytes, decode_time, duration, keyframe }, capture).unwrap();
            let mut demuxer = Demuxer::default();
            demuxer.buffer().extend_from_slice(&written.bytes);
            let Ok(Some(Segment::Fragment(bytes_read))) = demuxer.next_segment() else { panic!("no fragment") };
            prop_assert_eq!(&bytes_read[..], &written.bytes[..]);
            let read = Fragment::parse(bytes_read, |_| Some(capture)).unwrap();
            prop_assert_eq!(&read, &written);
            prop_assert_eq!(read.head.decode_time, decode_time);
            prop_assert_eq!(read.head.duration, u64::from(duration));
            prop_assert_eq!((read.head.keyframe, read.head.samples), (keyframe, 1));
            prop_assert_eq!((read.head.composition_offset, read.head.capture), (0, Some(capture)));
            prop_assert_eq!(read.access_units().collect::<Vec<_>>(), [&bytes[..]]);
        }
    }
}
