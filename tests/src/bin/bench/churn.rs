//! Runs the relay with constantly changing viewers beside two that stay. Viewers of every kind connect, watch, stall, pause and
//! leave, and FFmpeg processes are killed.
//!
//! Each minute ends with a rest in which only those two viewers are connected. The relay's resources at that rest must not grow
//! from minute to minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sightline_protocol::message::ClientMessage;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind as CameraKind, LINGER_SECONDS, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::until;
use sightline_tests::viewer::{BackgroundViewer, PLAYS_BOTH, PLAYS_H264, Viewer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::Row;
use crate::chart::{Chart, Line};
use crate::receivers::{Kind, Receivers};
use crate::report::Part;

/// The default duration.
pub(crate) const MINUTES: u64 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// The rest in each minute: the longest visit, and the time a source outlives its last viewer, HLS included.
const REST: Duration = Duration::from_secs(LINGER_SECONDS + 22);
const LONGEST_VISIT: u64 = 8;
const SAMPLE: Duration = Duration::from_secs(2);
/// New visits per second.
const VISITS_A_SECOND: usize = 5;
/// Seconds between two kills of an FFmpeg process.
const KILL_EVERY: u64 = 7;

const STEADY: Mount = Mount { path: "steady", kind: CameraKind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
/// Most visitors cannot decode H.265, so a transcode starts and stops with them.
const OTHER: Mount = Mount { path: "other", kind: CameraKind::H265, mark: Rgb(0x20, 0xa0, 0x40) };
/// The stream with the killed FFmpeg process.
const KILLED: Mount = Mount { path: "killed", kind: CameraKind::H264, mark: Rgb(0xc0, 0x40, 0x20) };

/// The relay's resources at one moment.
#[derive(Debug, Clone, Copy)]
struct Held {
    minutes: f64,
    kib: u64,
    descriptors: usize,
    tasks: u64,
    ffmpegs: usize,
}

pub(crate) async fn measure(minutes: u64) -> Part {
    let camera = Camera::start(&[STEADY, OTHER, KILLED]).await;
    let relay = Arc::new(Setup::config(camera.config_with_low()).env("RUST_LOG", "warn").start().await);
    let mut staying = Vec::new();
    for _ in 0..2 {
        let viewer = Viewer::playing(&relay, STEADY.path, &PLAYS_H264).await.watch();
        until("a viewer's first fragments", MINUTE, async || (viewer.seen().fragments > 5).then_some(())).await;
        staying.push(viewer);
    }
    let begun = Instant::now();
    let (mut all, mut rests, mut visitors) = (Vec::new(), Vec::new(), Visitors::default());
    for minute in 1..=minutes {
        let end = begun + MINUTE * u32::try_from(minute).expect("minutes of a day");
        visitors.come_and_go(&relay, &camera, end - REST, begun, &mut all).await;
        while Instant::now() + SAMPLE < end {
            sleep(SAMPLE).await;
            all.push(held(&relay, begun).await);
        }
        rests.extend(all.last().copied());
        let seen = staying.iter().map(BackgroundViewer::seen);
        let losses: usize = seen.map(|seen| seen.losses.len()).sum();
        eprintln!("churn: minute {minute} of {minutes}: {:?}, {losses} lost", all.last());
    }
    describe(&rests, &all, &visitors, &staying)
}

/// The viewers that come and go.
#[derive(Debug, Default)]
struct Visitors {
    count: usize,
    killed: usize,
    failed: usize,
}

impl Visitors {
    async fn come_and_go(
        &mut self,
        relay: &Arc<Relay>,
        camera: &Camera,
        end: Instant,
        begun: Instant,
        all: &mut Vec<Held>,
    ) {
        let (mut seconds, mut visits, mut sampled) = (interval(Duration::from_secs(1)), JoinSet::new(), Instant::now());
        while Instant::now() < end {
            seconds.tick().await;
            for _ in 0..VISITS_A_SECOND {
                self.count += 1;
                // 31 is coprime to `LONGEST_VISIT`: each kind of visit gets short and long durations.
                let span = Duration::from_secs(1 + self.count as u64 * 31 % LONGEST_VISIT);
                visits.spawn(visit(relay.clone(), self.count, span));
            }
            if begun.elapsed().as_secs().is_multiple_of(KILL_EVERY) {
                for reader in relay.readers(&camera.url(KILLED.path)) {
                    self.killed += 1;
                    reader.kill();
                }
            }
            if sampled.elapsed() >= SAMPLE {
                sampled = Instant::now();
                all.push(held(relay, begun).await);
            }
        }
        while let Some(visit) = visits.join_next().await {
            self.failed += usize::from(visit.is_err());
        }
    }
}

/// One visit. `number` selects its kind.
async fn visit(relay: Arc<Relay>, number: usize, span: Duration) {
    match number % 9 {
        0 => {
            let _watches = Viewer::playing(&relay, STEADY.path, &PLAYS_H264).await.watch();
            sleep(span).await;
        }
        1 => {
            let _watches = Viewer::playing(&relay, OTHER.path, &PLAYS_H264).await.watch();
            sleep(span).await;
        }
        2 => {
            let _watches = Viewer::playing(&relay, KILLED.path, &PLAYS_BOTH).await.watch();
            sleep(span).await;
        }
        3 => {
            let _watches = Viewer::plain(&relay, STEADY.path).await.watch();
            sleep(span).await;
        }
        4 => {
            let _reads_nothing = Viewer::playing_with_tiny_buffer(&relay, STEADY.path, &PLAYS_H264).await;
            sleep(span).await;
        }
        5 => {
            let mut viewer = Viewer::playing(&relay, STEADY.path, &PLAYS_H264).await;
            viewer.take_media(3, MINUTE).await;
            viewer.send(&ClientMessage::Pause).await;
            sleep(span / 2).await;
            viewer.send(&ClientMessage::Resume).await;
            let _watches = viewer.watch();
            sleep(span / 2).await;
        }
        6 => {
            let _receives = Receivers::gather(relay.address(), Kind::Hls(STEADY.path), 1).await;
            sleep(span).await;
        }
        7 => {
            let _receives = Receivers::gather(relay.address(), Kind::Whep(STEADY.path), 1).await;
            sleep(span).await;
        }
        _ => {
            let mut connection = TcpStream::connect(relay.address()).await.expect("the relay listens");
            let _ = connection.write_all(b"GET / HTTP/1.1\r\nX-").await;
            sleep(span).await;
        }
    }
}

async fn held(relay: &Relay, begun: Instant) -> Held {
    let metrics = relay.get("/metrics").await.text();
    let tasks = metrics.lines().find_map(|line| line.strip_prefix("sightline_tasks ")?.trim().parse::<f64>().ok());
    Held {
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        kib: relay.resident_kib(),
        descriptors: relay.descriptors(),
        tasks: tasks.expect("the relay tells it") as u64,
        ffmpegs: relay.ffmpegs().len(),
    }
}

fn describe(rests: &[Held], all: &[Held], visitors: &Visitors, staying: &[BackgroundViewer]) -> Part {
    let (Some(first), Some(last)) = (rests.first(), rests.last()) else { return Part::default() };
    let minutes = rests.len();
    let row = |what: &str, of: fn(&Held) -> f64, unit: &str| {
        let most = all.iter().map(of).fold(0.0, f64::max);
        let name = format!("churn: {what} at rest in minute 1 / {minutes}, most at all");
        Row::new(name, format!("{:.0} / {:.0}, {most:.0}{unit}", of(first), of(last)), "flat")
    };
    let losses: Vec<String> = staying.iter().flat_map(|viewer| viewer.seen().losses).collect();
    let frames: u64 = staying.iter().map(|viewer| viewer.seen().fragments).sum();
    let lost = format!("{frames}, {}", losses.len());
    let line =
        |name: &str, of: fn(&Held) -> f64| Line::new(name, all.iter().map(|held| (held.minutes, of(held))).collect());
    let chart = |file: &str, title: &str, y: &str, lines| Chart {
        file: file.to_owned(),
        title: title.to_owned(),
        x: "minutes".to_owned(),
        y: y.to_owned(),
        logarithmic: false,
        lines,
    };
    let mib = |held: &Held| held.kib as f64 / 1024.0;
    let counts = vec![
        line("descriptors", |held| held.descriptors as f64),
        line("tasks", |held| held.tasks as f64),
        line("FFmpegs", |held| held.ffmpegs as f64),
    ];
    let rest = |held: &Held| {
        json!({ "minutes": held.minutes, "resident_kib": held.kib, "descriptors": held.descriptors,
                "tasks": held.tasks, "ffmpegs": held.ffmpegs })
    };
    Part {
        rows: vec![
            Row::new(
                format!("churn: visits in {minutes} minutes, failed; FFmpegs killed"),
                format!("{}, {}; {}", visitors.count, visitors.failed, visitors.killed),
                "",
            ),
            row("resident", mib, " MiB"),
            row("descriptors", |held| held.descriptors as f64, ""),
            row("tasks", |held| held.tasks as f64, ""),
            row("FFmpegs", |held| held.ffmpegs as f64, ""),
            Row::new("churn: frames that two viewers saw who stayed, lost", lost, "none lost"),
        ],
        charts: vec![
            chart("churn-memory", "Memory of a relay whose viewers come and go", "MiB", vec![line("resident", mib)]),
            chart("churn-counts", "What a relay holds whose viewers come and go", "", counts),
        ],
        figures: vec![json!({ "churn": all.iter().map(rest).collect::<Vec<_>>() })],
        ..Part::default()
    }
}
