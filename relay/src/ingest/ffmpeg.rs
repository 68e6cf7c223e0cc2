//! FFmpeg's command lines, as pure functions, and the check that there is an FFmpeg to run them.
//!
//! Nothing that a viewer sends ever becomes part of one: they are made of the configuration alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::source::{Encode, RtspTransport, Source};

/// The oldest release with every option used here (`-fps_mode`); Debian 12 has it.
const OLDEST: (u32, u32) = (5, 1);

/// Seconds between key frames where we encode: a viewer that must skip waits half of it on average, and shorter
/// costs bits.
const GOP_SECONDS: u32 = 1;

/// What encodes H.264.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoder {
    /// In software, everywhere.
    #[default]
    Libx264,
    /// Intel and AMD graphics on Linux.
    Vaapi,
    /// NVIDIA graphics.
    Nvenc,
    /// The encoders of ARM boards, such as the Raspberry Pi 4.
    V4l2m2m,
    /// Apple.
    Videotoolbox,
}

/// How H.264 is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// With what.
    pub encoder: Encoder,
    /// The device for [`Encoder::Vaapi`].
    pub vaapi_device: String,
}

/// Written by one frame's fragment, nothing held back: each fragment as soon as its duration is known, with the time
/// it was captured in front (`prft`), in an init segment without a duration (ISO/IEC 14496-12, section 8.8).
const OUTPUT: &[&str] = &[
    "-f",
    "mp4",
    "-movflags",
    "+frag_every_frame+empty_moov+default_base_moof",
    "-write_prft",
    "wallclock",
    "-flush_packets",
    "1",
    "pipe:1",
];

/// The arguments that read `source`; a connection that stays silent for `silence` is given up.
pub fn read_source(source: &Source, silence: Duration, encoding: &Encoding) -> Vec<String> {
    let mut args = global();
    if let Some(Encode::H264) = source.encode {
        extend(&mut args, before_input(encoding));
    }
    if matches!(source.url.scheme(), Some("rtsp" | "rtsps")) {
        let transport = match source.rtsp_transport {
            RtspTransport::Tcp => "tcp",
            RtspTransport::Udp => "udp",
        };
        extend(&mut args, ["-rtsp_transport", transport, "-timeout", &silence.as_micros().to_string()]);
        // RTSP announces its codec. Guessing a frame rate, which a copy does not need, is what takes the seconds.
        extend(&mut args, ["-fpsprobesize", "0", "-analyzeduration", "500000"]);
    }
    extend(&mut args, source.input_options.iter().map(String::as_str));
    extend(&mut args, ["-i", source.url.reveal(), "-map", "0:v:0"]);
    match source.encode {
        None => extend(&mut args, ["-c:v", "copy"]),
        Some(Encode::H264) => extend(&mut args, h264(encoding)),
        Some(Encode::H265) => extend(&mut args, H265),
    }
    extend(&mut args, OUTPUT);
    args
}

/// The arguments that turn fragments on standard input into H.264 fragments.
pub fn transcode(encoding: &Encoding) -> Vec<String> {
    let mut args = global();
    extend(&mut args, before_input(encoding));
    // One decoder thread: frame threads hold a frame each. The init segment tells all, so there is nothing to probe.
    extend(&mut args, ["-flags", "low_delay", "-threads", "1", "-probesize", "32", "-analyzeduration", "0"]);
    extend(&mut args, ["-f", "mp4", "-i", "pipe:0", "-map", "0:v:0", "-fps_mode", "passthrough"]);
    extend(&mut args, h264(encoding));
    extend(&mut args, OUTPUT);
    args
}

fn global() -> Vec<String> {
    ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning"].map(str::to_owned).to_vec()
}

fn extend<'a>(args: &mut Vec<String>, more: impl IntoIterator<Item = impl AsRef<str> + 'a>) {
    args.extend(more.into_iter().map(|arg| arg.as_ref().to_owned()));
}

fn before_input(encoding: &Encoding) -> Vec<&str> {
    match encoding.encoder {
        Encoder::Vaapi => vec!["-vaapi_device", &encoding.vaapi_device],
        _ => Vec::new(),
    }
}

/// H.264 that every browser shows at once: no B-frames, nothing held back in the encoder, a key frame a second
/// whatever the frame rate.
fn h264(encoding: &Encoding) -> Vec<String> {
    let chosen: &[&str] = match encoding.encoder {
        Encoder::Libx264 => &[
            "-c:v",
            "libx264",
            "-preset",
            "superfast",
            "-tune",
            "zerolatency",
            "-profile:v",
            "high",
            "-crf",
            "23",
            "-pix_fmt",
            "yuv420p",
        ],
        Encoder::Vaapi => &["-vf", "format=nv12,hwupload", "-c:v", "h264_vaapi", "-async_depth", "1"],
        Encoder::Nvenc => &[
            "-c:v",
            "h264_nvenc",
            "-preset",
            "p1",
            "-tune",
            "ull",
            "-zerolatency",
            "1",
            "-forced-idr",
            "1",
            "-pix_fmt",
            "yuv420p",
        ],
        Encoder::V4l2m2m => &["-c:v", "h264_v4l2m2m", "-pix_fmt", "yuv420p"],
        Encoder::Videotoolbox => &["-c:v", "h264_videotoolbox", "-realtime", "1", "-pix_fmt", "yuv420p"],
    };
    let key_frames = format!("expr:gte(t,n_forced*{GOP_SECONDS})");
    let mut args: Vec<String> = chosen.iter().map(|&arg| arg.to_owned()).collect();
    extend(&mut args, ["-bf", "0", "-force_key_frames", &key_frames]);
    args
}

/// H.265 for sources that have to be encoded, the demo's among them.
const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-x265-params",
    "log-level=none:bframes=0:pools=1:frame-threads=1",
    "-pix_fmt",
    "yuv420p",
    "-force_key_frames",
    "expr:gte(t,n_forced*1)",
];

/// Why FFmpeg cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FfmpegError {
    /// It could not be started.
    #[error(
        "cannot run FFmpeg at {0:?} ({1}): install it (`apt install ffmpeg`) or name it with `ffmpeg = \"/path/to/ffmpeg\"` in the configuration"
    )]
    Missing(PathBuf, std::io::Error),
    /// It is older than [`OLDEST`].
    #[error("FFmpeg at {0:?} is version {1}, too old: {major}.{minor} or newer is needed", major = OLDEST.0, minor = OLDEST.1)]
    TooOld(PathBuf, String),
    /// It ran, and what it said is not what FFmpeg says.
    #[error(
        "{0:?} does not answer `-version` as FFmpeg does: name FFmpeg with `ffmpeg = \"/path/to/ffmpeg\"` in the configuration"
    )]
    NotFfmpeg(PathBuf),
}

/// Runs `ffmpeg -version` and returns the version if it will do.
///
/// # Errors
/// See [`FfmpegError`].
pub fn check(ffmpeg: &Path) -> Result<String, FfmpegError> {
    let output =
        Command::new(ffmpeg).arg("-version").output().map_err(|e| FfmpegError::Missing(ffmpeg.to_owned(), e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = version(&text).ok_or_else(|| FfmpegError::NotFfmpeg(ffmpeg.to_owned()))?;
    if is_old(version) {
        return Err(FfmpegError::TooOld(ffmpeg.to_owned(), version.to_owned()));
    }
    Ok(version.to_owned())
}

/// The version in the first line of `ffmpeg -version`.
fn version(text: &str) -> Option<&str> {
    text.strip_prefix("ffmpeg version ")?.split_whitespace().next()
}

/// Builds from git have names such as `N-109542-g…` and `n7.1`; the former are taken for new.
fn is_old(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('n').split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), minor) => (major, minor.and_then(Result::ok).unwrap_or(0)) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
