//! go2rtc (github.com/AlexxIT/go2rtc) with its own page `stream.html`. It reads the camera by RTSP itself.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sightline_tests::browser::free_port;
use sightline_tests::camera::Camera;
use sightline_tests::http;
use sightline_tests::process::Owned;
use sightline_tests::run::until;

use super::{Name, PlayerPage, RunningServer, version};

const START: Duration = Duration::from_secs(10);

pub(super) async fn start(program: &Path, camera: &Camera) -> Result<RunningServer, String> {
    let version = version(program, "-version").ok_or_else(|| format!("absent ({} is not there)", program.display()))?;
    let server = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let folder = tempfile::tempdir().expect("a temporary directory");
    let config = folder.path().join("go2rtc.yaml");
    std::fs::write(&config, configuration(server, free_port(), camera)).expect("the temporary directory is writable");
    let process = Owned::start("go2rtc", Command::new(program).arg("-config").arg(&config).current_dir(folder.path()));
    let process = process.map_err(|e| format!("absent ({}: {e})", program.display()))?;
    until("go2rtc to answer", START, async || http::get(server, "/api/streams").await.ok()).await;
    let page = |name, page| PlayerPage { name, server, page };
    Ok(RunningServer {
        name: Name::Go2rtc,
        version,
        pages: vec![
            page("MSE", "/stream.html?src=CAM&mode=mse"),
            page("WebRTC", "/stream.html?src=CAM&mode=webrtc"),
            page("HLS", "/stream.html?src=CAM&mode=hls"),
        ],
        pid: process.pid(),
        _running: Box::new((process, folder)),
    })
}

/// Its configuration: loopback only, without an RTSP server.
fn configuration(server: SocketAddr, webrtc: u16, camera: &Camera) -> String {
    let mut yaml = format!(
        "api:\n  listen: \"{server}\"\nrtsp:\n  listen: \"\"\nsrtp:\n  listen: \"\"\n\
         webrtc:\n  listen: \"127.0.0.1:{webrtc}\"\n  candidates:\n    - 127.0.0.1:{webrtc}\n  ice_servers: []\n  filters:\n    loopback: true\n\
         log:\n  level: warn\nstreams:\n"
    );
    for path in camera.paths() {
        writeln!(yaml, "  {path}: {}", camera.url(path)).expect("a string takes it");
    }
    yaml
}
