//! MediaMTX (github.com/bluenviron/mediamtx) with the pages of its WebRTC and HLS servers. It reads the camera by RTSP itself.

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
    let version =
        version(program, "--version").ok_or_else(|| format!("absent ({} is not there)", program.display()))?;
    let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (hls, webrtc) = (address(), address());
    let folder = tempfile::tempdir().expect("a temporary directory");
    let config = folder.path().join("mediamtx.yml");
    std::fs::write(&config, configuration(hls, webrtc, address(), camera))
        .expect("the temporary directory is writable");
    let process = Owned::start("mediamtx", Command::new(program).arg(&config).current_dir(folder.path()));
    let process = process.map_err(|e| format!("absent ({}: {e})", program.display()))?;
    until("MediaMTX to answer", START, async || http::get(hls, "/").await.ok()).await;
    Ok(RunningServer {
        name: Name::MediaMtx,
        version,
        pages: vec![
            PlayerPage { name: "WebRTC", server: webrtc, page: "/CAM/" },
            PlayerPage { name: "LL-HLS", server: hls, page: "/CAM/" },
        ],
        pid: process.pid(),
        _running: Box::new((process, folder)),
    })
}

/// Its configuration: loopback only, only the measured protocols.
fn configuration(hls: SocketAddr, webrtc: SocketAddr, ice: SocketAddr, camera: &Camera) -> String {
    let mut yaml = format!(
        "logLevel: warn\nrtsp: no\nrtmp: no\nsrt: no\n\
         hls: yes\nhlsAddress: {hls}\nhlsVariant: lowLatency\nhlsAlwaysRemux: yes\n\
         webrtc: yes\nwebrtcAddress: {webrtc}\nwebrtcLocalUDPAddress: {ice}\nwebrtcAdditionalHosts: [127.0.0.1]\npaths:\n"
    );
    for path in camera.paths() {
        writeln!(yaml, "  {path}:\n    source: {}\n    rtspTransport: tcp", camera.url(path))
            .expect("a string takes it");
    }
    yaml
}
