//! What an FFmpeg may use: memory, files, devices and TCP ports. FFmpeg parses what cameras send, so it gets what its source needs.
//!
//! The relay describes the confinement ([`Confinement`]). The launched process applies it to itself and then becomes FFmpeg
//! ([`become_ffmpeg`](super::process::become_ffmpeg)), as the restrictions survive exec. FFmpeg cannot lift them.
//!
//! | resource | enforced by | without kernel support |
//! | --- | --- | --- |
//! | memory: `limits.ffmpeg_mib` | `RLIMIT_DATA`, `RLIMIT_CORE` 0 | Linux always has it |
//! | files and devices | Landlock | the rights of the relay's account |
//! | TCP ports | Landlock since Linux 6.7 | any |
//! | signals to other processes | Landlock since Linux 6.12 | those of the relay's account |
//! | privileges of set-user-ID programs | `no_new_privs` | Linux always has it |
//!
//! `RLIMIT_DATA` counts private writable memory. `RLIMIT_AS` would also count address space that is only reserved: graphics drivers
//! reserve tens of GiB, and glibc 64 MiB for each thread.

use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::environment;
use crate::config::{Encoder, Encoding, Source};

#[cfg(target_os = "linux")]
mod landlocked;
mod system;

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    files: Files,
    network: TcpAccess,
}

/// Where FFmpeg may connect to by TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TcpAccess {
    /// Anywhere.
    Any,
    /// Nowhere.
    None,
    /// A guard at this port.
    Guard(u16),
    /// A guard at this port, which is a proxy for HTTP.
    Proxy(u16),
}

/// The files and devices that FFmpeg may open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Files {
    /// Reads all, writes devices: the operator's options may name any.
    Unlisted,
    /// Reads these, besides those of the system, and writes these devices.
    Listed { read: Vec<PathBuf>, devices: Vec<PathBuf> },
}

impl Files {
    /// Those of the system only.
    const NONE: Self = Self::Listed { read: Vec::new(), devices: Vec::new() };
}

impl Confinement {
    /// For an FFmpeg that reads `source`.
    pub(super) fn of_source(source: &Source, encoding: &Encoding, network: TcpAccess) -> Self {
        let files = if may_name_files(source) {
            Files::Unlisted
        } else if source.url.is_device() {
            Files::Listed { read: Vec::new(), devices: vec![source.url.reveal().into()] }
        } else if let Some(path) = source.url.path() {
            Files::Listed { read: vec![file_or_folder(path)], devices: Vec::new() }
        } else {
            Files::NONE
        };
        let files = if source.encode.is_some() { with_encoder(files, encoding) } else { files };
        Self { files, network }
    }

    /// For an FFmpeg between two pipes, with `encoding` if it encodes video.
    pub(super) fn of_pipes(encoding: Option<&Encoding>) -> Self {
        let files = match encoding {
            Some(encoding) => with_encoder(Files::NONE, encoding),
            None => Files::NONE,
        };
        Self { files, network: TcpAccess::None }
    }

    /// FFmpeg's proxy for HTTP.
    pub(super) fn proxy(&self) -> Option<String> {
        match self.network {
            TcpAccess::Proxy(port) => Some(format!("http://127.0.0.1:{port}")),
            TcpAccess::Any | TcpAccess::None | TcpAccess::Guard(_) => None,
        }
    }

    /// Applies it to this process for `program`, with at most `memory` bytes.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "there is no Landlock"))]
    pub(super) fn apply(&self, memory: u64, program: &Path) -> io::Result<()> {
        limit(Resource::Core, 0)?;
        limit(Resource::Data, memory)?;
        #[cfg(target_os = "linux")]
        {
            rustix::thread::set_no_new_privs(true)?;
            landlocked::restrict(self, program).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Sets a limit that is not above the present one.
fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let present = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let value = Some(value.min(present));
    setrlimit(resource, Rlimit { current: value, maximum: value }).map_err(io::Error::from)
}

/// Input options that name no file and need no device. With any other option FFmpeg reads all files and writes devices.
const HARMLESS_OPTIONS: &[&str] = &[
    "-analyzeduration",
    "-an",
    "-buffer_size",
    "-cookies",
    "-fflags",
    "-flags",
    "-framerate",
    "-headers",
    "-input_format",
    "-max_delay",
    "-pixel_format",
    "-probesize",
    "-r",
    "-re",
    "-readrate",
    "-reconnect",
    "-reconnect_streamed",
    "-referer",
    "-reorder_queue_size",
    "-rtsp_flags",
    "-rtsp_transport",
    "-rw_timeout",
    "-stream_loop",
    "-thread_queue_size",
    "-timeout",
    "-user_agent",
    "-video_size",
];
/// Formats with media in the input itself.
const PLAIN_FORMATS: &[&str] = &["flv", "h264", "hevc", "hls", "mjpeg", "mp4", "mpegts", "mpjpeg", "rtsp", "v4l2"];

/// Whether the source or its options may name files or devices that are not known here: filter graphs, lists, patterns, devices by
/// name, keys of encryption, hardware decoders. Debugging by `FFREPORT` writes a file as well, see [`landlocked`].
fn may_name_files(source: &Source) -> bool {
    let is_graph = source.url.scheme().is_none() && source.url.path().is_none() && !source.url.is_device();
    // A pattern, or a device by its name; a missing file is for FFmpeg to report.
    let is_no_file = source.url.path().is_some_and(|path| !path.to_string_lossy().contains('%') && !path.exists());
    let names = source.input_options.iter().filter(|option| option.starts_with('-') && !is_number(option));
    let names_unknown = names.map(String::as_str).any(|name| name != "-f" && !HARMLESS_OPTIONS.contains(&name));
    let may_list = source.option_values("-f").any(|format| !PLAIN_FORMATS.contains(&format));
    is_graph || is_no_file || may_list || names_unknown
}

fn is_number(option: &str) -> bool {
    option.parse::<f64>().is_ok()
}

/// The file, or its folder where it names others in it: playlists, and patterns such as `image%03d.png`.
fn file_or_folder(path: &Path) -> PathBuf {
    let names_others = |extension| matches!(extension, "m3u8" | "mpd" | "ffconcat" | "txt");
    let extension = path.extension().and_then(|extension| extension.to_str());
    if !extension.is_some_and(names_others) && !path.to_string_lossy().contains('%') {
        return path.to_owned();
    }
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => ".".into(),
    }
}

/// Adds what an encoder in hardware needs.
fn with_encoder(files: Files, encoding: &Encoding) -> Files {
    match files {
        Files::Listed { mut read, mut devices } if encoding.encoder != Encoder::Libx264 => {
            devices.push("/dev".into());
            read.push("/proc".into());
            Files::Listed { read, devices }
        }
        files => files,
    }
}

#[cfg(test)]
mod tests;
