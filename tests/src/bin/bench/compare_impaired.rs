//! Compares all servers on the same impaired link, one after the other. Each uses its own page and its first protocol over HTTP
//! or WebSocket.
//!
//! The link is first throttled below the stream's bit rate, then resets all connections. On a new page load it then delays
//! everything, with jitter. WebRTC is excluded: the link's proxy forwards TCP only.

use std::time::Duration;

use serde_json::{Value, json};
use sightline_tests::browser::{Browser, Engine, Rgb, STALL, Watch};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::impaired_link::ImpairedLink;
use tokio::time::{Instant, sleep};

use crate::Row;
use crate::chart::{Chart, Line};
use crate::report::Part;
use crate::servers::{self, Name, PlayerPage, Programs};

/// Enough to fill a link.
const CAM: Mount = Mount { path: "cam", kind: Kind::Busy, mark: Rgb(0x20, 0x40, 0xc0) };
/// The share of the stream's bit rate that remains.
const THROTTLED_TO: f64 = 0.6;
/// The phases: unimpaired, throttled, unthrottled, and after the reset.
const GOOD: Duration = Duration::from_secs(10);
const THROTTLED: Duration = Duration::from_secs(20);
const RECOVERY: Duration = Duration::from_secs(15);
/// The tolerance over the oldest frame of the unimpaired phase. A player within it has recovered.
const BACK_MS: f64 = 80.0;
/// 200 ± 80 ms, each way.
const DELAY: (Duration, Duration) = (Duration::from_millis(120), Duration::from_millis(160));
const DELAYED: Duration = Duration::from_secs(20);
/// The time limit from navigation to first frame.
const LIMIT: Duration = Duration::from_secs(12);
/// The time between first frame and measurement: a player may need this long to reach its live edge.
const SETTLE: Duration = Duration::from_secs(10);
/// The interval between two points of the chart.
const STEP_MS: f64 = 200.0;

/// Rows, a chart and figures, for the first of these engines that is installed.
pub(crate) async fn measure(programs: &Programs, engines: &[Engine]) -> Part {
    let mut part = Part::default();
    let mut browser = None;
    for &engine in engines {
        if browser.is_none() {
            browser = Browser::start(engine).await;
        }
    }
    let Some(browser) = browser else {
        part.rows.push(Row::new("impaired link", "no browser is installed", ""));
        return part;
    };
    let camera = Camera::start(&[CAM]).await;
    let mut lines = Vec::new();
    let what = format!("impaired link, {}", browser.engine());
    part.rows.push(Row::new(what, "too little room: oldest frame, back after; reset: back after; delayed", ""));
    for name in Name::ALL {
        let server = match servers::start(name, programs, &camera).await {
            Ok(server) => server,
            Err(why) => {
                part.rows.push(Row::new(format!("impaired link: {name}"), why, ""));
                continue;
            }
        };
        let Some(page) = server.pages.iter().find(|page| page.name != "WebRTC") else { continue };
        let label = format!("{name} {}", page.name);
        eprintln!("compare-impaired: {}, {label} …", browser.engine());
        let what = format!("impaired link: {label}");
        match measure_server(&browser, page).await {
            Some(seen) => {
                part.rows.push(Row::new(what, seen.describe(), ""));
                part.figures.push(seen.figures(browser.engine(), &label));
                lines.push(Line::new(label, ages(&seen.watch)));
            }
            None => part.rows.push(Row::new(what, format!("no frame within {} s", LIMIT.as_secs()), "")),
        }
        browser.leave().await;
        if server.pages.iter().any(|page| page.name == "WebRTC") {
            let what = format!("impaired link: {name} WebRTC");
            part.rows.push(Row::new(what, "does not get through what carries HTTP alone", ""));
        }
    }
    let [room, free, reset] = [GOOD, GOOD + THROTTLED, GOOD + THROTTLED + RECOVERY].map(|at| at.as_secs());
    part.charts.push(Chart {
        file: "impaired-link".to_owned(),
        title: format!(
            "60 % of the room from {room} to {free} s, all connections reset at {reset} s: {}",
            browser.engine()
        ),
        x: "s".to_owned(),
        y: "age of the frame on the screen, ms".to_owned(),
        logarithmic: false,
        lines,
    });
    part
}

/// The results of one server.
struct Seen {
    mbit: f64,
    watch: Watch,
    /// The oldest frame during throttling, in ms.
    oldest: f64,
    /// Recovery times in s, after throttling and after the reset. None without recovery before the end.
    back: Option<f64>,
    back_from_reset: Option<f64>,
    delayed: Option<Watch>,
}

async fn measure_server(browser: &Browser, page: &PlayerPage) -> Option<Seen> {
    let link = ImpairedLink::to(page.server).await;
    let mut watch = open(browser, &link, page).await?;
    let start = watch.until;
    let delivered = link.delivered();
    browser.collect_for(&mut watch, GOOD).await;
    let room = watch.until;
    let rate = (link.delivered() - delivered) as f64 / (room - start) * 1e3;
    link.throttle(Some((rate * THROTTLED_TO) as u32));
    browser.collect_for(&mut watch, THROTTLED).await;
    let free = watch.until;
    link.throttle(None);
    browser.collect_for(&mut watch, RECOVERY).await;
    let reset = watch.until;
    link.reset();
    browser.collect_for(&mut watch, RECOVERY).await;
    let target = watch.between(start, room).summary(STALL)?.oldest + BACK_MS;
    let back = |from: f64, until: f64| {
        let at = watch.between(from, until).fresh_since(from, target)?;
        Some((at - from).max(0.0) / 1e3)
    };
    let (after_room, after_reset) = (back(free, reset), back(reset, watch.until));
    let oldest = oldest(&watch, room, free);
    browser.leave().await;
    link.delay(DELAY.0, DELAY.1);
    let delayed = match open(browser, &link, page).await {
        Some(mut watch) => {
            let from = watch.until;
            browser.collect_for(&mut watch, DELAYED).await;
            Some(watch.between(from, watch.until))
        }
        None => None,
    };
    let watch = watch.between(start, watch.until);
    Some(Seen { mbit: rate * 8e-6, watch, oldest, back: after_room, back_from_reset: after_reset, delayed })
}

/// Opens a page, waits for a frame and lets the player settle.
async fn open(browser: &Browser, link: &ImpairedLink, page: &PlayerPage) -> Option<Watch> {
    browser.open(&link.url(&page.path(CAM.path))).await;
    let mut watch = browser.open_latency_probe_on_page().await;
    let begun = Instant::now();
    while watch.samples.is_empty() {
        if begun.elapsed() > LIMIT {
            return None;
        }
        sleep(Duration::from_millis(200)).await;
        browser.collect(&mut watch).await;
    }
    browser.collect_for(&mut watch, SETTLE).await;
    Some(watch)
}

/// The age of the frame on the screen at regular intervals: (seconds, ms).
fn ages(watch: &Watch) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let mut samples = watch.samples.iter().peekable();
    let (mut shown, mut at) = (None, watch.from);
    while at <= watch.until {
        while let Some(sample) = samples.next_if(|sample| sample.at <= at) {
            shown = Some(sample.made_at());
        }
        points.extend(shown.map(|made| ((at - watch.from) / 1e3, at - made)));
        at += STEP_MS;
    }
    points
}

/// The age of the oldest frame on the screen in this interval, in ms. The frame may have been shown before the interval began.
fn oldest(watch: &Watch, from: f64, until: f64) -> f64 {
    let before = watch.samples.iter().rev().find(|sample| sample.at <= from);
    let within = watch.samples.iter().filter(|sample| (from..until).contains(&sample.at));
    let shown: Vec<_> = before.into_iter().chain(within).collect();
    let ends = shown.iter().skip(1).map(|sample| sample.at).chain([until]);
    shown.iter().zip(ends).map(|(sample, end)| end - sample.made_at()).fold(0.0, f64::max)
}

impl Seen {
    fn describe(&self) -> String {
        let back = |at: Option<f64>| at.map_or_else(|| "not".to_owned(), |seconds| format!("{seconds:.1} s"));
        let delayed = self.delayed.as_ref().and_then(|watch| watch.summary(STALL));
        let delayed = delayed.map_or_else(
            || "no frame".to_owned(),
            |seen| format!("p50 {:.0}, oldest {:.0} ms, {} stalls", seen.p50, seen.oldest, seen.stalls),
        );
        let [room, reset] = [back(self.back), back(self.back_from_reset)];
        format!("{:.0} ms, {room}; {reset}; {delayed}", self.oldest)
    }

    fn figures(&self, engine: Engine, label: &str) -> Value {
        let delayed = self.delayed.as_ref().and_then(|watch| watch.summary(STALL));
        json!({
            "part": "compare-impaired", "browser": engine.to_string(), "server": label, "stream_mbit_per_s": self.mbit,
            "throttled": { "to": THROTTLED_TO, "for_s": THROTTLED.as_secs(), "oldest_ms": self.oldest, "back_after_s": self.back },
            "reset": { "back_after_s": self.back_from_reset },
            "delayed": delayed.map(|seen| json!({
                "p50_ms": seen.p50, "p95_ms": seen.p95, "oldest_ms": seen.oldest, "stalls": seen.stalls,
                "frozen_s": seen.frozen.as_secs_f64(), "span_s": seen.span.as_secs_f64(),
            })),
        })
    }
}
