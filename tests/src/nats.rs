//! A NATS server between relays, with a configuration of this test.
//!
//! Uses Debian's package `nats-server`, or the program that `NATS_SERVER` names. If it is missing, tests are skipped or fail as for
//! browsers.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::browser::{free_port, required};
use crate::outcome::skip;
use crate::process::Owned;

const START: Duration = Duration::from_secs(10);

/// A NATS server, stopped on drop.
#[derive(Debug)]
pub struct Nats {
    port: u16,
    config: PathBuf,
    process: Option<Owned>,
    _folder: TempDir,
}

impl Nats {
    /// Starts a server with these lines in its configuration, on a free port. `None`, with a `SKIPPED:` line, if it is neither
    /// installed nor required.
    ///
    /// # Panics
    /// When it does not start, or is required and not installed.
    pub async fn start(lines: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (port, config) = (free_port(), folder.path().join("nats.conf"));
        std::fs::write(&config, format!("listen: 127.0.0.1:{port}\n{lines}\n")).expect("a temporary directory");
        let mut nats = Self { port, config, process: None, _folder: folder };
        match nats.launch() {
            Ok(process) => {
                nats.wait(process).await;
                Some(nats)
            }
            Err(error) => {
                assert!(!required(), "nats-server: {error}, and SIGHTLINE_REQUIRE_BROWSERS is set");
                skip(&format!("nats-server is not installed: {error}"));
                None
            }
        }
    }

    /// Its port, the same after every [`Self::restart`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, the same after every [`Self::restart`].
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The section of a relay of this name that uses the server.
    pub fn section(&self, name: &str, options: &str) -> String {
        format!("[cluster]\nservers = [\"{}\"]\nname = \"{name}\"\n{options}", self.url())
    }

    /// Kills it: connections break at once.
    pub fn stop(&mut self) {
        if let Some(process) = &self.process {
            process.signal(Signal::KILL);
        }
        self.process = None;
    }

    /// Starts it again on its port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop();
        let process = self.launch().expect("it was installed before");
        self.wait(process).await;
    }

    fn launch(&self) -> std::io::Result<Owned> {
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        Owned::start("nats-server", Command::new(program).env("PATH", path).arg("-c").arg(&self.config))
    }

    async fn wait(&mut self, process: Owned) {
        let ready = |line: &str| line.contains("Server is ready").then_some(());
        process.stderr.wait_for("the NATS server to listen", START, ready).await;
        self.process = Some(process);
    }
}
