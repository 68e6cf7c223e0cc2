//! The relay under test: the binary `sightline`, started as an operator starts it.
//!
//! `SIGHTLINE_BIN` names it. The default is the binary in cargo's target folder, beside the test. Tests do not build it: `make
//! test` does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use sightline_protocol::catalogue::{Catalogue, StreamInfo, VariantInfo};
use sightline_protocol::stream::Variant;
use tempfile::TempDir;

use crate::http::{self, Response};
use crate::process::{self, Owned, Process};
use crate::run::until;

/// The configuration's name, in the relay's folder.
const CONFIG: &str = "test.toml";
/// The time limit from the start of the process to the line with its address.
const START: Duration = Duration::from_secs(10);
/// The time limit until a line that was written is read, on a busy machine.
const LOGGED: Duration = Duration::from_secs(5);

/// Cargo's target folder: tests are in `PROFILE/deps`, programs in `PROFILE`.
pub fn target_folder() -> PathBuf {
    profile_folder().parent().expect("target/PROFILE").to_owned()
}

fn profile_folder() -> PathBuf {
    let this = std::env::current_exe().expect("the test has a path");
    let folder = this.parent().expect("PROFILE/deps/test");
    if folder.ends_with("deps") { folder.parent().expect("PROFILE/deps").to_owned() } else { folder.to_owned() }
}

/// The relay's binary.
///
/// # Panics
/// When it has not been built.
pub fn binary() -> PathBuf {
    let built = || profile_folder().join("sightline");
    let path = std::env::var_os("SIGHTLINE_BIN").map_or_else(built, PathBuf::from);
    assert!(path.is_file(), "there is no relay at {}: build it first (make test does)", path.display());
    path
}

/// The options of a relay.
#[derive(Debug, Clone)]
pub struct Setup {
    config: Option<String>,
    demo: bool,
    /// Names and contents of other files in the relay's folder.
    files: Vec<(String, String)>,
    /// The last arguments of the command line.
    more: Vec<String>,
    listen: String,
    /// The program and its first arguments, if it is not [`binary`].
    program: Vec<String>,
    command: Option<&'static str>,
    environment: Vec<(String, String)>,
    open_files: Option<u32>,
}

impl Setup {
    /// A relay with this configuration file, on a free port.
    pub fn config(toml: impl Into<String>) -> Self {
        Self { config: Some(toml.into()), ..Self::bare() }
    }

    /// A relay on a free port that shows the built-in demo streams.
    pub fn demo() -> Self {
        Self { demo: true, ..Self::bare() }
    }

    /// A relay on a free port that finds its configuration by itself.
    pub fn bare() -> Self {
        Self {
            config: None,
            demo: false,
            files: Vec::new(),
            more: Vec::new(),
            listen: "127.0.0.1:0".to_owned(),
            program: Vec::new(),
            command: None,
            environment: Vec::new(),
            open_files: None,
        }
    }

    /// A relay that this command line starts, with its own configuration.
    pub fn by(program: Vec<String>) -> Self {
        Self { program, ..Self::bare() }
    }

    /// Writes a file into the relay's folder, in which it is started.
    #[must_use]
    pub fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    /// Adds a word to the end of the command line.
    #[must_use]
    pub fn argument(mut self, word: &str) -> Self {
        self.more.push(word.to_owned());
        self
    }

    /// The address to listen on.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address.to_string();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Limits the number of open files.
    #[must_use]
    pub fn open_files(mut self, count: u32) -> Self {
        self.open_files = Some(count);
        self
    }

    /// Starts it and waits for its address.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> Relay {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (process, scheme, address) = self.launch(folder.path()).await;
        Relay { setup: self.listen(address), scheme, address, process: Some(process), folder }
    }

    /// Starts it with an output on which every write fails (full(4)), and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_on_a_full_disk(self) -> Relay {
        let folder = tempfile::tempdir().expect("a temporary directory");
        // It cannot print its port, so the port is chosen in advance.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let setup = self.listen(address);
        let command = setup.arguments(folder.path());
        let mut mute = Command::new("sh");
        mute.args(["-c", "exec \"$0\" \"$@\" >/dev/full 2>/dev/full"]).arg(command.get_program());
        mute.args(command.get_args()).current_dir(folder.path()).envs(setup.variables());
        let process = Owned::start("relay", &mut mute).expect("sh is there");
        let answers = async || http::get(address, "/healthz").await.ok();
        until("the relay to answer", START, answers).await;
        Relay { setup, scheme: "http", address, process: Some(process), folder }
    }

    /// Starts it and waits for it to refuse. Returns its exit status and its output.
    ///
    /// # Panics
    /// When it does not exit.
    pub async fn refusal(self) -> (ExitStatus, String) {
        self.outcome(START).await
    }

    /// Runs one of its commands, such as `check`, to its end within `limit`. Returns its exit status and its output.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn run(self, command: &'static str, limit: Duration) -> (ExitStatus, String) {
        Self { command: Some(command), ..self }.outcome(limit).await
    }

    async fn outcome(self, limit: Duration) -> (ExitStatus, String) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut process = self.spawn(folder.path());
        let status = process.wait(limit).await;
        (status, format!("{}\n{}", process.stdout.text(), process.stderr.text()).trim().to_owned())
    }

    async fn launch(&self, folder: &Path) -> (Owned, &'static str, SocketAddr) {
        let process = self.spawn(folder);
        let address = |line: &str| {
            let (before, rest) = line.split_once("://")?;
            let scheme = if before.ends_with("https") { "https" } else { "http" };
            Some((scheme, rest.split('/').next()?.parse().ok()?))
        };
        let (scheme, address) = process.stdout.wait_for("the relay's address", START, address).await;
        (process, scheme, address)
    }

    fn spawn(&self, folder: &Path) -> Owned {
        let mut command = self.arguments(folder);
        // The relay finds only the files of this folder.
        command.current_dir(folder).envs(self.variables());
        Owned::start("relay", &mut command).unwrap_or_else(|e| panic!("the relay does not start: {e}"))
    }

    /// The command line, with the configuration in `folder`.
    fn arguments(&self, folder: &Path) -> Command {
        let mut command = match self.open_files {
            _ if !self.program.is_empty() => {
                let mut program = Command::new(&self.program[0]);
                program.args(&self.program[1..]);
                program
            }
            // Sets both limits, because the relay raises the soft limit to the hard one.
            Some(count) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {count}; exec \"$0\" \"$@\"")]).arg(binary());
                shell
            }
            None => Command::new(binary()),
        };
        command.args(["--listen", &self.listen]);
        if let Some(config) = &self.config {
            let path = folder.join(CONFIG);
            std::fs::write(&path, config).expect("the temporary directory is writable");
            command.arg("--config").arg(path);
        }
        for (name, text) in &self.files {
            std::fs::write(folder.join(name), text).expect("the temporary directory is writable");
        }
        command.args(self.demo.then_some("--demo")).args(self.command).args(&self.more);
        command
    }

    fn variables(&self) -> impl Iterator<Item = (&String, &String)> {
        self.environment.iter().map(|(name, value)| (name, value))
    }
}

/// A running relay, killed with its FFmpeg processes on drop.
#[derive(Debug)]
pub struct Relay {
    setup: Setup,
    scheme: &'static str,
    address: SocketAddr,
    process: Option<Owned>,
    folder: TempDir,
}

impl Relay {
    /// Its process id.
    ///
    /// # Panics
    /// Between [`Self::end`] and [`Self::restart`].
    pub fn pid(&self) -> i32 {
        self.process.as_ref().expect("the relay runs").pid()
    }

    /// The address it listens on, unchanged by [`Self::restart`].
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a page. `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// GETs a path.
    ///
    /// # Panics
    /// When the relay does not answer.
    pub async fn get(&self, path: &str) -> Response {
        http::get(self.address, path).await.unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// `GET /api/streams`.
    ///
    /// # Panics
    /// When the answer is not a catalogue.
    pub async fn catalogue(&self) -> Catalogue {
        let response = self.get("/api/streams").await;
        assert_eq!(response.status, 200, "{}", response.text());
        serde_json::from_slice(&response.body).unwrap_or_else(|e| panic!("{e} in {}", response.text()))
    }

    /// A stream's entry in the catalogue.
    ///
    /// # Panics
    /// When there is none.
    pub async fn stream(&self, name: &str) -> StreamInfo {
        let catalogue = self.catalogue().await;
        let found = catalogue.streams.iter().find(|stream| stream.name.as_str() == name);
        found.unwrap_or_else(|| panic!("no {name} in {catalogue:?}")).clone()
    }

    /// A variant's entry in the catalogue.
    ///
    /// # Panics
    /// When there is none.
    pub async fn variant(&self, name: &str, variant: Variant) -> VariantInfo {
        let stream = self.stream(name).await;
        let found = stream.variants.iter().find(|info| info.variant == variant);
        found.unwrap_or_else(|| panic!("no {variant} in {stream:?}")).clone()
    }

    /// Waits until a variant has this many viewers.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn wait_for_viewers(&self, name: &str, variant: Variant, count: usize, limit: Duration) {
        let what = format!("{name}/{variant} to have {count} viewers");
        until(&what, limit, async || (self.variant(name, variant).await.viewers == count).then_some(())).await;
    }

    /// Its running FFmpeg processes.
    pub fn ffmpegs(&self) -> Vec<Process> {
        self.running().descendants().into_iter().filter(Process::is_ffmpeg).collect()
    }

    /// Its FFmpeg processes that read this source, a camera by the relay's guard: at an address of this machine with a random key
    /// before the camera's path.
    pub fn readers(&self, source: &str) -> Vec<Process> {
        let path_after = |address: &str, parts: usize| {
            let path = address.strip_prefix("rtsp://")?.splitn(parts + 1, '/').nth(parts)?;
            Some(path.to_owned())
        };
        let path = path_after(source, 1);
        let is_guarded = |word: &String| path.is_some() && path_after(word, 2) == path;
        let reads = |ffmpeg: &Process| ffmpeg.command.iter().any(|word| word == source || is_guarded(word));
        self.ffmpegs().into_iter().filter(reads).collect()
    }

    /// Its FFmpeg processes that read another one's output.
    pub fn encoders(&self) -> Vec<Process> {
        let reads_pipe = |word: &String| word == "pipe:0" || word == "pipe:" || word == "-";
        let is_input = |words: &[String]| words[0] == "-i" && reads_pipe(&words[1]);
        self.ffmpegs().into_iter().filter(|ffmpeg| ffmpeg.command.windows(2).any(is_input)).collect()
    }

    /// Waits until it has this many FFmpeg processes.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn wait_for_ffmpegs(&self, count: usize, limit: Duration) -> Vec<Process> {
        let what = format!("the relay to have {count} FFmpegs");
        until(&what, limit, async || Some(self.ffmpegs()).filter(|ffmpegs| ffmpegs.len() == count)).await
    }

    /// Children that have ended and were not reaped.
    pub fn zombies(&self) -> Vec<Process> {
        self.running().zombies()
    }

    /// Resident memory of the relay alone, in KiB.
    pub fn resident_kib(&self) -> u64 {
        process::resident_kib(self.running().pid())
    }

    /// The number of its open file descriptors. Without root's rights, which the relay's entry in `/proc` requires, its own
    /// metric.
    ///
    /// # Panics
    /// When it has ended.
    pub fn descriptors(&self) -> usize {
        match std::fs::read_dir(format!("/proc/{}/fd", self.pid())) {
            Ok(open) => open.count(),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => self.own_descriptors(),
            Err(error) => panic!("the relay runs: {error}"),
        }
    }

    /// The metric of its open file descriptors, without the connection that requests it.
    fn own_descriptors(&self) -> usize {
        use std::io::{Read as _, Write as _};
        let mut connection = std::net::TcpStream::connect(self.address).expect("the relay listens");
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
        let mut text = String::new();
        connection.read_to_string(&mut text).expect("it answers");
        let value = text.lines().find_map(|line| line.strip_prefix("sightline_process_open_fds ")).expect("the metric");
        value.parse::<f64>().expect("a count") as usize - 1
    }

    /// Its output so far.
    pub fn log(&self) -> String {
        format!("{}\n{}", self.running().stdout.text(), self.running().stderr.text())
    }

    /// Waits until its output contains `text` at least `count` times. A response may arrive before the line that tells of it is read.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn wait_for_log(&self, text: &str, count: usize) {
        let logged = async || (self.log().matches(text).count() >= count).then_some(());
        until(&format!("{text:?} in the log, {count} times"), LOGGED, logged).await;
    }

    /// Sends it a signal and waits for its end. Its descendants stay: check them with [`Process::is_alive`].
    ///
    /// # Panics
    /// When it does not end within `limit`.
    pub async fn end(&mut self, signal: Signal, limit: Duration) -> ExitStatus {
        let process = self.process.as_mut().expect("the relay is running");
        process.signal(signal);
        process.wait(limit).await
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.process = None;
        let (process, ..) = self.setup.launch(self.folder.path()).await;
        self.process = Some(process);
    }

    /// Replaces its configuration from the next start on.
    pub fn configure(&mut self, toml: impl Into<String>) {
        self.setup.config = Some(toml.into());
    }

    /// Replaces its configuration while it runs (SIGHUP).
    ///
    /// # Panics
    /// When it has ended.
    pub fn reload(&mut self, toml: &str) {
        std::fs::write(self.folder.path().join(CONFIG), toml).expect("the temporary directory is writable");
        self.configure(toml);
        self.running().signal(Signal::HUP);
    }

    /// Sets an environment variable from the next start on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.setup.environment.retain(|(known, _)| known != name);
        self.setup.environment.push((name.to_owned(), value.to_owned()));
    }

    fn running(&self) -> &Owned {
        self.process.as_ref().expect("the relay was started")
    }
}
