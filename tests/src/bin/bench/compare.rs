//! Compares all servers on the same cameras, one after the other, each with its own page. Measures the age of a frame from the
//! camera's clock to the screen, the time to the first frame, and stalls.
//!
//! Each server runs alone, after the previous one has ended. The time to the first frame is counted from the navigation. It is
//! measured on a camera without viewers and on later loads, for which a server may have kept its source. "H.265" names the
//! camera's codec: for a browser without an H.265 decoder, Sightline sends a transcode.

use std::time::Duration;

use serde_json::{Value, json};
use sightline_tests::browser::{Browser, Engine, LOOK_ON, Opening, Rgb, STALL, Summary};
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::http::Injector;
use sightline_tests::stats::median;
use tokio::time::sleep;

use crate::Row;
use crate::chart::{Chart, Line, distribution};
use crate::latency::SETTLE;
use crate::report::Part;
use crate::servers::{self, Name, PlayerPage, Programs, RunningServer};

const MARK: Rgb = Rgb(0x20, 0x40, 0xc0);
/// Each camera, its name in the table, and whether all protocols are measured in all browsers. Otherwise only the first
/// protocol of each server is measured, in the first browser.
const CAMERAS: [(Mount, &str, bool); 4] = [
    (Mount { path: "h264", kind: Kind::H264, mark: MARK }, "H.264", true),
    (Mount { path: "h265", kind: Kind::H265, mark: MARK }, "H.265", true),
    (Mount { path: "gop4", kind: Kind::H264Gop4, mark: MARK }, "H.264, key frame every 4 s", false),
    (Mount { path: "jitter", kind: Kind::Jittery, mark: MARK }, "H.264, up to 100 ms of jitter", false),
];
/// The duration of the age measurement.
const SPAN: Duration = Duration::from_secs(10);
/// Page loads per time to the first frame. The first load finds the camera without viewers.
const LOADS: usize = 3;
/// A page without a frame after this time cannot play the stream in this browser.
const LIMIT: Duration = Duration::from_secs(12);
/// The camera has no viewers for this time, which is longer than any of these servers keeps a source.
const UNWATCHED: Duration = Duration::from_secs(LINGER_SECONDS + 2);

/// The results of one protocol.
struct Measured {
    label: String,
    page: &'static str,
    /// Navigation to first frame on a camera without viewers, in ms.
    first: Option<f64>,
    /// The same for later loads: their median.
    again: Option<f64>,
    /// The same loads, counted from the page's request for media, where the page shows it.
    from_connection: Option<f64>,
    seen: Summary,
    ages: Vec<f64>,
}

pub(crate) async fn measure(programs: &Programs, engines: &[Engine]) -> Part {
    let camera = Camera::start(&CAMERAS.map(|(mount, ..)| mount)).await;
    let mut part = Part::default();
    part.rows.push(Row::new("side by side", "age p50 / p95 / worst; first frame, again; frames a second; stalls", ""));
    for &engine in engines {
        let Some(browser) = Browser::start(engine).await else {
            part.rows.push(Row::new(format!("side by side, {engine}"), "not installed", ""));
            continue;
        };
        let mut measured: Vec<(Name, Measured)> = Vec::new();
        for name in Name::ALL {
            let server = match servers::start(name, programs, &camera).await {
                Ok(server) => server,
                Err(why) => {
                    part.rows.push(Row::new(format!("{engine}: {name}"), why, ""));
                    continue;
                }
            };
            part.version(&name.to_string(), &server.version);
            for (mount, kind, every_way) in CAMERAS {
                let pages = match every_way {
                    true => server.pages.len(),
                    false if engine == engines[0] => 1,
                    false => 0,
                };
                for page in &server.pages[..pages] {
                    let label = format!("{name} {}", page.name);
                    eprintln!("compare: {engine}, {label}, {kind} …");
                    let what = format!("{engine}, {kind}: {label}");
                    match watch(&browser, &server, page, mount.path, label).await {
                        Ok(seen) => {
                            part.rows.push(Row::new(what, describe(&seen), limit(name, page, mount.path, engine)));
                            part.figures.push(figures(engine, kind, name, page, &seen));
                            if mount.path == "h264" {
                                measured.push((name, seen));
                            }
                        }
                        Err(why) => part.rows.push(Row::new(what, why, "")),
                    }
                }
            }
            browser.leave().await;
        }
        part.ratios.extend(ratios(engine, &measured));
        let lines = measured.iter().map(|(_, seen)| Line::new(&seen.label, distribution(&seen.ages))).collect();
        part.charts.push(Chart {
            file: format!("latency-{}", engine.to_string().to_lowercase()),
            title: format!("From the camera's clock to the screen: {engine}, H.264 by RTSP"),
            x: "age of a frame when it is shown, ms".to_owned(),
            y: "younger, % of frames".to_owned(),
            logarithmic: true,
            lines,
        });
    }
    part
}

/// Measures one protocol of one server on a stream.
///
/// # Errors
/// When it shows nothing, with the reason.
async fn watch(
    browser: &Browser,
    server: &RunningServer,
    page: &PlayerPage,
    stream: &str,
    label: String,
) -> Result<Measured, String> {
    let path = page.path(stream);
    let injector = Injector::start(page.server, LOOK_ON).await;
    let mut openings = Vec::new();
    browser.leave().await;
    if let Some(script) = page.reason_not_playable()
        && let Some(why) = browser.script(script, vec![]).await.as_str()
    {
        return Err(why.to_owned());
    }
    sleep(UNWATCHED).await;
    for _ in 0..LOADS {
        let opening = browser.time_opening(&injector, &path, LIMIT).await;
        if opening.shown.is_none() {
            return Err(format!("no frame within {} s", LIMIT.as_secs()));
        }
        openings.push(opening);
    }
    browser.open(&format!("http://{}{path}", page.server)).await;
    let mut watch = browser.open_latency_probe_on_page().await;
    browser.collect_for(&mut watch, SETTLE).await;
    let from = watch.until;
    browser.collect_for(&mut watch, SPAN).await;
    let watch = watch.between(from, watch.until);
    let seen = watch.summary(STALL).ok_or_else(|| format!("no frame with a clock ({})", server.name))?;
    let middle = |of: fn(&Opening) -> Option<f64>| {
        let times: Vec<f64> = openings[1..].iter().filter_map(of).collect();
        (!times.is_empty()).then(|| median(times))
    };
    let again = middle(|opening| opening.shown);
    let from_connection = middle(|opening| Some(opening.shown? - opening.connected?));
    let first = openings[0].shown;
    let ages = watch.samples.iter().map(|sample| sample.truth_ms).collect();
    Ok(Measured { label, page: page.name, first, again, from_connection, seen, ages })
}

fn describe(measured: &Measured) -> String {
    let seen = &measured.seen;
    let [first, again] = [measured.first, measured.again].map(Option::unwrap_or_default);
    let age = format!("{:.0} / {:.0} / {:.0} ms", seen.p50, seen.p95, seen.oldest);
    let stalls = format!("{} stalls, {:.1} s", seen.stalls, seen.frozen.as_secs_f64());
    format!(
        "{age}; {first:.0} / {again:.0} ms; {:.1}; {}",
        rate(seen),
        if seen.stalls == 0 { "no stall" } else { &stalls }
    )
}

/// Frames per second, including frames that the latency probe missed.
fn rate(seen: &Summary) -> f64 {
    (seen.frames as u64 + seen.missed) as f64 / seen.span.as_secs_f64().max(f64::EPSILON)
}

/// Our target, where we have one.
fn limit(name: Name, page: &PlayerPage, stream: &str, engine: Engine) -> &'static str {
    match (name, page.name, stream) {
        (Name::Sightline, "MSE", "h264" | "h265") if engine == Engine::WebKit => "260 ms",
        (Name::Sightline, "MSE", "h264" | "h265") => "170 / 230 ms",
        (Name::Sightline, "LL-HLS", "h264") => "2500 ms",
        _ => "",
    }
}

fn figures(engine: Engine, camera: &str, name: Name, page: &PlayerPage, measured: &Measured) -> Value {
    let seen = &measured.seen;
    json!({
        "part": "compare", "browser": engine.to_string(), "camera": camera, "server": name.to_string(),
        "way": page.name, "span_s": seen.span.as_secs_f64(),
        "age_ms": { "p50": seen.p50, "p95": seen.p95, "max": seen.max, "worst_on_screen": seen.oldest },
        "first_picture_ms": { "unwatched": measured.first, "again": measured.again, "again_from_connection": measured.from_connection },
        "frames_per_second": rate(seen), "stalls": seen.stalls, "frozen_s": seen.frozen.as_secs_f64(),
    })
}

/// Ratios of Sightline to each other server with the same protocol, for both readers of the camera.
fn ratios(engine: Engine, measured: &[(Name, Measured)]) -> Vec<Row> {
    let (ours, others): (Vec<_>, Vec<_>) = measured.iter().partition(|(name, _)| *name == Name::Sightline);
    let pairs = others.iter().flat_map(|(name, other)| {
        let same = ours.iter().filter(|(_, ours)| ours.page.split(',').next() == Some(other.page));
        same.map(move |(_, ours)| (ours, name, other))
    });
    let row = |(ours, name, other): (&Measured, &Name, &Measured)| {
        let (a, b) = (ours.seen.p50, other.seen.p50);
        let what = format!("{engine}, {}: age of the frame p50, Sightline : {name}", ours.page);
        Row::new(what, format!("{a:.0} : {b:.0} ms = {:.2}", a / b), "")
    };
    pairs.map(row).collect()
}
