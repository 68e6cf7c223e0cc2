//! The CPU that a browser spends on tiles, by MSE and by WebCodecs, and the age of the frames beside it.
//!
//! One camera serves every tile, so that its encoder costs the same whatever the number. Each tile is a stream of its own, with
//! a connection and a decoder. The two players alternate in one run; the ratio of their costs is the result.

use std::time::{Duration, Instant};

use sightline_tests::browser::{Browser, Engine, FrameCounter, STALL};
use sightline_tests::camera::Camera;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::stats::median;
use tokio::time::sleep;

use crate::latency::{CAM, LIVE, SETTLE};
use crate::process::tree_cpu_seconds;
use crate::{Row, in_each};

/// Numbers of tiles: one camera alone, and the usual walls.
const TILES: [usize; 3] = [1, 9, 16];
/// The window: every tile is on screen, where the page plays it.
const WINDOW: (u32, u32) = (1600, 1000);
/// Measurements of each player per number of tiles.
const ROUNDS: usize = 3;
/// The duration of one measurement: 250 frames per tile.
const SPAN: Duration = Duration::from_secs(10);

/// One measurement.
struct Cost {
    /// CPU of the browser's processes, of a core.
    cores: f64,
    /// Presented frames a second and tile.
    rate: f64,
    /// The age of the first tile's frames, p50 and p95 in ms.
    age: (f64, f64),
}

pub(crate) async fn measure(engines: &[Engine]) -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let names: Vec<String> = (1..=TILES.into_iter().max().unwrap_or(1)).map(|n| format!("cam{n}")).collect();
    let streams: String = names.iter().map(|name| camera.read_directly(name, CAM.path)).collect();
    let relay = Setup::config(camera.config_of([]) + &streams).start().await;
    in_each("players", engines, async |browser| {
        browser.resize(WINDOW).await;
        let mut rows = Vec::new();
        for tiles in TILES {
            rows.extend(compare(browser, &relay, &names[..tiles]).await);
        }
        browser.leave().await;
        rows
    })
    .await
}

/// Measures both players in turn.
async fn compare(browser: &Browser, relay: &Relay, names: &[String]) -> Vec<Row> {
    let (mut mse, mut webcodecs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mse.push(play(browser, relay, names, "mse").await);
        webcodecs.push(play(browser, relay, names, "webcodecs").await);
    }
    let who = format!("{}, {} tiles", browser.engine(), names.len());
    let of = |costs: &[Cost], value: fn(&Cost) -> f64| median(costs.iter().map(value).collect());
    let row = |name: &str, costs: &[Cost]| {
        let (p50, p95) = (of(costs, |cost| cost.age.0), of(costs, |cost| cost.age.1));
        let text = format!(
            "{:.1} % of a core; {:.1} fps; age {p50:.0} / {p95:.0} ms",
            of(costs, |cost| cost.cores) * 100.0,
            of(costs, |cost| cost.rate)
        );
        Row::new(format!("{who}: {name}"), text, "")
    };
    let ratio = of(&webcodecs, |cost| cost.cores) / of(&mse, |cost| cost.cores);
    vec![
        row("MSE", &mse),
        row("WebCodecs", &webcodecs),
        Row::new(format!("{who}: CPU, WebCodecs : MSE"), format!("{ratio:.2}"), "1.2"),
    ]
}

async fn play(browser: &Browser, relay: &Relay, names: &[String], protocol: &str) -> Cost {
    let streams: String = names.iter().map(|name| format!("&stream={name}")).collect();
    browser.leave().await;
    browser.open(&relay.url(&format!("/?protocol={protocol}{streams}"))).await;
    for name in names {
        browser.wait_live(name, LIVE).await;
    }
    sleep(SETTLE).await;
    let mut counters: Vec<FrameCounter> = names.iter().map(|_| FrameCounter::default()).collect();
    count(browser, names, &mut counters).await;
    let (cpu, begun) = (tree_cpu_seconds(browser.pid()), Instant::now());
    sleep(SPAN).await;
    let frames = count(browser, names, &mut counters).await as f64;
    let (cpu, seconds) = (tree_cpu_seconds(browser.pid()) - cpu, begun.elapsed().as_secs_f64());
    // After the CPU, since the probe reads pixels.
    let seen = browser.watch_clock(&names[0], SPAN / 2).await.summary(STALL);
    let age = seen.map_or((f64::NAN, f64::NAN), |seen| (seen.p50, seen.p95));
    Cost { cores: cpu / seconds, rate: frames / seconds / names.len() as f64, age }
}

/// Adds the frames that each tile has presented since the last call.
async fn count(browser: &Browser, names: &[String], counters: &mut [FrameCounter]) -> u64 {
    let mut sum = 0;
    for (name, counter) in names.iter().zip(counters) {
        sum += counter.add(browser.tile(name).await.expect("the tile is there").frames);
    }
    sum
}
