//! The relay under test: the binary `sightline`, started as an operator starts it.
//!
//! `SIGHTLINE_BIN` names it; without that it is the one beside the test, in cargo's target folder. Tests do not build
//! it: `make test` does.

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

/// From the start of the process to the line with its address.
const START: Duration = Duration::from_secs(10);

/// Cargo's target folder, of which tests are in `PROFILE/deps` and programs in `PROFILE`.
pub fn target_folder() -> PathBuf {
    profile_folder().parent().expect("target/PROFILE").to_owned()
}

fn profile_folder() -> PathBuf {
    let this = std::env::current_exe().expect("the test has a path");
    let folder = this.parent().expect("PROFILE/deps/test");
    if folder.ends_with("deps") { folder.parent().expect("PROFILE/deps").to_owned() } else { folder.to_owned() }
}

/// The program.
///
/// # Panics
/// When it has not been built.
pub fn binary() -> PathBuf {
    let built = || profile_folder().join("sightline");
    let path = std::env::var_os("SIGHTLINE_BIN").map_or_else(built, PathBuf::from);
    assert!(path.is_file(), "there is no relay at {}: build it first (make test does)", path.display());
    path
}

/// How to start a relay.
#[derive(Debug, Clone)]
pub struct Setup {
    config: Option<String>,
    listen: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A relay with this configuration file, on a free port.
    pub fn config(toml: impl Into<String>) -> Self {
        Self { config: Some(toml.into()), ..Self::demo() }
    }

    /// A relay without a configuration, on a free port: the built-in demo streams.
    pub fn demo() -> Self {
        Self { config: None, listen: "127.0.0.1:0".to_owned(), environment: Vec::new() }
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

    /// Starts it and waits for its address.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(self) -> Relay {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (process, address) = self.launch(folder.path()).await;
        Relay { setup: self.listen(address), address, process: Some(process), folder }
    }

    /// Starts it and waits for it to refuse: gives its exit status and everything it printed.
    ///
    /// # Panics
    /// When it does not end by itself.
    pub async fn refusal(self) -> (ExitStatus, String) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut process = self.spawn(folder.path());
        let status = process.wait(START).await;
        // The pipes are read by threads, which may be a moment behind the exit.
        tokio::time::sleep(Duration::from_millis(100)).await;
        (status, format!("{}\n{}", process.stdout.text(), process.stderr.text()).trim().to_owned())
    }

    async fn launch(&self, folder: &Path) -> (Owned, SocketAddr) {
        let process = self.spawn(folder);
        let address = |line: &str| {
            let rest = line.split_once("http://")?.1;
            rest.split('/').next()?.parse().ok()
        };
        let address = process.stdout.wait_for("the relay's address", START, address).await;
        (process, address)
    }

    /// Its working directory is empty: no configuration but the given one is found.
    fn spawn(&self, folder: &Path) -> Owned {
        let mut command = Command::new(binary());
        command.current_dir(folder).args(["--listen", &self.listen]);
        if let Some(config) = &self.config {
            let path = folder.join("test.toml");
            std::fs::write(&path, config).expect("the temporary directory is writable");
            command.arg("--config").arg(path);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Owned::start("relay", &mut command).unwrap_or_else(|e| panic!("the relay does not start: {e}"))
    }
}

/// A running relay. It and its FFmpegs end with this.
#[derive(Debug)]
pub struct Relay {
    setup: Setup,
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

    /// Where it listens, the same after every [`Self::restart`].
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a page: `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
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
    /// When it has none.
    pub async fn stream(&self, name: &str) -> StreamInfo {
        let catalogue = self.catalogue().await;
        let found = catalogue.streams.iter().find(|stream| stream.name.as_str() == name);
        found.unwrap_or_else(|| panic!("no {name} in {catalogue:?}")).clone()
    }

    /// A variant's entry in the catalogue.
    ///
    /// # Panics
    /// When it has none.
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

    /// The FFmpegs that belong to it and run.
    pub fn ffmpegs(&self) -> Vec<Process> {
        self.running().descendants().into_iter().filter(Process::is_ffmpeg).collect()
    }

    /// Those of its FFmpegs that read a source directly.
    pub fn readers(&self, source: &str) -> Vec<Process> {
        self.ffmpegs().into_iter().filter(|ffmpeg| ffmpeg.command.iter().any(|word| word == source)).collect()
    }

    /// Those of its FFmpegs that read what another one wrote.
    pub fn encoders(&self) -> Vec<Process> {
        let reads_pipe = |word: &String| word == "pipe:0" || word == "pipe:" || word == "-";
        let is_input = |words: &[String]| words[0] == "-i" && reads_pipe(&words[1]);
        self.ffmpegs().into_iter().filter(|ffmpeg| ffmpeg.command.windows(2).any(is_input)).collect()
    }

    /// Waits until it has this many FFmpegs.
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

    /// Resident memory in KiB, of the relay alone.
    pub fn resident_kib(&self) -> u64 {
        process::resident_kib(self.running().pid())
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        format!("{}\n{}", self.running().stdout.text(), self.running().stderr.text())
    }

    /// Sends it a signal and waits for its end. What it leaves behind is left: look at it with [`Process::is_alive`].
    ///
    /// # Panics
    /// When it does not end within `limit`.
    pub async fn end(&mut self, signal: Signal, limit: Duration) -> ExitStatus {
        let process = self.process.as_mut().expect("the relay is running");
        process.signal(signal);
        process.wait(limit).await
    }

    /// Starts it again, on the port it had.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart(&mut self) {
        self.process = None;
        let (process, _) = self.setup.launch(self.folder.path()).await;
        self.process = Some(process);
    }

    /// The configuration that it has from its next start on.
    pub fn configure(&mut self, toml: impl Into<String>) {
        self.setup.config = Some(toml.into());
    }

    /// An environment variable that it has from its next start on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.setup.environment.retain(|(known, _)| known != name);
        self.setup.environment.push((name.to_owned(), value.to_owned()));
    }

    fn running(&self) -> &Owned {
        self.process.as_ref().expect("the relay was started")
    }
}
