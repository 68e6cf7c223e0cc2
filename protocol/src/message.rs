//! The JSON text messages of `sightline.v1`. Media is sent in between as binary messages: the init segment after its [`Ready`]
//! or [`NewTrack`], then one fragment (`[prft] moof mdat`) per message.
//!
//! Video and audio are separate tracks, each with its own init segments and fragments. A fragment's track_ID (`tfhd`, ISO/IEC
//! 14496-12 section 8.8.7) identifies the track ([`TrackKind::track_id`]). The relay sends each track as it comes: neither waits for the other. Decode times of tracks
//! with the same [`Track::timeline`] count from the same moment, each in its own timescale.
//!
//! On a WebRTC data channel labelled `sightline.v1`, the relay sends only [`ServerMessage::Ready`], for each epoch of the video
//! track.
//!
//! Times in messages are milliseconds since the Unix epoch on the sender's clock, as a JSON number with fractions. Both sides
//! ignore unknown fields, so that either can be upgraded first.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stream::{Quality, Variant, VariantChoice};

/// A message from the viewer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message: the browser's codecs and the viewer's choice.
    Play(Play),
    /// Flow control: the number of messages received. Sent a few times per second.
    Ack(Ack),
    /// The video is not visible: send no media until [`ClientMessage::Resume`]. Other messages continue, and the source keeps
    /// running.
    Pause,
    /// After [`ClientMessage::Pause`]: resume. If a newer key frame than the next fragment has arrived, resume there and send a
    /// [`ServerMessage::Gap`].
    ///
    /// Without a pause: restart, for a viewer that rebuilds its player. The relay sends a [`Ready`] of the next epoch, its init
    /// segment and the newest key frame. If audio is wanted, it also sends a [`ServerMessage::Track`].
    Resume,
    /// The tracks to send from now on. Video continues in its epoch and is always sent. Newly wanted audio starts with a
    /// [`ServerMessage::Track`], once the source has audio. Removed audio stops, but fragments in flight may still arrive.
    Tracks {
        /// The wanted tracks.
        tracks: Vec<TrackKind>,
    },
    /// The video is shown at another size.
    Resize {
        /// See [`Play::size`].
        size: Size,
    },
    /// The viewer chose another quality. The current variant continues until the other has a key frame. If the variant stays and
    /// its reason changes, the relay answers with [`ServerMessage::Reason`].
    Quality {
        /// See [`Play::quality`].
        quality: Quality,
    },
    /// Requests another variant on the same socket.
    Switch {
        /// The wanted variant.
        variant: VariantChoice,
    },
    /// Requests a [`Pong`].
    Ping(Ping),
    /// The response to the relay's [`Ping`].
    Pong(Pong),
}

/// A message from the relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// A new epoch of video. Its init segment is the next binary message.
    Ready(Ready),
    /// Audio starts, or restarts with its source. Its init segment is the next binary message. Never sent before the first
    /// [`ServerMessage::Ready`].
    Track(NewTrack),
    /// The status of the source.
    State(StreamState),
    /// The response to [`ClientMessage::Quality`] if the variant stays, now for this reason.
    Reason {
        /// See [`Ready::why`].
        why: VariantReason,
    },
    /// Fragments of video were skipped before the next one, which is a key frame. Gaps in audio are not announced; its decode
    /// times show them.
    Gap {
        /// The number of skipped fragments.
        skipped: u64,
        /// The reason.
        why: GapReason,
    },
    /// Requests a [`Pong`].
    Ping(Ping),
    /// The response to the viewer's [`Ping`].
    Pong(Pong),
    /// The reason for the close that follows.
    Error {
        /// The kind of error, for the program.
        kind: ErrorKind,
        /// One sentence that names the problem and the remedy, for the person.
        message: String,
    },
}

/// See [`ClientMessage::Play`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Play {
    /// RFC 6381 codec strings that the browser plays. A video codec stands for its profile up to its level
    /// ([`crate::codec::VideoCodec::covers`]).
    pub codecs: Vec<String>,
    /// The variant to send.
    #[serde(default)]
    pub variant: VariantChoice,
    /// The tracks to send, as in [`ClientMessage::Tracks`].
    #[serde(default = "video_only")]
    pub tracks: Vec<TrackKind>,
    /// The size at which the video is shown, in device pixels. A camera's sub stream that fills it replaces the camera's video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// The quality. `high` and `low` prevail over [`Self::variant`]. Absent: as in the address, or as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

fn video_only() -> Vec<TrackKind> {
    vec![TrackKind::Video]
}

/// See [`ClientMessage::Ack`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// The number of binary messages received since the socket opened, including init segments.
    pub received: u64,
    /// The arrival time of the newest of them, which distinguishes a slow forward path from a slow return path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// The lag of the frame on the screen behind the newest fragment received, in milliseconds. Absent before the first frame.
    /// The relay does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<f64>,
}

/// A request for a [`Pong`], which measures liveness, progress and clock offset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    /// The time of sending, on the sender's clock.
    pub sent: f64,
    /// Padding with which the relay probes a link. Ignored, and not part of the [`Pong`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub padding: String,
}

impl Ping {
    /// A ping without padding.
    pub fn new(sent: f64) -> Self {
        Self { sent, padding: String::new() }
    }
}

/// The response to a [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// [`Ping::sent`], unchanged.
    pub sent: f64,
    /// The time of the response, on the responder's clock.
    pub at: f64,
    /// From a viewer: [`Ack::received`] at that time, so that a ping also requests an acknowledgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
}

/// See [`ServerMessage::Ready`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// The number of init segments sent on this socket, from 1.
    pub epoch: u32,
    /// The variant that follows.
    pub variant: Variant,
    /// The reason for the variant.
    pub why: VariantReason,
    /// The tracks of the epoch: one video track.
    pub tracks: Vec<Track>,
    /// Whether the source has audio, which a viewer may request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audio: bool,
}

/// See [`ServerMessage::Track`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTrack {
    /// The number of audio init segments sent on this socket, from 1.
    pub epoch: u32,
    /// The track that follows.
    #[serde(flatten)]
    pub track: Track,
}

/// A track, as a SourceBuffer needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Video or audio.
    pub kind: TrackKind,
    /// The MIME type with the exact codec string, for `MediaSource.isTypeSupported`.
    pub mime: String,
    /// Ticks per second of the track's decode times (`mdhd`, ISO/IEC 14496-12 section 8.4.2).
    pub timescale: u32,
    /// The number of the source's timeline, which counts its starts. All variants and the audio of one run of the source share
    /// it. Audio is in sync if it gets the offset of the video on the same timeline.
    #[serde(default)]
    pub timeline: u32,
    /// The video's width and height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Measured frames per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<f64>,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// The kind of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    /// A video track.
    Video,
    /// An audio track.
    Audio,
}

impl TrackKind {
    /// The track_ID in the track's init segments and fragments.
    pub const fn track_id(self) -> u32 {
        match self {
            Self::Video => 1,
            Self::Audio => 2,
        }
    }
}

/// Why the relay sends the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantReason {
    /// The browser plays the camera's own stream.
    Untouched,
    /// The viewer requested this variant by name.
    Requested,
    /// The browser plays no codec that covers the camera's.
    NotPlayable,
    /// The camera sends B-frames, which low-delay playback shows out of order.
    BFrames,
    /// The link to the viewer does not carry more.
    SlowLink,
    /// The camera's sub stream fills the size at which the video is shown.
    SmallSize,
    /// The viewer chose the quality `low`, which the stream does not have.
    NoLow,
    /// The viewer chose the quality `low`, and does not play the camera's sub stream.
    LowNotPlayable,
}

impl fmt::Display for VariantReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untouched => "the camera's own stream, unchanged",
            Self::Requested => "asked for by name",
            Self::NotPlayable => "this browser cannot decode the camera's codec",
            Self::BFrames => "the camera sends B-frames, which cost delay: turn them off in the camera",
            Self::SlowLink => "this connection is too slow for the full picture",
            Self::SmallSize => "the camera's sub stream, which fills this tile",
            Self::NoLow => {
                "this stream has no low quality: the relay's configuration gives it neither `sub` nor `ingest.low`"
            }
            Self::LowNotPlayable => "this browser cannot decode the camera's sub stream, which is the low quality",
        })
    }
}

/// The status of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StreamState {
    /// No viewers; nothing runs.
    Idle,
    /// Started; no frame yet.
    Starting,
    /// Fragments arrive.
    Live,
    /// There is no video, for this reason.
    Offline {
        /// The kind of failure, for the program.
        reason: OfflineReason,
        /// One sentence that names the problem and the remedy, for the person. Never contains credentials.
        message: String,
        /// Milliseconds until the next retry.
        retry_in_ms: u64,
    },
}

/// The kinds of failure of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfflineReason {
    /// No connection to the source.
    Unreachable,
    /// The source refused the credentials, or requires some.
    Unauthorized,
    /// The source's server does not have this path.
    NotFound,
    /// The source has no video track.
    NoVideo,
    /// The relay cannot forward the source's video codec.
    UnsupportedCodec,
    /// The source ended.
    Ended,
    /// The source stayed connected but sent nothing.
    Silent,
    /// FFmpeg could not be run, or its output was invalid.
    Failed,
}

/// Why fragments were skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The viewer fell behind, because too much was in flight or the link is too slow.
    Behind,
    /// The viewer fell so far behind that the ring no longer held the fragments.
    Overrun,
    /// The viewer had paused.
    Paused,
}

/// Why the relay ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Close code [`crate::close::BAD_REQUEST`].
    BadRequest,
    /// Close code [`crate::close::FORBIDDEN`].
    Forbidden,
    /// Close code [`crate::close::UNKNOWN_STREAM`].
    UnknownStream,
    /// Close code [`crate::close::TOO_SLOW`].
    TooSlow,
    /// Close code [`crate::close::TOO_MANY`].
    TooMany,
}

impl ServerMessage {
    /// The message as JSON text.
    pub fn to_json(&self) -> String {
        // Cannot fail: no map with non-string keys and no failing serializer is involved.
        serde_json::to_string(self).expect("server messages are plain data")
    }
}

impl ClientMessage {
    /// The message as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("client messages are plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wire format is a contract: other implementations rely on these texts.
    #[test]
    fn wire_form_matches_golden_messages() {
        let play: ClientMessage = serde_json::from_str(r#"{"type":"play","codecs":["avc1.640034"]}"#).unwrap();
        assert_eq!(
            play,
            ClientMessage::Play(Play {
                codecs: vec!["avc1.640034".into()],
                variant: VariantChoice::Auto,
                tracks: vec![TrackKind::Video],
                size: None,
                quality: None,
            })
        );
        let low: ClientMessage = serde_json::from_str(r#"{"type":"play","codecs":[],"quality":"low"}"#).unwrap();
        assert!(matches!(low, ClientMessage::Play(Play { quality: Some(Quality::Low), .. })));
        let quality = ClientMessage::Quality { quality: Quality::High };
        assert_eq!(quality.to_json(), r#"{"type":"quality","quality":"high"}"#);
        let reason = ServerMessage::Reason { why: VariantReason::NoLow };
        assert_eq!(reason.to_json(), r#"{"type":"reason","why":"no_low"}"#);
        let size = Size { width: 640, height: 360 };
        let resize = ClientMessage::Resize { size };
        assert_eq!(resize.to_json(), r#"{"type":"resize","size":{"width":640,"height":360}}"#);
        let ack = ClientMessage::Ack(Ack { received: 7, at: None, lag_ms: None });
        assert_eq!(ack.to_json(), r#"{"type":"ack","received":7}"#);
        let ack = ClientMessage::Ack(Ack { received: 7, at: Some(3.5), lag_ms: Some(60.0) });
        assert_eq!(ack.to_json(), r#"{"type":"ack","received":7,"at":3.5,"lag_ms":60.0}"#);
        let switch = ClientMessage::Switch { variant: VariantChoice::H264 };
        assert_eq!(switch.to_json(), r#"{"type":"switch","variant":"h264"}"#);
        let switch = ClientMessage::Switch { variant: VariantChoice::Low };
        assert_eq!(switch.to_json(), r#"{"type":"switch","variant":"low"}"#);
        let tracks = ClientMessage::Tracks { tracks: vec![TrackKind::Video, TrackKind::Audio] };
        assert_eq!(tracks.to_json(), r#"{"type":"tracks","tracks":["video","audio"]}"#);
        assert_eq!(ClientMessage::Pause.to_json(), r#"{"type":"pause"}"#);
        assert_eq!(ClientMessage::Resume.to_json(), r#"{"type":"resume"}"#);

        let ready = ServerMessage::Ready(Ready {
            epoch: 1,
            variant: Variant::Copy,
            why: VariantReason::Untouched,
            tracks: vec![Track {
                kind: TrackKind::Video,
                mime: "video/mp4; codecs=\"hvc1.1.6.L63.90\"".into(),
                timescale: 90_000,
                timeline: 3,
                size: Some(Size { width: 640, height: 360 }),
                frame_rate: None,
            }],
            audio: true,
        });
        assert_eq!(
            ready.to_json(),
            r#"{"type":"ready","epoch":1,"variant":"copy","why":"untouched","tracks":[{"kind":"video","mime":"video/mp4; codecs=\"hvc1.1.6.L63.90\"","timescale":90000,"timeline":3,"size":{"width":640,"height":360}}],"audio":true}"#
        );
        let track = ServerMessage::Track(NewTrack {
            epoch: 2,
            track: Track {
                kind: TrackKind::Audio,
                mime: "audio/mp4; codecs=\"opus\"".into(),
                timescale: 48_000,
                timeline: 3,
                size: None,
                frame_rate: None,
            },
        });
        let text = r#"{"type":"track","epoch":2,"kind":"audio","mime":"audio/mp4; codecs=\"opus\"","timescale":48000,"timeline":3}"#;
        assert_eq!(track.to_json(), text);
        assert_eq!(serde_json::from_str::<ServerMessage>(text).unwrap(), track);
        assert_eq!((TrackKind::Video.track_id(), TrackKind::Audio.track_id()), (1, 2));
        let offline = ServerMessage::State(StreamState::Offline {
            reason: OfflineReason::Unauthorized,
            message: "m".into(),
            retry_in_ms: 500,
        });
        assert_eq!(
            offline.to_json(),
            r#"{"type":"state","state":"offline","reason":"unauthorized","message":"m","retry_in_ms":500}"#
        );
        let gap = ServerMessage::Gap { skipped: 12, why: GapReason::Behind };
        assert_eq!(gap.to_json(), r#"{"type":"gap","skipped":12,"why":"behind"}"#);
        let gap = ServerMessage::Gap { skipped: 12, why: GapReason::Paused };
        assert_eq!(gap.to_json(), r#"{"type":"gap","skipped":12,"why":"paused"}"#);
        assert_eq!(serde_json::to_string(&(Variant::Low, VariantReason::SlowLink)).unwrap(), r#"["low","slow_link"]"#);
        let error = ServerMessage::Error { kind: ErrorKind::TooMany, message: "m".into() };
        assert_eq!(error.to_json(), r#"{"type":"error","kind":"too_many","message":"m"}"#);
        let ping = ServerMessage::Ping(Ping::new(1.5));
        assert_eq!(ping.to_json(), r#"{"type":"ping","sent":1.5}"#);
        let ping = ServerMessage::Ping(Ping { sent: 1.5, padding: "..".to_owned() });
        assert_eq!(ping.to_json(), r#"{"type":"ping","sent":1.5,"padding":".."}"#);
        let pong = ServerMessage::Pong(Pong { sent: 1.5, at: 2.0, received: None });
        assert_eq!(pong.to_json(), r#"{"type":"pong","sent":1.5,"at":2.0}"#);
        let pong = ClientMessage::Pong(Pong { sent: 1.5, at: 2.0, received: Some(7) });
        assert_eq!(pong.to_json(), r#"{"type":"pong","sent":1.5,"at":2.0,"received":7}"#);
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_types_are_refused() {
        assert!(serde_json::from_str::<ClientMessage>(r#"{"type":"ack","received":1,"new":true}"#).is_ok());
        assert!(serde_json::from_str::<ClientMessage>(r#"{"type":"dance"}"#).is_err());
    }
}
