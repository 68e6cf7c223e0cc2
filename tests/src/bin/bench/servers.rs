//! The compared servers: Sightline, its alternatives, and the design that preceded Sightline. Each reads the same camera and
//! has a page per protocol. A server that is not installed is reported absent.

mod go2rtc;
mod mediamtx;
mod original;
mod sightline;

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use sightline_tests::camera::Camera;

pub(crate) use original::{COMMAND as ORIGINAL, serve as serve_original};

/// The programs of the other servers. Names without a path are looked up in PATH.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) go2rtc: PathBuf,
    pub(crate) mediamtx: PathBuf,
}

/// The servers, in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Sightline,
    Original,
    Go2rtc,
    MediaMtx,
    MoqRelay,
}

impl Name {
    pub(crate) const ALL: [Self; 5] = [Self::Sightline, Self::Original, Self::Go2rtc, Self::MediaMtx, Self::MoqRelay];
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sightline => "Sightline",
            Self::Original => "one FFmpeg per viewer",
            Self::Go2rtc => "go2rtc",
            Self::MediaMtx => "MediaMTX",
            Self::MoqRelay => "moq-relay",
        })
    }
}

/// Codecs depend on the browser's build: Debian's Firefox gets H.264 for WebRTC from a plugin that it downloads.
const NO_WEBRTC: &str = "
    if (!window.RTCPeerConnection) return 'this build of the browser has no WebRTC';
    const { codecs } = RTCRtpReceiver.getCapabilities('video');
    const has = codecs.some(({ mimeType }) => mimeType.toLowerCase() === 'video/h264');
    return has ? null : 'this build of the browser has no H.264 for WebRTC';
";
/// For pages that leave HLS to the browser.
const NO_HLS: &str = "
    const plays = document.createElement('video').canPlayType('application/vnd.apple.mpegurl');
    return plays ? null : 'its page leaves HLS to the browser, and this one plays none';
";

/// A protocol of one server, with its page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlayerPage {
    /// The name in tables.
    pub(crate) name: &'static str,
    /// The address of the page's server.
    pub(crate) server: SocketAddr,
    /// The page's path, with CAM for the stream's name.
    page: &'static str,
}

impl PlayerPage {
    pub(crate) fn path(&self, stream: &str) -> String {
        self.page.replace("CAM", stream)
    }

    /// A script that returns why the browser cannot play this protocol, or null.
    pub(crate) fn reason_not_playable(&self) -> Option<&'static str> {
        match self.name {
            name if name.starts_with("WebRTC") => Some(NO_WEBRTC),
            "HLS" => Some(NO_HLS),
            _ => None,
        }
    }
}

/// A running server, stopped on drop.
pub(crate) struct RunningServer {
    pub(crate) name: Name,
    pub(crate) version: String,
    pub(crate) pages: Vec<PlayerPage>,
    pub(crate) pid: i32,
    _running: Box<dyn Any>,
}

/// Starts a server on all streams of a camera.
///
/// # Errors
/// Why the server is absent.
pub(crate) async fn start(name: Name, programs: &Programs, camera: &Camera) -> Result<RunningServer, String> {
    match name {
        Name::Sightline => Ok(sightline::start(camera).await),
        Name::Original => Ok(original::start(camera).await),
        Name::Go2rtc => go2rtc::start(&programs.go2rtc, camera).await,
        Name::MediaMtx => mediamtx::start(&programs.mediamtx, camera).await,
        Name::MoqRelay => Err("absent (its player comes from another build, there is no adapter for it)".to_owned()),
    }
}

/// The first line of a program's version output. None if the program does not start.
pub(crate) fn version(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
    // FFmpeg's line continues with a copyright notice.
    Some(line.split(" Copyright").next().unwrap_or_default().trim().to_owned())
}
