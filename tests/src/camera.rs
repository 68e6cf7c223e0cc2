//! A camera: GStreamer's RTSP server in a process of its own, with pictures that tell which camera they come from
//! and when they were made: see `fixtures/live_sources.py`.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::browser::Rgb;
use crate::process::Owned;
use crate::run;

/// Python and GStreamer's plugin registry take about a second; a busy machine some more.
const START: Duration = Duration::from_secs(20);

/// How long the relay runs a source without viewers, in [`Camera::config`].
pub const LINGER_SECONDS: u64 = 2;
/// What a configuration of a test adds to the table `ingest`.
const WITHOUT_LOW: &str = "low = false\n";
/// What it adds to the table of a stream that FFmpeg reads.
const BY_FFMPEG: &str = "reader = \"ffmpeg\"\n";

/// How long a source may be silent, in [`Camera::config`].
pub const SILENCE_SECONDS: u64 = 3;

/// The time limit for a command to the camera.
const OBEYS: Duration = Duration::from_secs(5);

/// What a mount of the camera sends, at 25 frames a second: 640x360 but for [`Kind::Sized`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// H.265, a key frame every second, no B-frames.
    H265,
    /// H.265, a key frame every ten seconds.
    H265Long,
    /// H.264, a key frame every second, no B-frames.
    H264,
    /// H.264, a key frame every ten seconds.
    H264Long,
    /// H.264, a key frame every four seconds.
    H264Gop4,
    /// H.264. Each frame leaves with a random delay of up to 100 ms.
    Jittery,
    /// H.264 of 2 Mbit/s: the other kinds have little to encode, and stay far below theirs.
    Busy,
    /// H.264 of this width and height, both even.
    Sized(u16, u16),
    /// H.264 with two B-frames between reference frames.
    BFrames,
    /// H.264, and AAC of 48 kHz.
    WithAac,
    /// H.264, and Opus.
    WithOpus,
    /// H.264, and G.711 A-law, which does not go into MP4.
    WithAlaw,
    /// Sound without a picture.
    AudioOnly,
}

impl Kind {
    /// As the camera's command line has it.
    fn name(self) -> String {
        let name = match self {
            Self::H265 => "h265",
            Self::H265Long => "h265-long",
            Self::H264 => "h264",
            Self::H264Long => "h264-long",
            Self::H264Gop4 => "h264-gop4",
            Self::Jittery => "h264-jittery",
            Self::Busy => "h264-busy",
            Self::Sized(width, height) => return format!("h264@{width}x{height}"),
            Self::BFrames => "bframes",
            Self::WithAac => "h264-aac",
            Self::WithOpus => "h264-opus",
            Self::WithAlaw => "h264-alaw",
            Self::AudioOnly => "audio-only",
        };
        name.to_owned()
    }
}

/// One stream of the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount {
    /// Its RTSP path, without the slash.
    pub path: &'static str,
    /// What it sends.
    pub kind: Kind,
    /// The colour of its background: what a pixel read back must show.
    pub mark: Rgb,
}

/// Who may see a camera.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// User name.
    pub user: &'static str,
    /// Password.
    pub password: &'static str,
}

/// How many viewers a mount has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Viewers {
    /// Connections that started to play since the camera started.
    pub total: u64,
    /// Connections that play now.
    pub now: u64,
}

/// A running camera. It ends with this.
#[derive(Debug)]
pub struct Camera {
    mounts: Vec<Mount>,
    login: Option<Login>,
    port: u16,
    process: Option<Owned>,
}

impl Camera {
    /// Starts a camera that everybody may see, on a free port.
    pub async fn start(mounts: &[Mount]) -> Self {
        Self::start_with(mounts, None).await
    }

    /// The camera with these mounts that the tests of this process share: for tests that only watch it, and neither count its
    /// viewers nor stop it. It ends with the process.
    pub async fn shared(mounts: &[Mount]) -> &'static Self {
        static SHARED: Mutex<Vec<(Vec<Mount>, &'static OnceCell<Camera>)>> = Mutex::new(Vec::new());
        let cell = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            match shared.iter().find(|(known, _)| known == mounts) {
                Some((_, cell)) => cell,
                None => {
                    // Statics are never dropped, and neither is this.
                    shared.push((mounts.to_vec(), Box::leak(Box::default())));
                    shared.last().expect("it was added").1
                }
            }
        };
        cell.get_or_init(|| Self::start(mounts)).await
    }

    /// Starts a camera that asks for a user name and password (RFC 2617 digest).
    pub async fn start_with(mounts: &[Mount], login: Option<Login>) -> Self {
        let mut camera = Self { mounts: mounts.to_vec(), login, port: 0, process: None };
        camera.restart().await;
        camera
    }

    /// The address of a mount.
    pub fn url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{path}", self.port)
    }

    /// The paths of all its mounts.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.mounts.iter().map(|mount| mount.path)
    }

    /// A relay's configuration with a stream for each mount, named as its path. Short times, so that tests are short. Without
    /// the variant `low`: a browser on a busy machine receives late, which the relay takes for a slow link.
    pub fn config(&self) -> String {
        self.config_of(self.paths())
    }

    /// The same with the variant `low`, as by default: for tests of it, and for measurements.
    pub fn config_with_low(&self) -> String {
        self.tables(self.paths(), "", "")
    }

    /// The same for some of the mounts.
    pub fn config_of<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> String {
        self.tables(paths, WITHOUT_LOW, "")
    }

    /// The same, read by FFmpeg: for tests of FFmpeg's processes and of their failures.
    pub fn config_by_ffmpeg(&self) -> String {
        self.config_of_by_ffmpeg(self.paths())
    }

    /// The same for some of the mounts.
    pub fn config_of_by_ffmpeg<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> String {
        self.tables(paths, WITHOUT_LOW, BY_FFMPEG)
    }

    /// The same, with more keys in the table `ingest` and in each stream's table.
    fn tables<'a>(&self, paths: impl IntoIterator<Item = &'a str>, ingest: &str, stream: &str) -> String {
        let streams: String = paths.into_iter().map(|path| self.stream(path, path, stream)).collect();
        format!("[ingest]\nlinger_seconds = {LINGER_SECONDS}\nsilence_seconds = {SILENCE_SECONDS}\n{ingest}{streams}")
    }

    /// The table of the stream `name`, which reads the mount at `path`.
    pub fn stream(&self, name: &str, path: &str, options: &str) -> String {
        format!("[streams.{name}]\nsource = \"{}\"\n{options}", self.url(path))
    }

    /// What to add to such a configuration for a stream of this name that the relay reads itself, without FFmpeg.
    pub fn read_directly(&self, name: &str, path: &str) -> String {
        self.stream(name, path, "reader = \"direct\"\n")
    }

    /// Changes what a mount's picture shows from the next [`Self::restart`] on.
    pub fn repaint(&mut self, path: &str, mark: Rgb) {
        self.mount(path).mark = mark;
    }

    /// Changes what a mount sends, codec and size, from the next [`Self::restart`] on.
    pub fn change(&mut self, path: &str, kind: Kind) {
        self.mount(path).kind = kind;
    }

    fn mount(&mut self, path: &str) -> &mut Mount {
        let mount = self.mounts.iter_mut().find(|mount| mount.path == path);
        mount.unwrap_or_else(|| panic!("the camera has no {path}"))
    }

    /// Makes the timestamps of a mount that plays jump: forward, or backward with negative seconds. The next picture
    /// comes in time, only said to be of another one.
    ///
    /// # Panics
    /// When the camera has no such path or does not answer.
    pub async fn jump(&self, path: &str, seconds: f64) {
        let jumps = || {
            let ours = |line: &&String| event(line, "jumped").is_some_and(|event| event["path"] == path);
            self.running().stdout.all().iter().filter(ours).count()
        };
        let before = jumps();
        self.running().tell(&format!("jump {path} {seconds}"));
        run::until("the camera to let its timestamps jump", OBEYS, async || (jumps() > before).then_some(())).await;
    }

    /// Its port, the same after every [`Self::restart`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Pulls the plug: connections break in the middle of a picture.
    pub fn stop(&mut self) {
        if let Some(process) = &self.process {
            process.signal(Signal::KILL);
        }
        self.process = None;
    }

    /// Plugs it in, on the port it had. All counts start again.
    pub async fn restart(&mut self) {
        self.stop();
        let process = Owned::start("camera", &mut self.command()).expect("python3 is installed");
        let ready = |line: &str| event(line, "listening")?.get("port")?.as_u64();
        let port = process.stdout.wait_for("the camera to listen", START, ready).await;
        self.port = u16::try_from(port).expect("a port is 16 bits");
        self.process = Some(process);
    }

    /// Freezes it: connections stay open and nothing more comes.
    pub fn freeze(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Lets a frozen camera go on.
    pub fn thaw(&self) {
        self.running().signal(Signal::CONT);
    }

    /// How many connections it has accepted, whatever came of them.
    pub fn connections(&self) -> u64 {
        let last = self.last_event(|line| event(line, "clients"));
        last.and_then(|event| event.get("total")?.as_u64()).unwrap_or(0)
    }

    /// How many viewers a mount has had and has.
    pub fn viewers(&self, path: &str) -> Viewers {
        let path = format!("/{path}");
        let ours = |line: &str| event(line, "viewers").filter(|event| event["path"] == path.as_str());
        self.last_event(ours).map_or_else(Viewers::default, |event| Viewers {
            total: event["total"].as_u64().expect("a count"),
            now: event["now"].as_u64().expect("a count"),
        })
    }

    /// Waits until a mount has this many viewers.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn wait_for_viewers(&self, path: &str, now: u64, limit: Duration) {
        let what = format!("{now} viewers at the camera's {path} (it has {:?})", self.viewers(path));
        run::until(&what, limit, async || (self.viewers(path).now == now).then_some(())).await;
    }

    fn last_event(&self, take: impl Fn(&str) -> Option<Value>) -> Option<Value> {
        self.running().stdout.all().iter().rev().find_map(|line| take(line))
    }

    fn running(&self) -> &Owned {
        self.process.as_ref().expect("the camera is running")
    }

    fn command(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rtsp_camera.py");
        // Debian's own Python: the GStreamer bindings belong to it, not to a Python that comes first on PATH.
        let python = std::env::var("SIGHTLINE_TEST_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".to_owned());
        let mut command = Command::new(python);
        command.arg(script).args(["--port", &self.port.to_string()]);
        if let Some(login) = self.login {
            command.args(["--user", login.user, "--password", login.password]);
        }
        command.args(self.mounts.iter().map(|mount| format!("{}={}:{}", mount.path, mount.kind.name(), mount.mark)));
        command
    }
}

fn event(line: &str, kind: &str) -> Option<Value> {
    let event: Value = serde_json::from_str(line).ok()?;
    (event["event"] == kind).then_some(event)
}
