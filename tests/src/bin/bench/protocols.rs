//! Compares the protocols in one run, from one camera: the age of frames by the clock in them, the time to the first frame, and
//! stalls. WebRTC, MSE, WebCodecs and LL-HLS are the page's own, as `protocol=` names them. "HLS" is a player of the same playlist without
//! support for parts: the relay's hls.js in a page of the bench (`plain_hls.html`), with default settings and `lowLatencyMode`
//! off. The last three rows use the direct reader. The age by WebCodecs is that at the first animation frame after the painting.
//!
//! The stream already has viewers by WebSocket and HLS. The time to the first frame is counted from the page's request for
//! media, after its own scripts have loaded.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, STALL, TileState};
use sightline_tests::camera::Camera;
use sightline_tests::http::{self, Server};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::until;
use sightline_tests::stats::median;
use sightline_tests::viewer::{PLAYS_BOTH, Viewer};
use tokio::time::sleep;

use crate::latency::{CAM, DIRECT, LIVE, SETTLE};
use crate::{Row, in_each};

/// The duration of the age measurement.
const SPAN: Duration = Duration::from_secs(12);
/// Page loads per time to the first frame.
const LOADS: usize = 3;
/// Often enough that the relay keeps its playlist running.
const RELOAD: Duration = Duration::from_secs(1);
const PLAIN_HLS: &str = include_str!("plain_hls.html");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MeasuredProtocol {
    WebRtc,
    Mse,
    LowLatencyHls,
    PlainHls,
    DirectWebRtc,
    DirectMse,
    DirectWebCodecs,
}

impl fmt::Display for MeasuredProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WebRtc => "WebRTC",
            Self::Mse => "MSE",
            Self::LowLatencyHls => "LL-HLS",
            Self::PlainHls => "HLS",
            Self::DirectWebRtc => "WebRTC, read directly",
            Self::DirectMse => "MSE, read directly",
            Self::DirectWebCodecs => "WebCodecs, read directly",
        })
    }
}

impl MeasuredProtocol {
    const ALL: [Self; 7] = [
        Self::WebRtc,
        Self::Mse,
        Self::LowLatencyHls,
        Self::PlainHls,
        Self::DirectWebRtc,
        Self::DirectMse,
        Self::DirectWebCodecs,
    ];

    fn url(self, relay: &Relay, plain: &Server) -> String {
        match self {
            Self::WebRtc => relay.url("/?stream=cam&protocol=webrtc"),
            Self::Mse => relay.url("/?stream=cam&protocol=mse"),
            Self::LowLatencyHls => relay.url("/?stream=cam&protocol=hls"),
            Self::PlainHls => plain.url("/"),
            Self::DirectWebRtc => relay.url("/?stream=direct&protocol=webrtc"),
            Self::DirectMse => relay.url("/?stream=direct&protocol=mse"),
            Self::DirectWebCodecs => relay.url("/?stream=direct&protocol=webcodecs"),
        }
    }

    fn stream(self) -> &'static str {
        match self {
            Self::DirectWebRtc | Self::DirectMse | Self::DirectWebCodecs => DIRECT,
            _ => CAM.path,
        }
    }

    /// Our target for the 95th percentile.
    fn limit(self) -> &'static str {
        if self == Self::LowLatencyHls { "2500 ms" } else { "" }
    }
}

pub(crate) async fn measure(engines: &[Engine]) -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config_by_ffmpeg() + &camera.read_directly(DIRECT, CAM.path)).start().await;
    let page = PLAIN_HLS.replace("RELAY", &relay.url(""));
    let plain = Server::start(HashMap::from([("/", ("text/html", page.into_bytes()))])).await;
    let _watched = [
        Viewer::playing(&relay, CAM.path, &PLAYS_BOTH).await.watch(),
        Viewer::playing(&relay, DIRECT, &PLAYS_BOTH).await.watch(),
    ];
    let reader = tokio::spawn(read_playlist(relay.address()));
    let mut rows = vec![Row::new("", "age p50 / p95 / worst; first frame; stalls", "p95")];
    rows.extend(
        in_each("protocols", engines, async |browser| {
            let mut rows = Vec::new();
            for protocol in MeasuredProtocol::ALL {
                let name = format!("{}, {protocol}", browser.engine());
                eprintln!("protocols: {name} …");
                let measured = watch(browser, &protocol.url(&relay, &plain), protocol.stream()).await;
                eprintln!("protocols: {name}: {measured}");
                rows.push(Row::new(name, measured, protocol.limit()));
            }
            browser.leave().await;
            rows
        })
        .await,
    );
    reader.abort();
    rows
}

/// Reloads a playlist until the task is aborted.
async fn read_playlist(relay: SocketAddr) {
    loop {
        // The request fails when the relay ends, shortly before this task does.
        let _ = http::get(relay, "/hls/cam/copy/media.m3u8").await;
        sleep(RELOAD).await;
    }
}

async fn watch(browser: &Browser, url: &str, stream: &str) -> String {
    let mut firsts = Vec::new();
    for _ in 0..LOADS {
        browser.leave().await;
        browser.open(url).await;
        let first = until("a frame, or why there is none", LIVE, async || {
            let tile = browser.tile(stream).await?;
            match tile.state {
                TileState::Error => Some(Err(tile.message)),
                TileState::Live => tile.first_frame_ms.map(Ok),
                _ => None,
            }
        });
        match first.await {
            Ok(ms) => firsts.push(ms),
            Err(message) => {
                eprintln!("protocols: {message}");
                return "absent in this browser".to_owned();
            }
        }
    }
    sleep(SETTLE).await;
    let Some(seen) = browser.watch_clock(stream, SPAN).await.summary(STALL) else {
        return "no frame with a clock".to_owned();
    };
    let age = format!("{:.0} / {:.0} / {:.0} ms", seen.p50, seen.p95, seen.oldest);
    let stalls = format!("{} stalls, {:.1} s", seen.stalls, seen.frozen.as_secs_f64());
    format!("{age}; {:.0} ms; {}", median(firsts), if seen.stalls == 0 { "no stall" } else { &stalls })
}
