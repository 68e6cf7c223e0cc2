//! Caddy in front of a relay, with a configuration of this test and none of the system's.
//!
//! Uses Debian's package `caddy`, or the program that `CADDY` names. If it is missing, tests are skipped or fail as for
//! browsers.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::browser::{free_port, required};
use crate::http;
use crate::outcome::skip;
use crate::process::Owned;
use crate::run::until;

const START: Duration = Duration::from_secs(10);

/// A running Caddy, stopped on drop.
#[derive(Debug)]
pub struct Caddy {
    address: SocketAddr,
    _process: Owned,
    _folder: TempDir,
}

impl Caddy {
    /// Starts Caddy with one site of these directives, on a free port and without HTTPS. `None`, with a `SKIPPED:` line, if it
    /// is neither installed nor required.
    ///
    /// # Panics
    /// When it does not start, or is required and not installed.
    pub async fn start(site: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let file = folder.path().join("Caddyfile");
        let config = format!("{{\nadmin off\n}}\nhttp://{address} {{\n{site}\n}}\n");
        std::fs::write(&file, config).expect("the temporary directory is writable");
        let program = std::env::var("CADDY").unwrap_or_else(|_| "caddy".to_owned());
        let mut command = Command::new(program);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file).env("HOME", folder.path());
        command.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
        let process = match Owned::start("caddy", &mut command) {
            Ok(process) => process,
            Err(error) => {
                assert!(!required(), "caddy: {error}, and SIGHTLINE_REQUIRE_BROWSERS is set");
                skip(&format!("caddy is not installed: {error}"));
                return None;
            }
        };
        until("Caddy to answer", START, async || http::get(address, "/").await.ok()).await;
        Some(Self { address, _process: process, _folder: folder })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a page. `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
