//! Measures the age of a presented frame, from the camera's clock burned into it. The age includes the camera's encoder, RTSP,
//! FFmpeg, the relay and the browser. The direct reader is measured as well.

use std::time::Duration;

use sightline_tests::browser::{Engine, Rgb, STALL, Summary};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use tokio::time::sleep;

use crate::{Row, in_each};

/// The camera of this and its sibling parts.
pub(crate) const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
/// The same camera, read by the relay without FFmpeg.
pub(crate) const DIRECT: &str = "direct";
/// The time limit from navigation to a live frame, with FFmpeg to be started.
pub(crate) const LIVE: Duration = Duration::from_secs(30);
/// The time between first frame and measurement: a player may need this long to reach its live edge.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);
/// The duration of the measurement: long enough to find one stall per minute.
const SPAN: Duration = Duration::from_secs(60);

pub(crate) async fn measure(engines: &[Engine]) -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config_by_ffmpeg() + &camera.read_directly(DIRECT, CAM.path)).start().await;
    in_each("latency", engines, async |browser| {
        let mut rows = Vec::new();
        for stream in [CAM.path, DIRECT] {
            let who = match stream {
                DIRECT => format!("{}, read directly", browser.engine()),
                _ => browser.engine().to_string(),
            };
            eprintln!("latency: {who}, {SPAN:?} …");
            browser.open(&relay.url(&format!("/?stream={stream}"))).await;
            browser.wait_live(stream, LIVE).await;
            sleep(SETTLE).await;
            let watch = browser.watch_clock(stream, SPAN).await;
            rows.extend(match watch.summary(STALL) {
                Some(summary) => describe(browser.engine(), &who, &summary),
                None => vec![Row::new(format!("latency, {who}"), "no frame with a clock", "")],
            });
        }
        rows
    })
    .await
}

fn describe(engine: Engine, who: &str, summary: &Summary) -> Vec<Row> {
    let limit = if engine == Engine::WebKit { "260 ms" } else { "170 / 230 ms" };
    let age = format!("{:.0} / {:.0} ms (worst {:.0})", summary.p50, summary.p95, summary.oldest);
    let stalls = format!("{:.1} ({:.1} s frozen)", summary.stalls_per_minute(), summary.frozen.as_secs_f64());
    let claim = summary.claim_error_p95.map_or_else(|| "nothing claimed".to_owned(), |ms| format!("{ms:.0} ms"));
    let frames = format!("{} of {} ({} unseen)", summary.frames, frames_in(summary.span), summary.missed);
    vec![
        Row::new(format!("{who}: age of the frame, p50 / p95"), age, limit),
        Row::new(format!("{who}: stalls a minute"), stalls, "1"),
        Row::new(format!("{who}: claimed age beside the true one, p95"), claim, "20 ms"),
        Row::new(format!("{who}: frames shown"), frames, ""),
    ]
}

/// The frames that the camera sends in this time.
fn frames_in(span: Duration) -> u64 {
    (span.as_secs_f64() * 25.0).round() as u64
}
