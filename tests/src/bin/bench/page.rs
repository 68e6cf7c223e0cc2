//! The cost of the page itself, apart from decoding and presenting video, and the time to its first paint. Chromium only, by
//! the Chrome DevTools Protocol, domain Performance.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use sightline_tests::browser::{Browser, Engine};
use sightline_tests::relay::Setup;
use sightline_tests::run::until;
use sightline_tests::stats;
use tokio::time::sleep;

use crate::Row;
use crate::latency::{LIVE, SETTLE};

/// A wall of three by three tiles.
const TILES: usize = 9;
/// The duration of the measurement: twenty of the samples that a tile takes once a second.
const SPAN: Duration = Duration::from_secs(20);
/// Page loads per figure.
const LOADS: usize = 5;
/// A page without a paint after this time is broken.
const PAINTED: Duration = Duration::from_secs(20);
/// A recording keeps nine sources cheap: FFmpeg only sends it at its own rate. It is longer than the measurement, so that few
/// tiles see it loop.
const RECORDING: &str = "-f lavfi -i testsrc2=s=640x360:r=25 -t 90 -c:v libx264 -preset veryfast -tune zerolatency -bf 0 \
     -g 25 -keyint_min 25 -sc_threshold 0 -pix_fmt yuv420p -y";

/// Chromium's script time excludes microtasks, in which Yew renders. This turns each microtask into a task, which is counted.
const COUNT_MICROTASKS: &str = "
    const waiting = [], channel = new MessageChannel();
    channel.port1.onmessage = () => waiting.shift()();
    window.queueMicrotask = callback => { waiting.push(callback); channel.port2.postMessage(null); };
";

pub(crate) async fn measure() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let recording = folder.path().join("camera.mp4");
    record(&recording);
    let names: Vec<String> = (1..=TILES).map(|n| format!("cam{n}")).collect();
    let relay = Setup::config(config(&names, &recording)).start().await;
    let Some(browser) = Browser::start(Engine::Chromium).await else {
        return vec![Row::new("page, Chromium", "not installed", "")];
    };

    let mut rows = Vec::new();
    browser.command("Network.enable", json!({})).await;
    for path in ["/", "/test"] {
        eprintln!("page: first paint of {path} …");
        rows.push(first_paint(&browser, path, &relay.url(path)).await);
    }
    // CPU time of the page's main thread, unaffected by the load of other programs.
    browser.command("Performance.enable", json!({ "timeDomain": "threadTicks" })).await;
    browser.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": COUNT_MICROTASKS })).await;
    browser.open(&relay.url("/")).await;
    for name in &names {
        browser.wait_live(name, LIVE).await;
    }
    rows.extend(cost(&browser, "", "10 %").await);
    browser.press("article.tile", 'b').await;
    browser.press("article.tile", 's').await;
    rows.extend(cost(&browser, ", sidebar and statistics shown", "").await);
    rows
}

fn record(to: &Path) {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-loglevel", "error"]).args(RECORDING.split_whitespace()).arg(to);
    assert!(ffmpeg.status().is_ok_and(|status| status.success()), "FFmpeg cannot record the stream");
}

fn config(names: &[String], recording: &Path) -> String {
    let source = recording.to_str().expect("a temporary path is UTF-8");
    let options = r#"["-re", "-stream_loop", "-1"]"#;
    let stream = |name| format!("[streams.{name}]\nsource = \"{source}\"\ninput_options = {options}\n");
    names.iter().map(stream).collect()
}

/// Time from navigation to the first text or image on the page, with an empty browser cache (Paint Timing,
/// `first-contentful-paint`).
async fn first_paint(browser: &Browser, path: &str, url: &str) -> Row {
    let mut times = Vec::new();
    for _ in 0..LOADS {
        browser.leave().await;
        browser.command("Network.clearBrowserCache", json!({})).await;
        browser.open(url).await;
        let script = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null";
        times.push(until("the first paint", PAINTED, async || browser.script(script, vec![]).await.as_f64()).await);
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    let median = stats::median(times);
    let what = format!("Chromium: first contentful paint of {path}, nothing cached");
    Row::new(what, format!("{median:.0} ms (worst {worst:.0})"), "1000 ms")
}

/// Time used by the page's main thread, in seconds.
#[derive(Debug, Clone, Copy)]
struct Work {
    at: Instant,
    script: f64,
    layout: f64,
    style: f64,
    all: f64,
}

impl Work {
    async fn of(browser: &Browser) -> Self {
        let answer = browser.command("Performance.getMetrics", json!({})).await;
        let metrics = answer["metrics"].as_array().expect("a list of metrics");
        let value = |name: &str| {
            let metric = metrics.iter().find(|metric| metric["name"] == name);
            metric.and_then(|metric| metric["value"].as_f64()).unwrap_or_else(|| panic!("Chromium has no {name}"))
        };
        Self {
            at: Instant::now(),
            script: value("ScriptDuration"),
            layout: value("LayoutDuration"),
            style: value("RecalcStyleDuration"),
            all: value("TaskDuration"),
        }
    }
}

/// The cost of the interface while nine tiles are live.
async fn cost(browser: &Browser, shown: &str, limit: &str) -> Vec<Row> {
    sleep(SETTLE).await;
    eprintln!("page: {TILES} tiles{shown}, {SPAN:?} …");
    let before = Work::of(browser).await;
    sleep(SPAN).await;
    let after = Work::of(browser).await;
    let seconds = (after.at - before.at).as_secs_f64();
    let share = |of: fn(&Work) -> f64| (of(&after) - of(&before)) / seconds * 100.0;
    let (script, layout, style) = (share(|work| work.script), share(|work| work.layout), share(|work| work.style));
    let sum = script + layout + style;
    vec![
        Row::new(
            format!("Chromium: {TILES} tiles{shown}: script + layout + style, of a core"),
            format!("{sum:.1} % ({script:.1} + {layout:.1} + {style:.1})"),
            limit,
        ),
        Row::new(
            format!("Chromium: {TILES} tiles{shown}: the whole main thread, painting too"),
            format!("{:.1} %", share(|work| work.all)),
            "",
        ),
    ]
}
