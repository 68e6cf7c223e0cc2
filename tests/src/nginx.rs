//! nginx in front of a relay, with a configuration of this test and none of the system's.
//!
//! Uses Debian's package `nginx`, or the program that `NGINX` names. If it is missing, tests are skipped or fail as for
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

/// A running nginx, stopped on drop.
#[derive(Debug)]
pub struct Nginx {
    address: SocketAddr,
    _process: Owned,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx with one server of these directives, on a free port. `None`, with a `SKIPPED:` line, if it is neither
    /// installed nor required.
    ///
    /// # Panics
    /// When it does not start, or is required and not installed.
    pub async fn start(server: &str) -> Option<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, server).await
    }

    /// Starts nginx at that address. The unspecified address stands for all addresses of this machine.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_at(ip: Ipv4Addr, server: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let address = SocketAddr::from((ip, free_port()));
        let place = folder.path().display();
        let files: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("{of}_temp_path {place}/{of};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{files}server {{\nlisten {address};\n{server}\n}}\n}}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).expect("the temporary directory is writable");
        let program = std::env::var("NGINX").unwrap_or_else(|_| "nginx".to_owned());
        let mut command = Command::new(program);
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).args(["-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(file);
        let process = match Owned::start("nginx", &mut command) {
            Ok(process) => process,
            Err(error) => {
                assert!(!required(), "nginx: {error}, and SIGHTLINE_REQUIRE_BROWSERS is set");
                skip(&format!("nginx is not installed: {error}"));
                return None;
            }
        };
        until("nginx to answer", START, async || http::get(address, "/").await.ok()).await;
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
