//! The JSON text messages of `sightline.v1`. Media travels beside them as binary messages: after every [`Ready`] and
//! every [`NewTrack`] the init segment that it announces, then one fragment (`[prft] moof mdat`) a message.
//!
//! Video and audio are tracks of their own, each with its own init segments and fragments; a fragment's track_ID
//! (`tfhd`, ISO/IEC 14496-12 section 8.8.7) tells which it belongs to ([`TrackKind::track_id`]). Video never waits for
//! audio. Decode times of tracks with the same [`Track::timeline`] count from the same moment, each in its own timescale.
//!
//! Every time in a message is in milliseconds since the Unix epoch on the sender's clock, as a JSON number with
//! fractions. Unknown fields are ignored by both sides, so that either can be upgraded first.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stream::{Variant, VariantChoice};

/// What a viewer sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message: what this browser can play and what it would like.
    Play(Play),
    /// Flow control: what has arrived. Sent a few times a second.
    Ack(Ack),
    /// Nobody can see the picture: send no media until [`ClientMessage::Resume`]. Everything else goes on, and the
    /// stream's source runs on.
    Pause,
    /// After [`ClientMessage::Pause`]: go on, with the newest key frame where a newer one than the next fragment has
    /// come meanwhile; a [`ServerMessage::Gap`] says so. Without a pause before it: start again, with a [`Ready`] of
    /// the next epoch, its init segment and the newest key frame, and a [`ServerMessage::Track`] of the audio if it is
    /// wanted, for a viewer that has to rebuild its player.
    Resume,
    /// Which tracks to send from now on. Video goes on in its epoch, and is sent whether or not it is named. Audio that
    /// is newly wanted begins with a [`ServerMessage::Track`], as soon as there is some; of a source without audio, never.
    /// Audio that is no longer named is no longer sent: what was on its way may still come.
    Tracks {
        /// The tracks wanted.
        tracks: Vec<TrackKind>,
    },
    /// Asks for another variant on the same socket.
    Switch {
        /// The variant wanted from now on.
        variant: VariantChoice,
    },
    /// Asks the relay for a [`Pong`].
    Ping(Ping),
    /// Answers the relay's [`Ping`].
    Pong(Pong),
}

/// What the relay sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// A new epoch of video begins: its init segment is the next binary message.
    Ready(Ready),
    /// Audio begins, or begins anew because its source did: its init segment is the next binary message. Never before
    /// the first [`ServerMessage::Ready`].
    Track(NewTrack),
    /// What the source is doing.
    State(StreamState),
    /// Fragments of video were left out before the next one, which is a key frame. Of audio nothing is said: its decode
    /// times tell.
    Gap {
        /// How many fragments were not sent.
        skipped: u64,
        /// Why.
        why: GapReason,
    },
    /// Asks the viewer for a [`Pong`].
    Ping(Ping),
    /// Answers the viewer's [`Ping`].
    Pong(Pong),
    /// The reason for the close that follows.
    Error {
        /// The kind of failure, for the program.
        kind: ErrorKind,
        /// One sentence that names the thing and the remedy, for the person.
        message: String,
    },
}

/// See [`ClientMessage::Play`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Play {
    /// RFC 6381 codec strings that the browser said it plays; of video, each stands for its profile up to its level
    /// ([`crate::codec::VideoCodec::covers`]).
    pub codecs: Vec<String>,
    /// Which variant to send.
    #[serde(default)]
    pub variant: VariantChoice,
    /// Which tracks to send, as in [`ClientMessage::Tracks`].
    #[serde(default = "video_only")]
    pub tracks: Vec<TrackKind>,
}

fn video_only() -> Vec<TrackKind> {
    vec![TrackKind::Video]
}

/// See [`ClientMessage::Ack`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// How many binary messages have arrived since the socket opened, init segments among them.
    pub received: u64,
    /// When the newest of them arrived; lets the relay tell a slow way there from a slow way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// How far the picture on screen is behind the newest fragment received, in milliseconds; absent before the
    /// first picture. The relay does not act on it so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<f64>,
}

/// A question that a [`Pong`] answers: is the other side there, how far, and what time is it there?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    /// When this was sent, on the sender's clock.
    pub sent: f64,
    /// Means nothing and is not answered with: its length is what the relay tries a link with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub padding: String,
}

impl Ping {
    /// A ping without padding.
    pub fn new(sent: f64) -> Self {
        Self { sent, padding: String::new() }
    }
}

/// The answer to a [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// [`Ping::sent`], unchanged.
    pub sent: f64,
    /// When the ping was answered, on the answerer's clock.
    pub at: f64,
    /// From a viewer: [`Ack::received`] at that moment, so that the relay can ask for an acknowledgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
}

/// See [`ServerMessage::Ready`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// Counts the init segments sent on this socket, from 1.
    pub epoch: u32,
    /// The variant that follows.
    pub variant: Variant,
    /// Why this variant.
    pub why: VariantReason,
    /// One entry for each track of the epoch: the video track.
    pub tracks: Vec<Track>,
    /// Whether the source has audio, which a viewer may ask for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audio: bool,
}

/// See [`ServerMessage::Track`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTrack {
    /// Counts the init segments of audio sent on this socket, from 1.
    pub epoch: u32,
    /// The track that follows.
    #[serde(flatten)]
    pub track: Track,
}

/// A track as a SourceBuffer needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Video or audio.
    pub kind: TrackKind,
    /// The MIME type with the exact codec string, as `MediaSource.isTypeSupported` takes it.
    pub mime: String,
    /// Ticks a second of the track's decode times (`mdhd`, ISO/IEC 14496-12 section 8.4.2).
    pub timescale: u32,
    /// Which of the source's timelines its decode times are on: a number for each time the source was started. All
    /// variants and the audio made from one run of the source share it, so that audio is in sync where it gets the
    /// offset that video of the same timeline has.
    #[serde(default)]
    pub timeline: u32,
    /// Width and height of the picture in pixels, for video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Frames a second, where it has been measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<f64>,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Pixels across.
    pub width: u16,
    /// Pixels down.
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
    /// The track_ID of its init segments and fragments.
    pub const fn track_id(self) -> u32 {
        match self {
            Self::Video => 1,
            Self::Audio => 2,
        }
    }
}

/// Why the relay sends the variant it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantReason {
    /// The browser plays the camera's own bytes.
    Untouched,
    /// The viewer asked for this variant by name.
    Requested,
    /// The browser did not name a codec that covers the camera's.
    NotPlayable,
    /// The camera sends B-frames, which low-delay playback shows out of order.
    BFrames,
    /// The link to the viewer does not carry more.
    SlowLink,
}

impl fmt::Display for VariantReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untouched => "the camera's own picture, untouched",
            Self::Requested => "asked for by name",
            Self::NotPlayable => "this browser cannot decode the camera's codec",
            Self::BFrames => "the camera sends B-frames, which cost delay: turn them off in the camera",
            Self::SlowLink => "this connection is too slow for the full picture",
        })
    }
}

/// What a source is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StreamState {
    /// Nobody watches; nothing runs.
    Idle,
    /// Started; no picture yet.
    Starting,
    /// Fragments arrive.
    Live,
    /// There is no picture, and this is why.
    Offline {
        /// The kind of failure, for the program.
        reason: OfflineReason,
        /// One sentence that names the thing and the remedy, for the person. Never holds credentials.
        message: String,
        /// Milliseconds until the next try.
        retry_in_ms: u64,
    },
}

/// The kinds of failure of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfflineReason {
    /// No connection to the source.
    Unreachable,
    /// The source refused the credentials, or wants some.
    Unauthorized,
    /// The source's server does not know this path.
    NotFound,
    /// The source has no video track.
    NoVideo,
    /// The source's video is of a codec that cannot be forwarded.
    UnsupportedCodec,
    /// The source was playing and ended.
    Ended,
    /// The source stayed connected and sent nothing.
    Silent,
    /// FFmpeg could not be run, or what it wrote made no sense.
    Failed,
}

/// Why fragments were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Too much was in flight to this viewer without an acknowledgement.
    Behind,
    /// The viewer was so slow that the fragments were no longer kept.
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
        // No map with non-string keys and no failing serializer is involved: this cannot fail.
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

    /// The wire is a contract: these texts are what other implementations are written against.
    #[test]
    fn the_wire_form_is_fixed() {
        let play: ClientMessage = serde_json::from_str(r#"{"type":"play","codecs":["avc1.640034"]}"#).unwrap();
        assert_eq!(
            play,
            ClientMessage::Play(Play {
                codecs: vec!["avc1.640034".into()],
                variant: VariantChoice::Auto,
                tracks: vec![TrackKind::Video]
            })
        );
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
    fn unknown_fields_are_ignored_and_unknown_types_refused() {
        assert!(serde_json::from_str::<ClientMessage>(r#"{"type":"ack","received":1,"new":true}"#).is_ok());
        assert!(serde_json::from_str::<ClientMessage>(r#"{"type":"dance"}"#).is_err());
    }
}
