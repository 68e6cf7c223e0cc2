//! The payloads of the cluster's messages. Pure.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sightline_media::fmp4::init::{InitError, InitSegment, Reordering};
use sightline_media::nut::{SourceAudio, SourceCodec};
use sightline_protocol::message::{StreamState, TrackKind};
use sightline_protocol::stream::StreamName;

/// A rendition of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RenditionId {
    Copy,
    H264,
    Low,
    Audio,
    /// The audio as Opus.
    Opus,
}

impl RenditionId {
    pub(super) const ALL: [Self; 5] = [Self::Copy, Self::H264, Self::Low, Self::Audio, Self::Opus];

    /// The name in subjects.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::H264 => "h264",
            Self::Low => "low",
            Self::Audio => "audio",
            Self::Opus => "opus",
        }
    }

    /// The kind of its track.
    pub(super) const fn kind(self) -> TrackKind {
        match self {
            Self::Audio | Self::Opus => TrackKind::Audio,
            _ => TrackKind::Video,
        }
    }
}

/// A relay and its own streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Announcement {
    /// Its name.
    pub(super) relay: String,
    /// When it started: milliseconds since the Unix epoch.
    pub(super) epoch: u64,
    pub(super) streams: Vec<AnnouncedStream>,
}

/// A stream of an [`Announcement`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AnnouncedStream {
    pub(super) name: StreamName,
    /// Since when the relay announces it: milliseconds since the Unix epoch.
    pub(super) since: u64,
    /// Whether it offers `low` as a transcode.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) low: bool,
    /// Whether its `low` is the camera's sub stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) sub: bool,
    /// The source's audio, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<AudioFormat>,
}

/// The audio of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AudioFormat {
    codec: String,
    sample_rate: u32,
    channels: u32,
}

impl From<SourceAudio> for AudioFormat {
    fn from(audio: SourceAudio) -> Self {
        Self { codec: audio.codec.to_string(), sample_rate: audio.sample_rate, channels: audio.channels }
    }
}

impl From<AudioFormat> for SourceAudio {
    fn from(format: AudioFormat) -> Self {
        let codec = match &*format.codec {
            "AAC" => SourceCodec::Aac,
            "Opus" => SourceCodec::Opus,
            _ => SourceCodec::Other(format.codec),
        };
        Self { codec, sample_rate: format.sample_rate, channels: format.channels }
    }
}

/// The interest of a relay in a rendition of another one, for a few seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Interest {
    /// The interested relay.
    pub(super) relay: String,
    /// The stream's name on the other relay.
    pub(super) stream: StreamName,
    pub(super) rendition: RenditionId,
    /// Whether the interest ends now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ends: bool,
}

/// The head of the answer to a join. The messages of the newest GOP follow, as they were published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) status: StreamState,
    /// The messages that follow.
    pub(super) messages: u32,
}

/// Properties of an init segment that are not part of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct InitHead {
    /// [`Announcement::epoch`].
    epoch: u64,
    timeline: u32,
    reordering: ReorderingName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audio: Option<AudioFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReorderingName {
    Absent,
    AbsentDeclared,
    Present,
}

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    /// The payload is too short for its parts.
    #[error("the message is cut off")]
    Truncated,
    /// Its JSON is not as expected.
    #[error("the message cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Its init segment cannot be used.
    #[error(transparent)]
    Init(#[from] InitError),
}

/// The payload of a [`PacketKind::Init`](super::wire::PacketKind::Init) message: the length of a JSON head, the head, the init segment.
pub(super) fn write_init(init: &InitSegment, epoch: u64, audio: Option<SourceAudio>) -> Bytes {
    let reordering = match init.reordering {
        Reordering::Absent => ReorderingName::Absent,
        Reordering::AbsentDeclared => ReorderingName::AbsentDeclared,
        Reordering::Present => ReorderingName::Present,
    };
    let head = json(&InitHead { epoch, timeline: init.timeline, reordering, audio: audio.map(Into::into) });
    let mut payload = BytesMut::with_capacity(4 + head.len() + init.bytes.len());
    payload.put_u32(head.len() as u32);
    payload.put_slice(&head);
    payload.put_slice(&init.bytes);
    payload.freeze()
}

/// Reads a payload of [`write_init`]: the init segment, and the source's audio.
pub(super) fn read_init(payload: &Bytes, kind: TrackKind) -> Result<(InitSegment, Option<SourceAudio>), MessageError> {
    let (length, rest) = payload.split_first_chunk::<4>().ok_or(MessageError::Truncated)?;
    let length = u32::from_be_bytes(*length) as usize;
    let head: InitHead = serde_json::from_slice(rest.get(..length).ok_or(MessageError::Truncated)?)?;
    let mut init = InitSegment::parse(payload.slice(4 + length..), kind, timeline(head.epoch, head.timeline))?;
    init.reordering = match head.reordering {
        ReorderingName::Absent => Reordering::Absent,
        ReorderingName::AbsentDeclared => Reordering::AbsentDeclared,
        ReorderingName::Present => Reordering::Present,
    };
    Ok((init, head.audio.map(Into::into)))
}

/// The number of a timeline of another relay, which counts from 1 at each of its starts. Tracks of one timeline have the same
/// number, and timelines before and after a restart have different ones.
fn timeline(epoch: u64, timeline: u32) -> u32 {
    // Fibonacci hashing: starts a millisecond apart are far apart.
    ((epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32).wrapping_add(timeline)
}

/// A message as JSON.
pub(super) fn json(message: &impl Serialize) -> Bytes {
    // Cannot fail: no map with non-string keys and no failing serializer is involved.
    serde_json::to_vec(message).expect("messages are plain data").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const H264: &[u8] = include_bytes!("../../../media/src/fmp4/init/fixtures/h264.init.mp4");

    #[test]
    fn announcement_matches_its_golden_text() {
        let audio = SourceAudio { codec: SourceCodec::Other("G.711 A-law".into()), sample_rate: 8000, channels: 1 };
        let stream = AnnouncedStream { name: "yard".parse().unwrap(), since: 7, low: true, sub: false, audio: None };
        let other = AnnouncedStream { low: false, sub: true, audio: Some(audio.clone().into()), ..stream.clone() };
        let announcement = Announcement { relay: "a".into(), epoch: 5, streams: vec![stream, other] };
        let text = r#"{"relay":"a","epoch":5,"streams":[{"name":"yard","since":7,"low":true},{"name":"yard","since":7,"sub":true,"audio":{"codec":"G.711 A-law","sample_rate":8000,"channels":1}}]}"#;
        assert_eq!(json(&announcement), text);
        let read: Announcement = serde_json::from_str(text).unwrap();
        assert_eq!(read, announcement);
        assert_eq!(read.streams[1].audio.clone().map(SourceAudio::from), Some(audio));
    }

    #[test]
    fn init_segment_keeps_what_is_not_in_its_bytes() {
        for reordering in [Reordering::Absent, Reordering::AbsentDeclared, Reordering::Present] {
            let parsed = InitSegment::parse(Bytes::from_static(H264), TrackKind::Video, 3).unwrap();
            let init = InitSegment { reordering, ..parsed };
            let audio = SourceAudio { codec: SourceCodec::Aac, sample_rate: 48_000, channels: 2 };
            let (read, heard) = read_init(&write_init(&init, 5, Some(audio.clone())), TrackKind::Video).unwrap();
            assert_eq!(heard, Some(audio));
            assert_eq!(read, InitSegment { timeline: timeline(5, 3), ..init });
        }
    }

    #[test]
    fn timelines_of_two_starts_differ() {
        assert_eq!(timeline(1, 2), timeline(1, 1) + 1);
        for epoch in 1_700_000_000_000..1_700_000_001_000 {
            let apart = timeline(epoch, 1).abs_diff(timeline(epoch + 1, 1));
            assert!(apart > 1_000_000, "{epoch}: {apart}");
        }
    }

    #[test]
    fn cut_off_init_message_is_an_error() {
        for payload in [&b""[..], b"\0\0\0\x08{}", b"\0\0\0\x02{}", b"\xff\xff\xff\xff"] {
            assert!(read_init(&Bytes::from_static(payload), TrackKind::Video).is_err());
        }
    }

    proptest! {
        #[test]
        fn damaged_init_message_is_read_without_a_panic(
            at in 0usize..900, byte in any::<u8>(), length in 0usize..900,
        ) {
            let init = InitSegment::parse(Bytes::from_static(H264), TrackKind::Video, 3).unwrap();
            let mut payload = write_init(&init, 5, None).to_vec();
            if let Some(damaged) = payload.get_mut(at) {
                *damaged = byte;
            }
            payload.truncate(length);
            let _ = read_init(&payload.into(), TrackKind::Video);
        }
    }
}
