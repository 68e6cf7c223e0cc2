//! The encoder of H.264: `ingest.encoder` and `ingest.vaapi_device`.

use serde::Deserialize;

/// The encoder of H.264.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoder {
    /// Software, on every platform.
    #[default]
    Libx264,
    /// Intel and AMD graphics on Linux.
    Vaapi,
    /// NVIDIA graphics.
    Nvenc,
    /// Encoders of ARM boards, such as the Raspberry Pi 4.
    V4l2m2m,
    /// Apple hardware.
    Videotoolbox,
}

/// The encoder and its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// The encoder.
    pub encoder: Encoder,
    /// The device for [`Encoder::Vaapi`].
    pub vaapi_device: String,
}
