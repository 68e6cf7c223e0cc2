//! FFmpeg's command lines, as pure functions, and the check that there is an FFmpeg to run them.
//!
//! Nothing that a viewer sends becomes part of one but two numbers, the size and the quality of a [`still`]: they are made of the
//! configuration.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::environment;
use crate::config::{Encode, Encoder, Encoding, RtspTransport, Source, SourceUrl};
use low::LowVariant;

pub mod audio;
pub mod low;
pub mod still;

/// The oldest release with every option used here (`-fps_mode`); Debian 12 has it.
const OLDEST: (u32, u32) = (5, 1);

/// Seconds between key frames where we encode: a viewer that must skip waits half of it on average, and shorter
/// costs bits.
const GOP_SECONDS: u32 = 1;

/// The clock of RTP video (RFC 6184, section 8.2.1) and so of most sources.
const ENCODER_TIME_BASE: &str = "1:90000";

/// The quality of libx264: x264's own default, at which artefacts are hard to find.
const CRF: &str = "23";

/// The start of a source's timeline in seconds. Sender reports (RFC 3550, section 6.4.1) can place media before the camera's
/// first frame. A decode time cannot be negative.
const TIMELINE_START: &str = "10";

/// The most pixels of a frame that FFmpeg decodes: of level 6.2 in H.264 (table A-1, 139,264 macroblocks) and H.265 (table A.8).
pub(super) const PIXELS_MAX: u64 = 8192 * 4352;

/// Parts of the addresses at which cameras send JPEG images over HTTP.
const JPEG_ADDRESSES: &[&str] = &["mjpg", "mjpeg", ".cgi", "action=stream"];

/// Options by which FFmpeg connects in another way, or waits for a connection itself.
const OWN_CONNECTION: &[&str] = &["-rtsp_flags", "-listen", "-http_proxy", "-post_data"];
/// The values of `-rtsp_transport` for RTSP inside HTTP.
const TUNNELS: &[&str] = &["http", "https"];

/// FFmpeg writes one fragment per frame, as soon as its duration is known, and the time of writing before it (`prft`). The init
/// segment has no duration (ISO/IEC 14496-12, section 8.8). Decode times are FFmpeg's own (`frag_discont`) and do not count from
/// the output's first frame, so all outputs of one FFmpeg share a timeline.
const OUTPUT: &[&str] = &[
    "-f",
    "mp4",
    "-movflags",
    "+frag_every_frame+empty_moov+default_base_moof+frag_discont",
    "-use_editlist",
    "0",
    "-avoid_negative_ts",
    "disabled",
    "-write_prft",
    "wallclock",
    "-flush_packets",
    "1",
    "pipe:1",
];

/// What a run of a source takes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceOptions {
    /// Its audio as well.
    pub audio: bool,
    /// The times at which packets arrive, because its timestamps are of no use.
    pub arrival_times: bool,
    /// It comes at its own pace although it is a file: a named pipe.
    pub is_live: bool,
}

/// The arguments that read `source` at `url`, its own address or a guard's; a connection that stays silent for `silence` is given
/// up. Its audio, if wanted, comes out beside the video.
pub fn read_source(
    source: &Source,
    url: &SourceUrl,
    silence: Duration,
    encoding: &Encoding,
    with: SourceOptions,
) -> Vec<String> {
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
    if needs_pace(source) && !with.is_live {
        extend(&mut args, ["-re"]);
    }
    extend(&mut args, ["-max_pixels", &PIXELS_MAX.to_string()]);
    if let Some(protocols) = protocols(source) {
        extend(&mut args, ["-protocol_whitelist", protocols]);
    }
    let by_arrival = with.arrival_times || has_no_clock(source);
    if by_arrival {
        extend(&mut args, ["-use_wallclock_as_timestamps", "1"]);
    }
    extend(&mut args, source.input_options.iter().map(String::as_str));
    extend(&mut args, ["-i", url.reveal(), "-map", "0:v:0"]);
    match source.encode {
        // Frames before the first key frame show that the camera lives.
        None => extend(&mut args, ["-c:v", "copy", "-copyinkf:v"]),
        Some(Encode::H264) => {
            if by_arrival {
                // By itself FFmpeg moves frames to multiples of 40 ms: it takes sources without a clock to have 25 frames a second.
                extend(&mut args, ["-fps_mode", "passthrough", "-enc_time_base", ENCODER_TIME_BASE]);
            }
            extend(&mut args, h264(encoding, None));
        }
        Some(Encode::H265) => extend(&mut args, H265),
    }
    extend(&mut args, ["-output_ts_offset", TIMELINE_START]);
    extend(&mut args, OUTPUT);
    if with.audio {
        extend(&mut args, audio::COPY);
    }
    args
}

/// Whether the options ask for a connection that the guards do not know.
pub(super) fn connects_itself(source: &Source) -> bool {
    source.input_options.iter().any(|option| OWN_CONNECTION.contains(&option.as_str()))
        || source.option_values("-rtsp_transport").any(|transport| TUNNELS.contains(&transport))
}

/// The protocols that a source may lead to. FFmpeg's own list for a file is `file,crypto,data`; for RTSP it has none.
fn protocols(source: &Source) -> Option<&'static str> {
    if connects_itself(source) {
        return None;
    }
    match source.url.scheme() {
        Some("http" | "https") if source.url.is_description() => {
            Some("http,https,httpproxy,tcp,tls,crypto,data,rtp,srtp,udp")
        }
        Some("rtsp") => Some("rtp,srtp,udp,tcp"),
        Some("rtsps") => Some("rtp,srtp,udp,tcp,tls,httpproxy"),
        Some("http" | "https") => Some("http,https,httpproxy,tcp,tls,crypto,data"),
        Some("rtmp") => Some("rtmp,tcp"),
        Some("rtmps") => Some("rtmps,rtmp,tls,tcp,httpproxy"),
        Some("srt") => Some("srt,udp"),
        Some("rtp" | "udp" | "srtp") => Some("rtp,srtp,udp"),
        Some("tcp") => Some("tcp"),
        None | Some("file") if source.url.is_description() => Some("file,rtp,srtp,udp,crypto,data"),
        _ => None,
    }
}

/// Whether the frames of a source have no times: JPEG images over HTTP, by their format or their usual addresses. FFmpeg takes them
/// for a video of 25 frames a second.
fn has_no_clock(source: &Source) -> bool {
    let names_jpeg = source.option_values("-f").any(|format| ["mjpeg", "mpjpeg"].contains(&format));
    let is_http = matches!(source.url.scheme(), Some("http" | "https")) && !source.url.is_playlist();
    let is_jpeg = JPEG_ADDRESSES.iter().any(|part| source.url.reveal().contains(part));
    let names_format = source.input_options.iter().any(|option| option == "-f");
    names_jpeg || source.encode.is_some() && is_http && is_jpeg && !names_format
}

/// Whether a source comes faster than it is to be shown, all at once or a segment at a time: files and HLS.
fn needs_pace(source: &Source) -> bool {
    let is_paced = source.input_options.iter().any(|option| ["-re", "-readrate"].contains(&option.as_str()));
    !is_paced && (source.url.is_file() || source.url.is_playlist())
}

/// How many more frames FFmpeg reads before it writes one. The muxer waits for the next, to know the duration. Where packets of
/// RTP are put together, the parser waits for one more.
pub fn hold(source: &Source) -> usize {
    match (source.encode, source.url.scheme()) {
        (None, Some("rtsp" | "rtsps")) => 2,
        _ => 1,
    }
}

/// The arguments that turn fragments on standard input into H.264 fragments, of the same size or as the low variant, on the
/// same timeline.
pub fn transcode(encoding: &Encoding, low: Option<LowVariant>) -> Vec<String> {
    let mut args = global();
    extend(&mut args, before_input(encoding));
    // One decoder thread: frame threads hold a frame each. The init segment tells all, so there is nothing to probe.
    extend(&mut args, ["-flags", "low_delay", "-threads", "1", "-probesize", "32", "-analyzeduration", "0"]);
    extend(&mut args, ["-max_pixels", &PIXELS_MAX.to_string(), "-protocol_whitelist", "pipe"]);
    extend(&mut args, ["-copyts", "-f", "mp4", "-i", "pipe:0"]);
    // Frames keep their places exactly: by itself FFmpeg moves them to whole multiples of the frame's usual duration.
    extend(&mut args, ["-map", "0:v:0", "-fps_mode", "passthrough", "-enc_time_base", ENCODER_TIME_BASE]);
    extend(&mut args, h264(encoding, low));
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
fn h264(encoding: &Encoding, low: Option<LowVariant>) -> Vec<String> {
    let mut args = Vec::new();
    let upload = (encoding.encoder == Encoder::Vaapi).then(|| "format=nv12,hwupload".to_owned());
    let filters: Vec<_> = low.map(LowVariant::filters).into_iter().chain(upload).collect();
    if !filters.is_empty() {
        extend(&mut args, ["-vf", &filters.join(",")]);
    }
    let encoder: &[&str] = match encoding.encoder {
        Encoder::Libx264 => &["-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-profile:v", "high"],
        Encoder::Vaapi => &["-c:v", "h264_vaapi", "-async_depth", "1"],
        Encoder::Nvenc => {
            &["-c:v", "h264_nvenc", "-preset", "p1", "-tune", "ull", "-zerolatency", "1", "-forced-idr", "1"]
        }
        Encoder::V4l2m2m => &["-c:v", "h264_v4l2m2m"],
        Encoder::Videotoolbox => &["-c:v", "h264_videotoolbox", "-realtime", "1"],
    };
    extend(&mut args, encoder);
    extend(&mut args, rate_control(encoding.encoder, low));
    if encoding.encoder != Encoder::Vaapi {
        extend(&mut args, ["-pix_fmt", "yuv420p"]);
    }
    // A millisecond less: times in seconds are rounded, and a frame that seems to be early would leave it to the next.
    let key_frames = format!("expr:isnan(prev_forced_t)+gte(t,prev_forced_t+{GOP_SECONDS}-0.001)");
    extend(&mut args, ["-bf", "0", "-force_key_frames", &key_frames]);
    args
}

/// The bit rate that the video needs; that of the low variant has a maximum.
fn rate_control(encoder: Encoder, low: Option<LowVariant>) -> Vec<String> {
    let mut args = Vec::new();
    if encoder == Encoder::Libx264 {
        extend(&mut args, ["-crf", CRF]);
    }
    let Some(low) = low else { return args };
    let (rate, buffer) = (format!("{}k", low.kbps), format!("{}k", low.buffer_kbit()));
    if encoder == Encoder::Libx264 {
        // Its rate control takes frames to come at the source's rate unless it looks at their times. One thread is
        // enough for the low variant, and better for it than slices.
        extend(&mut args, ["-x264-params", "force-cfr=0", "-threads", "1"]);
    } else {
        extend(&mut args, ["-b:v", &rate]);
    }
    extend(&mut args, ["-maxrate", &rate, "-bufsize", &buffer]);
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
    let mut command = Command::new(ffmpeg);
    command.arg("-version").env_clear().envs(environment::passed());
    let output = command.output().map_err(|error| FfmpegError::Missing(ffmpeg.to_owned(), error))?;
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
