//! Many connections beside two viewers, which must not lose a frame: 10,000 idle viewers, and 500 new viewers per second that
//! leave after their first frame.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_tests::camera::Camera;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::until;
use sightline_tests::stats::percentile;
use sightline_tests::viewer::{BackgroundViewer, PLAYS_H264, Viewer};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::Row;
use crate::latency::{CAM, LIVE};
use crate::process::cpu_seconds;
use crate::receivers::{Kind, Receivers};

const IDLE: usize = 10_000;
/// File descriptors for the bench and for the relay: one per connection, and a reserve.
const DESCRIPTORS: u64 = IDLE as u64 + 1000;
/// The time between the last connection and the measurement.
const SETTLE: Duration = Duration::from_secs(5);
/// The duration of the CPU measurement: twice the relay's longest silence towards a paused viewer.
const SPAN: Duration = Duration::from_secs(10);

const A_SECOND: usize = 500;
const TICK: Duration = Duration::from_millis(20);
const STORM: Duration = Duration::from_secs(20);
/// The time limit for each viewer's first frame.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn measure() -> Vec<Row> {
    if let Err(allowed) = allow_descriptors() {
        let why = format!("not measured: this system allows {allowed} open files, `ulimit -n`");
        return vec![Row::new(format!("{IDLE} idle connections"), why, "")];
    }
    let camera = Camera::start(&[CAM]).await;
    let most = 2 * IDLE;
    let limits = format!(
        "[limits]\nconnections = {most}\nviewers = {most}\nviewers_per_stream = {most}\n{}",
        camera.config_with_low()
    );
    let relay = Arc::new(Setup::config(limits).env("RUST_LOG", "warn").start().await);
    let beside = [beside(&relay).await, beside(&relay).await];
    let mut rows = idle(&relay).await;
    rows.push(lost("beside them", &beside));
    rows.extend(storm(&relay).await);
    rows.push(lost("beside it", &beside));
    rows
}

async fn idle(relay: &Relay) -> Vec<Row> {
    eprintln!("connections: {IDLE} that are idle …");
    let (before, begun) = (relay.resident_kib(), Instant::now());
    let mut receivers = Receivers::gather(relay.address(), Kind::Paused(CAM.path), IDLE).await;
    let took = begun.elapsed().as_secs_f64();
    sleep(SETTLE).await;
    let (cpu, begun) = (cpu_seconds(relay.pid()), Instant::now());
    sleep(SPAN).await;
    let share = (cpu_seconds(relay.pid()) - cpu) / begun.elapsed().as_secs_f64();
    let each = relay.resident_kib().saturating_sub(before) as f64 / IDLE as f64;
    let present = receivers.present();
    vec![
        Row::new(format!("{IDLE} paused viewers: connected in"), format!("{took:.1} s"), ""),
        Row::new(format!("{IDLE} paused viewers: still there {SETTLE:?} + {SPAN:?} later"), present.to_string(), ""),
        Row::new(format!("{IDLE} paused viewers: resident of the relay, each"), format!("{each:.1} KiB"), "32 KiB"),
        Row::new(format!("{IDLE} paused viewers: CPU of the relay"), format!("{:.0} % of a core", share * 100.0), ""),
    ]
}

async fn storm(relay: &Arc<Relay>) -> Vec<Row> {
    eprintln!("connections: {A_SECOND} a second for {STORM:?} …");
    let (mut ticks, mut visits, begun) = (interval(TICK), JoinSet::new(), Instant::now());
    let each_tick = A_SECOND * TICK.as_millis() as usize / 1000;
    while begun.elapsed() < STORM {
        // Late ticks fire immediately, so the rate holds.
        ticks.tick().await;
        for _ in 0..each_tick {
            let relay = relay.clone();
            visits.spawn(async move {
                let begun = Instant::now();
                let mut viewer = Viewer::playing(&relay, CAM.path, &PLAYS_H264).await;
                viewer.take_media(1, PATIENCE).await;
                begun.elapsed().as_secs_f64() * 1e3
            });
        }
    }
    let (count, took) = (visits.len(), begun.elapsed().as_secs_f64());
    let mut seen = Vec::new();
    while let Some(visit) = visits.join_next().await {
        seen.extend(visit.ok());
    }
    seen.sort_by(f64::total_cmp);
    let what = |of: &str| format!("{:.0} viewers a second for {:.0} s: {of}", count as f64 / took, STORM.as_secs_f64());
    let frames = match seen.as_slice() {
        [] => "none had one".to_owned(),
        some => format!("{:.0} / {:.0} ms", percentile(some, 50), percentile(some, 99)),
    };
    let (left, begun) = (async || (relay.descriptors() < 64).then_some(()), Instant::now());
    let gone = match timeout(LIVE, until("the relay to have closed what they left", LIVE, left)).await {
        Ok(()) => format!("{:.1} s", begun.elapsed().as_secs_f64()),
        Err(_) => format!("{} descriptors are still open", relay.descriptors()),
    };
    vec![
        Row::new(what("first frame p50 / p99"), frames, ""),
        Row::new(what("without a frame"), (count - seen.len()).to_string(), "0"),
        Row::new(what("all is closed after"), gone, ""),
    ]
}

async fn beside(relay: &Relay) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, CAM.path, &PLAYS_H264).await.watch();
    until("a viewer's first fragments", LIVE, async || (viewer.seen().fragments > 5).then_some(())).await;
    viewer
}

/// The losses of the two viewers that stayed.
fn lost(what: &str, viewers: &[BackgroundViewer]) -> Row {
    let (lost, frames) =
        viewers.iter().map(BackgroundViewer::seen).fold((Vec::new(), 0), |(mut lost, frames), seen| {
            lost.extend(seen.losses);
            (lost, frames + seen.fragments)
        });
    let what = format!("{} viewers {what}: frames seen, lost", viewers.len());
    let detail = lost.first().map(|first| format!(": {first}")).unwrap_or_default();
    Row::new(what, format!("{frames}, {}{detail}", lost.len()), "none lost")
}

/// Raises the limit on open files as needed.
///
/// # Errors
/// The allowed number, if it is too low.
fn allow_descriptors() -> Result<(), u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if most < DESCRIPTORS {
        return Err(most);
    }
    if limit.current.is_some_and(|current| current < DESCRIPTORS) {
        limit.current = Some(DESCRIPTORS);
        setrlimit(Resource::Nofile, limit).map_err(|_| most)?;
    }
    Ok(())
}
