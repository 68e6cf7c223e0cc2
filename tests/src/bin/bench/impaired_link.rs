//! Video on an impaired link: throttled below the stream's bit rate, and delayed with jitter.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, Rgb, STALL, Watch};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::impaired_link::ImpairedLink;
use sightline_tests::relay::{Relay, Setup};
use tokio::time::sleep;

use crate::latency::{LIVE, SETTLE};
use crate::{Row, in_each};

/// 2 Mbit/s: as much as a camera of this size sends, and enough to fill a link.
const CAM: Mount = Mount { path: "cam", kind: Kind::Busy, mark: Rgb(0x20, 0x40, 0xc0) };
/// The share of the stream's bit rate that remains.
const THROTTLED_TO: f64 = 0.6;
const THROTTLED: Duration = Duration::from_secs(60);
const RECOVERY: Duration = Duration::from_secs(20);
/// The tolerance over the earlier age. A player within it has recovered.
const AT_TARGET_MS: f64 = 80.0;
/// 200 ± 80 ms, each way.
const DELAY: (Duration, Duration) = (Duration::from_millis(120), Duration::from_millis(160));
const DELAYED_SETTLE: Duration = Duration::from_secs(10);
const DELAYED: Duration = Duration::from_secs(60);

pub(crate) async fn measure(engines: &[Engine]) -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config_with_low()).start().await;
    in_each("impaired-link", engines, async |browser| {
        let engine = browser.engine();
        eprintln!("throttled: {engine}, {THROTTLED:?} …");
        let mut rows = throttled(browser, &relay).await;
        eprintln!("delayed: {engine}, {DELAYED:?} …");
        rows.extend(delayed(browser, &relay).await);
        rows
    })
    .await
}

async fn throttled(browser: &Browser, relay: &Relay) -> Vec<Row> {
    let engine = browser.engine();
    let link = ImpairedLink::to(relay.address()).await;
    open(browser, &link).await;
    let before = browser.watch_clock(CAM.path, SETTLE).await;
    let Some(target) = before.summary(STALL).map(|summary| summary.p95 + AT_TARGET_MS) else {
        return vec![Row::new(format!("{engine}: throttled"), "no frame with a clock", "")];
    };
    let start = link.delivered();
    sleep(SETTLE).await;
    let rate = (link.delivered() - start) as f64 / SETTLE.as_secs_f64();
    link.throttle(Some((rate * THROTTLED_TO) as u32));
    let slow = browser.watch_clock(CAM.path, THROTTLED).await;
    let variant = browser.tile(CAM.path).await.and_then(|tile| tile.variant).unwrap_or_default();
    link.throttle(None);
    let after = browser.watch_clock(CAM.path, RECOVERY).await;
    let back = after.fresh_since(after.from, target);
    let full = browser.tile(CAM.path).await.and_then(|tile| tile.variant).unwrap_or_default();
    let back = back.map_or("not back".to_owned(), |at| format!("{:.1} s ({full})", (at - after.from).max(0.0) / 1e3));
    vec![
        Row::new(
            format!("{engine}: oldest frame, throttled to 60 % of {:.1} Mbit/s", rate * 8e-6),
            format!("{} ({variant})", describe(&slow)),
            "1500 ms",
        ),
        Row::new(format!("{engine}: back at its target after that"), back, "5 s"),
    ]
}

async fn delayed(browser: &Browser, relay: &Relay) -> Vec<Row> {
    let engine = browser.engine();
    let link = ImpairedLink::to(relay.address()).await;
    link.delay(DELAY.0, DELAY.1);
    open(browser, &link).await;
    sleep(DELAYED_SETTLE - SETTLE).await;
    let watch = browser.watch_clock(CAM.path, DELAYED).await;
    let stalls = watch.summary(STALL).map_or("no frame".to_owned(), |summary| summary.stalls.to_string());
    vec![Row::new(
        format!("{engine}: stalls in a minute of 200 ± 80 ms each way"),
        format!("{stalls}; {}", describe(&watch)),
        "0",
    )]
}

async fn open(browser: &Browser, link: &ImpairedLink) {
    browser.open(&link.url("/?stream=cam")).await;
    browser.wait_live(CAM.path, LIVE).await;
    sleep(SETTLE).await;
}

fn describe(watch: &Watch) -> String {
    watch.summary(STALL).map_or("no frame".to_owned(), |seen| {
        format!("{:.0} ms (p50 {:.0}, {} stalls)", seen.oldest, seen.p50, seen.stalls)
    })
}
