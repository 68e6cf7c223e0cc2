//! nginx in front of a relay, with a configuration of the test's own and nothing of the system's.
//!
//! Debian's package `nginx`; `NGINX` names another. Where it is missing that is said as for browsers.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::browser::{free_port, required};
use crate::http;
use crate::process::Owned;
use crate::run::{say, until};

const START: Duration = Duration::from_secs(10);

/// A running nginx. It ends with this.
#[derive(Debug)]
pub struct Nginx {
    address: SocketAddr,
    _process: Owned,
    _folder: TempDir,
}

impl Nginx {
    /// Starts one whose only server has these directives, on a free port; `None`, said loudly, where it is not installed
    /// and not required.
    ///
    /// # Panics
    /// When it does not start, or is required and not installed.
    pub async fn start(server: &str) -> Option<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, server).await
    }

    /// The same at that address; at all of this machine's, if it is the unspecified one.
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
                say(&format!("SKIPPED: nginx is not installed: {error}"));
                return None;
            }
        };
        until("nginx to answer", START, async || http::get(address, "/").await.ok()).await;
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
