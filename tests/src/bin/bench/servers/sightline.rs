//! The relay under test, with its own page for each protocol, and with and without FFmpeg as the camera's reader.

use sightline_tests::camera::Camera;
use sightline_tests::relay::{self, Setup};

use super::{Name, PlayerPage, RunningServer, version};

pub(super) async fn start(camera: &Camera) -> RunningServer {
    let direct: String = camera.paths().map(|path| camera.read_directly(&format!("{path}-direct"), path)).collect();
    let relay = Setup::config(camera.config_by_ffmpeg() + &direct).env("RUST_LOG", "warn").start().await;
    let page = |name, page| PlayerPage { name, server: relay.address(), page };
    RunningServer {
        name: Name::Sightline,
        version: version(&relay::binary(), "--version").unwrap_or_default(),
        pages: vec![
            page("MSE", "/?stream=CAM&protocol=mse"),
            page("WebRTC", "/?stream=CAM&protocol=webrtc"),
            page("LL-HLS", "/?stream=CAM&protocol=hls"),
            page("MSE, read directly", "/?stream=CAM-direct&protocol=mse"),
            page("WebRTC, read directly", "/?stream=CAM-direct&protocol=webrtc"),
        ],
        pid: relay.pid(),
        _running: Box::new(relay),
    }
}
