//! All contestants on the same cameras, one after the other, each by its own page: how old the picture is when it is shown,
//! from the camera's clock to the screen; how soon the first one is there; how often it stands still.
//!
//! Each is measured alone, after the one before has ended. Of the first picture there are two times, from the navigation on:
//! that of a camera that nobody has watched for a while, and that of the loads after it, for which a server may have kept what it
//! had. What is called H.265 is what the camera sends: where the browser has no decoder for it, Sightline shows a transcode.

use std::time::Duration;

use serde_json::{Value, json};
use sightline_tests::browser::{Browser, Engine, LOOK_ON, Opening, Rgb, STALL, Summary};
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::figures::median;
use sightline_tests::http::Injector;
use tokio::time::sleep;

use crate::Row;
use crate::chart::{Chart, Line, distribution};
use crate::contestants::{self, Contestant, Name, Programs, Way};
use crate::latency::SETTLE;
use crate::report::Part;

const MARK: Rgb = Rgb(0x20, 0x40, 0xc0);
/// Each with what the table calls it, and whether all ways are measured on it, in all browsers, or only the first way of each
/// contestant in the first browser.
const CAMERAS: [(Mount, &str, bool); 4] = [
    (Mount { path: "h264", kind: Kind::H264, mark: MARK }, "H.264", true),
    (Mount { path: "h265", kind: Kind::H265, mark: MARK }, "H.265", true),
    (Mount { path: "gop4", kind: Kind::H264Gop4, mark: MARK }, "H.264, key frame every 4 s", false),
    (Mount { path: "jitter", kind: Kind::Jittery, mark: MARK }, "H.264, up to 100 ms of jitter", false),
];
/// What the ages are of.
const SPAN: Duration = Duration::from_secs(10);
/// Loads of a page for its first picture, the first of which finds the camera unwatched.
const LOADS: usize = 3;
/// A page that shows nothing by then does not play this here.
const LIMIT: Duration = Duration::from_secs(12);
/// Nobody has watched the camera for so long: longer than any of them keeps it.
const UNWATCHED: Duration = Duration::from_secs(LINGER_SECONDS + 2);

/// What was measured of one way.
struct Measured {
    label: String,
    way: &'static str,
    /// From the navigation to the first picture of a camera that nobody watched, in ms.
    first: Option<f64>,
    /// The same of the loads after that, in the median.
    again: Option<f64>,
    /// The same of them from when the page asked for media, where that can be known.
    from_connection: Option<f64>,
    seen: Summary,
    ages: Vec<f64>,
}

/// Rows, charts and figures for these engines.
pub(crate) async fn measure(programs: &Programs, engines: &[Engine]) -> Part {
    let camera = Camera::start(&CAMERAS.map(|(mount, ..)| mount)).await;
    let mut part = Part::default();
    part.rows.push(Row::new(
        "side by side",
        "age p50 / p95 / worst; first picture, again; frames a second; stalls",
        "",
    ));
    for &engine in engines {
        let Some(browser) = Browser::start(engine).await else {
            part.rows.push(Row::new(format!("side by side, {engine}"), "not installed", ""));
            continue;
        };
        let mut measured: Vec<(Name, Measured)> = Vec::new();
        for name in Name::ALL {
            let contestant = match contestants::start(name, programs, &camera).await {
                Ok(contestant) => contestant,
                Err(why) => {
                    part.rows.push(Row::new(format!("{engine}: {name}"), why, ""));
                    continue;
                }
            };
            part.version(&name.to_string(), &contestant.version);
            for (mount, kind, every_way) in CAMERAS {
                let ways = match every_way {
                    true => contestant.ways.len(),
                    false if engine == engines[0] => 1,
                    false => 0,
                };
                for way in &contestant.ways[..ways] {
                    let label = format!("{name} {}", way.name);
                    eprintln!("compare: {engine}, {label}, {kind} …");
                    let what = format!("{engine}, {kind}: {label}");
                    match watch(&browser, &contestant, way, mount.path, label).await {
                        Ok(seen) => {
                            part.rows.push(Row::new(what, describe(&seen), limit(name, way, mount.path, engine)));
                            part.figures.push(figures(engine, kind, name, way, &seen));
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
            x: "age of a picture when it is shown, ms".to_owned(),
            y: "younger, % of pictures".to_owned(),
            logarithmic: true,
            lines,
        });
    }
    part
}

/// What one way shows of a stream; why nothing, where it does not.
async fn watch(
    browser: &Browser,
    contestant: &Contestant,
    way: &Way,
    stream: &str,
    label: String,
) -> Result<Measured, String> {
    let path = way.path(stream);
    let injector = Injector::start(way.server, LOOK_ON).await;
    let mut openings = Vec::new();
    browser.leave().await;
    if let Some(script) = way.hindrance()
        && let Some(why) = browser.script(script, vec![]).await.as_str()
    {
        return Err(why.to_owned());
    }
    sleep(UNWATCHED).await;
    for _ in 0..LOADS {
        let opening = browser.time_opening(&injector, &path, LIMIT).await;
        if opening.shown.is_none() {
            return Err(format!("no picture within {} s", LIMIT.as_secs()));
        }
        openings.push(opening);
    }
    browser.open(&format!("http://{}{path}", way.server)).await;
    let mut watch = browser.open_eye_on_page().await;
    browser.collect_for(&mut watch, SETTLE).await;
    let from = watch.until;
    browser.collect_for(&mut watch, SPAN).await;
    let watch = watch.between(from, watch.until);
    let seen = watch.summary(STALL).ok_or_else(|| format!("no picture with a clock ({})", contestant.name))?;
    let middle = |of: fn(&Opening) -> Option<f64>| {
        let times: Vec<f64> = openings[1..].iter().filter_map(of).collect();
        (!times.is_empty()).then(|| median(times))
    };
    let again = middle(|opening| opening.shown);
    let from_connection = middle(|opening| Some(opening.shown? - opening.connected?));
    let first = openings[0].shown;
    let ages = watch.samples.iter().map(|sample| sample.truth_ms).collect();
    Ok(Measured { label, way: way.name, first, again, from_connection, seen, ages })
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

/// Frames a second, those that the eye missed among them.
fn rate(seen: &Summary) -> f64 {
    (seen.frames as u64 + seen.missed) as f64 / seen.span.as_secs_f64().max(f64::EPSILON)
}

/// What we promise of it, where we do.
fn limit(name: Name, way: &Way, stream: &str, engine: Engine) -> &'static str {
    match (name, way.name, stream) {
        (Name::Sightline, "MSE", "h264" | "h265") if engine == Engine::WebKit => "260 ms",
        (Name::Sightline, "MSE", "h264" | "h265") => "170 / 230 ms",
        (Name::Sightline, "LL-HLS", "h264") => "2500 ms",
        _ => "",
    }
}

fn figures(engine: Engine, camera: &str, name: Name, way: &Way, measured: &Measured) -> Value {
    let seen = &measured.seen;
    json!({
        "part": "compare", "browser": engine.to_string(), "camera": camera, "contestant": name.to_string(),
        "way": way.name, "span_s": seen.span.as_secs_f64(),
        "age_ms": { "p50": seen.p50, "p95": seen.p95, "max": seen.max, "worst_on_screen": seen.oldest },
        "first_picture_ms": { "unwatched": measured.first, "again": measured.again, "again_from_connection": measured.from_connection },
        "frames_per_second": rate(seen), "stalls": seen.stalls, "frozen_s": seen.frozen.as_secs_f64(),
    })
}

/// How each way of Sightline does beside the same way of each other, however the camera is read.
fn ratios(engine: Engine, measured: &[(Name, Measured)]) -> Vec<Row> {
    let (ours, others): (Vec<_>, Vec<_>) = measured.iter().partition(|(name, _)| *name == Name::Sightline);
    let pairs = others.iter().flat_map(|(name, other)| {
        let same = ours.iter().filter(|(_, ours)| ours.way.split(',').next() == Some(other.way));
        same.map(move |(_, ours)| (ours, name, other))
    });
    let row = |(ours, name, other): (&Measured, &Name, &Measured)| {
        let (a, b) = (ours.seen.p50, other.seen.p50);
        let what = format!("{engine}, {}: age of the picture p50, Sightline : {name}", ours.way);
        Row::new(what, format!("{a:.0} : {b:.0} ms = {:.2}", a / b), "")
    };
    pairs.map(row).collect()
}
