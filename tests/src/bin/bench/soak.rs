//! The long run: compares latency and memory after half an hour with those of the first minute. Chromium and Firefox watch at
//! the same time, then WebKitGTK, which fills a core with software rendering.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, STALL, Watch};
use sightline_tests::camera::Camera;
use sightline_tests::http::Injector;
use sightline_tests::relay::{Relay, Setup};
use tokio::time::sleep;

use crate::latency::{CAM, LIVE, SETTLE};
use crate::{Row, in_each};

/// The default duration.
pub(crate) const MINUTES: u64 = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// Exposes the memory of the page's WebAssembly to the measurement.
const HOOK: &str = "
    for (const name of ['instantiate', 'instantiateStreaming']) {
        const original = WebAssembly[name];
        WebAssembly[name] = async (...args) => {
            const result = await original.apply(WebAssembly, args);
            window.wasmMemory = (result.instance ?? result).exports.memory;
            return result;
        };
    }
";
/// The JS heap without garbage where the browser reports it, WebAssembly memory, and seconds of buffered media.
const MEMORY: &str = "
    window.gc?.();
    const buffered = document.querySelector('video').buffered;
    return [
        performance.memory ? performance.memory.usedJSHeapSize : null,
        window.wasmMemory ? window.wasmMemory.buffer.byteLength : null,
        buffered.length ? buffered.end(buffered.length - 1) - buffered.start(0) : 0,
    ];
";

/// The results of one minute.
struct Minute {
    p95: f64,
    stalls: usize,
    heap: Option<f64>,
    wasm: Option<f64>,
    media: f64,
}

pub(crate) async fn measure(minutes: u64, engines: &[Engine]) -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config_with_low()).start().await;
    let chosen = async |engine: Engine| {
        let engine: Vec<Engine> = engines.iter().copied().filter(|&chosen| chosen == engine).collect();
        in_each("soak", &engine, async |browser| watch(browser, &relay, minutes).await).await
    };
    let (chromium, firefox) = tokio::join!(chosen(Engine::Chromium), chosen(Engine::Firefox));
    let mut rows = [chromium, firefox, chosen(Engine::WebKit).await].concat();
    rows.push(Row::new("relay: resident after that", format!("{} KiB", relay.resident_kib()), ""));
    rows
}

async fn watch(browser: &Browser, relay: &Relay, minutes: u64) -> Vec<Row> {
    let engine = browser.engine();
    let injector = Injector::start(relay.address(), HOOK).await;
    browser.open(&injector.url("/?stream=cam")).await;
    browser.wait_live(CAM.path, LIVE).await;
    sleep(SETTLE).await;
    let mut seen = Vec::new();
    // One latency probe for the whole run: each new one leaves memory behind, which would count as the page's.
    let mut latency_probe = browser.open_latency_probe(CAM.path).await;
    for minute in 1..=minutes {
        browser.collect_for(&mut latency_probe, MINUTE).await;
        let from = latency_probe.until;
        let watch = std::mem::replace(&mut latency_probe, Watch { from, ..Watch::default() });
        let memory = browser.script(MEMORY, vec![]).await;
        let summary = watch.summary(STALL);
        eprintln!(
            "soak: {engine}, minute {minute} of {minutes}: {memory} {:.0?}",
            summary.map(|s| (s.p50, s.p95, s.stalls))
        );
        let Some(summary) = summary else { continue };
        let number = |index: usize| memory[index].as_f64();
        seen.push(Minute {
            p95: summary.p95,
            stalls: summary.stalls,
            heap: number(0),
            wasm: number(1),
            media: number(2).unwrap_or_default(),
        });
    }
    describe(engine, &seen)
}

fn describe(engine: Engine, seen: &[Minute]) -> Vec<Row> {
    let (Some(first), Some(last)) = (seen.first(), seen.last()) else {
        return vec![Row::new(format!("soak, {engine}"), "no frame with a clock", "")];
    };
    let minutes = seen.len();
    let memory = |of: fn(&Minute) -> Option<f64>| match (of(first), of(last)) {
        (Some(first), Some(last)) => format!("{:.1} / {:.1} MiB", first / 1048576.0, last / 1048576.0),
        _ => "this browser does not tell".to_owned(),
    };
    let longest = seen.iter().map(|minute| minute.media).fold(0.0, f64::max);
    let stalls: usize = seen.iter().map(|minute| minute.stalls).sum();
    vec![
        Row::new(
            format!("{engine}: age p95 in minute 1 / {minutes}"),
            format!("{:.0} / {:.0} ms", first.p95, last.p95),
            "the same",
        ),
        Row::new(format!("{engine}: stalls in {minutes} minutes"), stalls.to_string(), minutes.to_string()),
        Row::new(format!("{engine}: JS heap in minute 1 / {minutes}"), memory(|minute| minute.heap), "flat"),
        Row::new(format!("{engine}: WebAssembly memory"), memory(|minute| minute.wasm), "flat"),
        Row::new(
            format!("{engine}: media in the buffer in minute 1 / {minutes}, most"),
            format!("{:.1} / {:.1} s, {longest:.1}", first.media, last.media),
            "flat",
        ),
    ]
}
