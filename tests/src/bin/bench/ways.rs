//! The ways side by side, in one run, from one camera: how old the picture is, by the clock in it, how soon the first one
//! is there, how often it stands still. WebRTC, MSE and LL-HLS are the page's own, as `protocol=` names them. "HLS" is what
//! a player makes of the same playlist that knows nothing of parts: the relay's hls.js in a page of the bench's own
//! (`plain_hls.html`), with its default settings and `lowLatencyMode` off. Then the same camera, read by the relay itself.
//!
//! The stream is watched already, by WebSocket and by HLS. The first picture is counted from when the page asks for it: its
//! own scripts have been loaded then.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, STALL, TileState};
use sightline_tests::camera::Camera;
use sightline_tests::figures::median;
use sightline_tests::http::{self, Server};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::until;
use sightline_tests::viewer::{PLAYS_BOTH, Viewer};
use tokio::time::sleep;

use crate::latency::{CAM, DIRECT, LIVE, SETTLE};
use crate::{Row, in_each};

/// What the ages are of.
const SPAN: Duration = Duration::from_secs(12);
/// Loads of the page for a first picture.
const LOADS: usize = 3;
/// Often enough for the relay to keep its playlist going.
const RELOAD: Duration = Duration::from_secs(1);
const PLAIN_HLS: &str = include_str!("plain_hls.html");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    WebRtc,
    Mse,
    LowLatencyHls,
    PlainHls,
    DirectWebRtc,
    DirectMse,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WebRtc => "WebRTC",
            Self::Mse => "MSE",
            Self::LowLatencyHls => "LL-HLS",
            Self::PlainHls => "HLS",
            Self::DirectWebRtc => "WebRTC, read directly",
            Self::DirectMse => "MSE, read directly",
        })
    }
}

impl Way {
    const ALL: [Self; 6] =
        [Self::WebRtc, Self::Mse, Self::LowLatencyHls, Self::PlainHls, Self::DirectWebRtc, Self::DirectMse];

    fn url(self, relay: &Relay, plain: &Server) -> String {
        match self {
            Self::WebRtc => relay.url("/?stream=cam&protocol=webrtc"),
            Self::Mse => relay.url("/?stream=cam&protocol=mse"),
            Self::LowLatencyHls => relay.url("/?stream=cam&protocol=hls"),
            Self::PlainHls => plain.url("/"),
            Self::DirectWebRtc => relay.url("/?stream=direct&protocol=webrtc"),
            Self::DirectMse => relay.url("/?stream=direct&protocol=mse"),
        }
    }

    fn stream(self) -> &'static str {
        match self {
            Self::DirectWebRtc | Self::DirectMse => DIRECT,
            _ => CAM.path,
        }
    }

    /// What we promise of the oldest of 95 pictures of 100.
    fn limit(self) -> &'static str {
        if self == Self::LowLatencyHls { "2500 ms" } else { "" }
    }
}

/// A row for each way of each of these engines.
pub(crate) async fn measure(engines: &[Engine]) -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config() + &camera.read_directly(DIRECT, CAM.path)).start().await;
    let page = PLAIN_HLS.replace("RELAY", &relay.url(""));
    let plain = Server::start(HashMap::from([("/", ("text/html", page.into_bytes()))])).await;
    let _watched = [
        Viewer::playing(&relay, CAM.path, &PLAYS_BOTH).await.watch(),
        Viewer::playing(&relay, DIRECT, &PLAYS_BOTH).await.watch(),
    ];
    let reader = tokio::spawn(read_playlist(relay.address()));
    let mut rows = vec![Row::new("", "age p50 / p95 / worst; first picture; stalls", "p95")];
    rows.extend(
        in_each("ways", engines, async |browser| {
            let mut rows = Vec::new();
            for way in Way::ALL {
                let name = format!("{}, {way}", browser.engine());
                eprintln!("ways: {name} …");
                let measured = watch(browser, &way.url(&relay, &plain), way.stream()).await;
                eprintln!("ways: {name}: {measured}");
                rows.push(Row::new(name, measured, way.limit()));
            }
            browser.leave().await;
            rows
        })
        .await,
    );
    reader.abort();
    rows
}

/// An HLS viewer, for as long as it is let.
async fn read_playlist(relay: SocketAddr) {
    loop {
        // It fails when the relay ends, as does this.
        let _ = http::get(relay, "/hls/cam/copy/media.m3u8").await;
        sleep(RELOAD).await;
    }
}

async fn watch(browser: &Browser, url: &str, stream: &str) -> String {
    let mut firsts = Vec::new();
    for _ in 0..LOADS {
        browser.leave().await;
        browser.open(url).await;
        let first = until("a picture, or why there is none", LIVE, async || {
            let tile = browser.tile(stream).await?;
            match tile.state {
                TileState::Error => Some(Err(tile.message)),
                TileState::Live => tile.first_picture_ms.map(Ok),
                _ => None,
            }
        });
        match first.await {
            Ok(ms) => firsts.push(ms),
            Err(message) => {
                eprintln!("ways: {message}");
                return "absent in this browser".to_owned();
            }
        }
    }
    sleep(SETTLE).await;
    let Some(seen) = browser.watch_clock(stream, SPAN).await.summary(STALL) else {
        return "no picture with a clock".to_owned();
    };
    let age = format!("{:.0} / {:.0} / {:.0} ms", seen.p50, seen.p95, seen.oldest);
    let stalls = format!("{} stalls, {:.1} s", seen.stalls, seen.frozen.as_secs_f64());
    format!("{age}; {:.0} ms; {}", median(firsts), if seen.stalls == 0 { "no stall" } else { &stalls })
}
