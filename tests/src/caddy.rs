//! Caddy in front of a relay, with a configuration of the test's own and nothing of the system's.
//!
//! Debian's package `caddy`; `CADDY` names another. Where it is missing that is said as for browsers.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::browser::{free_port, required};
use crate::http;
use crate::process::Owned;
use crate::run::{say, until};

const START: Duration = Duration::from_secs(10);

/// A running Caddy. It ends with this.
#[derive(Debug)]
pub struct Caddy {
    address: SocketAddr,
    _process: Owned,
    _folder: TempDir,
}

impl Caddy {
    /// Starts one whose only site has these directives, on a free port and without HTTPS; `None`, said loudly, where it is
    /// not installed and not required.
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
                say(&format!("SKIPPED: caddy is not installed: {error}"));
                return None;
            }
        };
        until("Caddy to answer", START, async || http::get(address, "/").await.ok()).await;
        Some(Self { address, _process: process, _folder: folder })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a page: `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
