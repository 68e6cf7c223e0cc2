//! A stream for tests of its readers. One frame lasts 40 ms.

use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::{InitSegment, Reordering, TrackCodec};
use sightline_protocol::fragment::{FragmentHead, NtpTime};
use sightline_protocol::message::Size;
use sightline_protocol::stream::{StreamName, Variant};

use crate::hub::ring::RingLimits;
use crate::hub::{Hub, Stream, StreamOptions};

/// Codecs of cameras.
pub(super) const H264: &str = "avc1.42001E";
pub(super) const H265: &str = "hvc1.1.6.L93.90";
/// The size of a frame.
const FRAME: usize = 1000;

/// A stream with `low`, without a source.
pub(super) fn stream() -> Stream {
    let name: StreamName = "cam".parse().unwrap();
    Hub::new([name.clone()], RingLimits::default(), true).stream(&name).unwrap()
}

/// A stream without `low`, without a source.
pub(super) fn stream_without_low() -> Stream {
    let name: StreamName = "cam".parse().unwrap();
    Hub::new([name.clone()], RingLimits::default(), false).stream(&name).unwrap()
}

/// A stream with a sub stream, without sources.
pub(super) fn stream_with_sub() -> Stream {
    let name: StreamName = "cam".parse().unwrap();
    let hub = Hub::new([], RingLimits::default(), false);
    hub.set([(name.clone(), StreamOptions { has_sub: true, ..StreamOptions::default() })]);
    hub.stream(&name).unwrap()
}

/// Starts an epoch of `variant`.
pub(super) fn start_epoch(stream: &Stream, variant: Variant, codec: &str, b_frames: bool) {
    stream.rendition(variant).start_epoch(InitSegment {
        bytes: Bytes::from_static(b"init"),
        codec: TrackCodec::Video(codec.parse().unwrap()),
        timescale: 1000,
        reordering: if b_frames { Reordering::Present } else { Reordering::default() },
        size: Some(Size { width: 16, height: 16 }),
        timeline: 1,
    });
}

/// Publishes the frame that is decoded at `decode_time`.
pub(super) fn publish(stream: &Stream, variant: Variant, decode_time: u64, keyframe: bool) {
    publish_captured(stream, variant, decode_time, keyframe, None);
}

/// The same, captured at this time.
pub(super) fn publish_captured(
    stream: &Stream,
    variant: Variant,
    decode_time: u64,
    keyframe: bool,
    capture: Option<NtpTime>,
) {
    let head =
        FragmentHead { track_id: 1, decode_time, duration: 40, samples: 1, keyframe, composition_offset: 0, capture };
    stream.rendition(variant).publish(Fragment::new(&[0; FRAME], head), 0.0);
}
