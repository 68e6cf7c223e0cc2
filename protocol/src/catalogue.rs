//! What `GET /api/streams` answers.

use serde::{Deserialize, Serialize};

use crate::message::{Size, StreamState};
use crate::stream::{StreamName, Variant};

/// Every stream of a relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The relay's version (semantic version).
    pub version: String,
    /// The WebSocket subprotocols it speaks, [`crate::SUBPROTOCOL`] among them.
    pub protocols: Vec<String>,
    /// Whether it answers WebRTC viewers.
    #[serde(default)]
    pub webrtc: bool,
    /// In the order of the configuration.
    pub streams: Vec<StreamInfo>,
}

/// One stream of the [`Catalogue`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// Its name, as used in every address.
    pub name: StreamName,
    /// What its source is doing.
    pub state: StreamState,
    /// Whether the camera sends B-frames; absent until it has been watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b_frames: Option<bool>,
    /// What an operator should know, in sentences: for example that the camera sends B-frames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Its audio; absent where it has none, and until it has been watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioInfo>,
    /// The forms in which it can be had.
    pub variants: Vec<VariantInfo>,
}

/// The audio of a stream, which all variants share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioInfo {
    /// The codec that the source sends, in words.
    pub source: String,
    /// Samples a second that the source sends.
    pub sample_rate: u32,
    /// Channels that the source sends.
    pub channels: u32,
    /// RFC 6381 codec string of what viewers get; absent until somebody has listened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Measured bits a second of what viewers get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u64>,
    /// How many viewers listen now.
    pub listeners: usize,
}

/// One variant of a stream. What is not known until it has run is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantInfo {
    /// Its name.
    pub variant: Variant,
    /// What it is doing.
    pub state: StreamState,
    /// RFC 6381 codec string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Size of the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Measured frames a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<f64>,
    /// Measured bits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u64>,
    /// How many viewers it has now.
    pub viewers: usize,
}
