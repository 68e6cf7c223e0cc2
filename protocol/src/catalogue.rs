//! The response of `GET /api/streams`.

use serde::{Deserialize, Serialize};

use crate::message::{Size, StreamState};
use crate::stream::{StreamName, Variant};

/// All streams of a relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The relay's version (semantic version).
    pub version: String,
    /// The supported WebSocket subprotocols, including [`crate::SUBPROTOCOL`].
    pub protocols: Vec<String>,
    /// Whether the relay offers WebRTC.
    #[serde(default)]
    pub webrtc: bool,
    /// Whether `POST /logout` removes the credentials of this request: they came in a cookie of the relay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub can_log_out: bool,
    /// The streams, in the order of the configuration.
    pub streams: Vec<StreamInfo>,
}

/// One stream of the [`Catalogue`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// The name, as used in every address.
    pub name: StreamName,
    /// What people read instead of the name. Absent if the configuration has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The group of the stream, such as a building. Absent if the configuration has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The status of its source: of the sub stream, while the main stream is idle.
    pub state: StreamState,
    /// Whether the camera sends B-frames. Absent until the source has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b_frames: Option<bool>,
    /// Advice for the operator, in sentences, such as about B-frames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The reader of its source. Absent until the source has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReaderInfo>,
    /// The relay of the cluster that reads the source. Absent if it is the one that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// The audio. Absent if there is none, and until the source has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioInfo>,
    /// The offered variants.
    pub variants: Vec<VariantInfo>,
}

/// What reads the source of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderInfo {
    /// Its name.
    pub name: ReaderName,
    /// Why it is FFmpeg where the relay was to read the source itself, as a clause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A reader of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderName {
    /// The relay itself.
    Direct,
    /// FFmpeg.
    Ffmpeg,
}

/// The audio of a stream, shared by all variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioInfo {
    /// The source's codec, in words.
    pub source: String,
    /// The source's samples per second.
    pub sample_rate: u32,
    /// The source's channels.
    pub channels: u32,
    /// RFC 6381 codec string of the audio sent to viewers. Absent until a viewer has listened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Measured bits per second of the audio sent to viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u64>,
    /// The number of listening viewers.
    pub listeners: usize,
}

/// One variant of a stream. Values are absent until it has run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantInfo {
    /// The variant.
    pub variant: Variant,
    /// The status of its source.
    pub state: StreamState,
    /// RFC 6381 codec string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// The video's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Measured frames per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<f64>,
    /// Measured bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u64>,
    /// The number of viewers.
    pub viewers: usize,
}
