//! The targets `fmp4`, `rtsp` and `rtp`: FFmpeg's output up to what is published of it, a camera's connection, and its packets.

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::demuxer::{DemuxError, Demuxer, Segment};
use sightline_media::fmp4::init::InitSegment;
use sightline_media::fmp4::media_times::Retiming;
use sightline_protocol::fragment::{FragmentHead, NtpTime};
use sightline_protocol::message::TrackKind;

use super::frame_order::{FrameOrder, Publish};
pub use super::rtsp::fuzz::rtp;
pub use super::rtsp_guard::fuzz::rtsp;

/// The length of the pieces in which `data` arrives when it does not arrive as a whole: arbitrary, but the same each time.
pub(crate) fn piece(data: &[u8]) -> usize {
    1 + data.len() % 61
}

/// See [`crate::fuzz`].
pub fn fmp4(data: &[u8]) {
    let (segments, error) = split(data, data.len().max(1));
    assert_eq!((&segments, &error), (&split(data, piece(data)).0, &split(data, piece(data)).1));
    let (mut amends, mut leaves) = (FrameOrder::new(true), FrameOrder::new(false));
    for segment in segments {
        match segment {
            Segment::Init(bytes) => {
                let _ = InitSegment::parse(bytes.clone(), TrackKind::Audio, 1);
                let Ok(init) = InitSegment::parse(bytes, TrackKind::Video, 1) else { continue };
                for published in amends.push_init(init.clone()).iter().chain(&leaves.push_init(init)) {
                    can_be_read(published);
                }
            }
            Segment::Fragment(bytes) => {
                let Ok(fragment) = Fragment::parse(bytes, |head| Some(NtpTime(head.decode_time))) else { continue };
                for published in amends.push_fragment(fragment.clone()).iter().chain(&leaves.push_fragment(fragment)) {
                    can_be_read(published);
                }
            }
        }
    }
}

/// The segments, up to the error if there is one.
fn split(data: &[u8], piece: usize) -> (Vec<Segment>, Option<DemuxError>) {
    let mut demuxer = Demuxer::default();
    let mut segments = Vec::new();
    for bytes in data.chunks(piece) {
        demuxer.buffer().extend_from_slice(bytes);
        loop {
            match demuxer.next_segment() {
                Ok(Some(segment)) => segments.push(segment),
                Ok(None) => break,
                Err(error) => return (segments, Some(error)),
            }
        }
    }
    (segments, None)
}

/// Asserts that a player can read a published segment as it was announced, amended or not.
fn can_be_read(published: &Publish) {
    match published {
        Publish::Epoch(init) => {
            let read = InitSegment::parse(init.bytes.clone(), TrackKind::Video, init.timeline);
            assert_eq!(read, Ok(InitSegment { reordering: Default::default(), ..init.clone() }));
        }
        Publish::Fragment(fragment) => {
            assert_eq!(FragmentHead::read(&fragment.bytes).as_ref(), Ok(&fragment.head));
            let mut head = Vec::new();
            let start = Retiming { decode_time: 0, duration: None, composition_shift: 0 };
            let shared = fragment.bytes.retimed(start, &mut head).expect("a plain viewer can be sent it");
            let frame = [&head[..], &shared].concat();
            let retimed = FragmentHead::read(&frame[frame.len() - fragment.bytes.len()..]);
            assert_eq!(retimed, Ok(FragmentHead { decode_time: 0, ..fragment.head }));
            assert!(fragment.access_units().all(|unit| unit.len() <= fragment.bytes.len()));
        }
    }
}
