//! Load: a server's cost per viewer, and the delivery latency, for growing numbers of viewers. All servers read the same camera
//! by RTSP. The raw TCP server forwards the relay's messages. Viewers have no browser: see `receivers`.
//!
//! CPU time and memory include the server's child processes. In ratios to raw TCP, the relay's CPU time excludes the FFmpeg
//! that reads the camera, because the raw TCP server has none.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind as CameraKind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::stats::percentile;
use sightline_tests::viewer::unix_ms;
use tokio::time::sleep;

use crate::Row;
use crate::chart::{Chart, Line};
use crate::delay::{Arrivals, Reference};
use crate::fanout::start_floor;
use crate::process::{cpu_seconds, tree_cpu_seconds, tree_memory_kib};
use crate::receivers::{Kind, Receivers};
use crate::report::Part;
use crate::servers::{self, Name, Programs};

const CAM: Mount = Mount { path: "cam", kind: CameraKind::Busy, mark: Rgb(0x20, 0x40, 0xc0) };
const SIZES: [usize; 4] = [1, 100, 500, 2000];
/// Fewer: each viewer sends ten requests per second.
const SIZES_HLS: [usize; 3] = [1, 100, 500];
/// Fewer: each viewer decrypts its media on the relay's CPU.
const SIZES_WHEP: [usize; 2] = [1, 100];
const SIZES_OTHERS: [usize; 3] = [1, 100, 500];
/// Fewer: each viewer is a process.
const SIZES_ORIGINAL: [usize; 2] = [1, 10];
/// The number of viewers that record arrival times: half of them the first, half the last to connect. All, if there are fewer.
const PROBES: usize = 16;
/// The time between the last connection and the measurement.
const SETTLE: Duration = Duration::from_secs(4);
/// The duration of the measurement.
const SPAN: Duration = Duration::from_secs(10);

/// A server and its protocol.
struct Server {
    name: String,
    pid: i32,
    address: SocketAddr,
    kind: Kind,
    sizes: &'static [usize],
}

/// The results for one number of viewers.
struct Measured {
    server: String,
    size: usize,
    /// CPU seconds per second: of the server's own process, and including its child processes.
    own: f64,
    all: f64,
    /// Memory of all processes, per viewer.
    kib_each: f64,
    mbit: f64,
    present: usize,
    delays: Vec<f64>,
}

pub(crate) async fn measure(programs: &Programs) -> Part {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config_with_low()).env("RUST_LOG", "warn").start().await;
    let reference = Reference::watch(&relay, CAM.path).await;
    let floor = start_floor(&relay).await;
    let ours = |page: &str, kind, sizes| Server {
        name: format!("Sightline {page}"),
        pid: relay.pid(),
        address: relay.address(),
        kind,
        sizes,
    };
    let mut measured = Vec::new();
    for server in [
        ours("WebSocket", Kind::Viewer(CAM.path), &SIZES),
        Server { name: FLOOR.to_owned(), pid: floor.0.pid(), address: floor.1, kind: Kind::Plain, sizes: &SIZES },
        ours("LL-HLS", Kind::Hls(CAM.path), &SIZES_HLS),
        ours("WebRTC", Kind::Whep(CAM.path), &SIZES_WHEP),
    ] {
        measured.extend(run(&server, &reference).await);
    }
    let mut part = Part::default();
    let mut absent = Vec::new();
    for (name, kind, sizes) in [
        (Name::Go2rtc, Kind::Go2rtc(CAM.path), &SIZES_OTHERS[..]),
        (Name::Original, Kind::Original(CAM.path), &SIZES_ORIGINAL[..]),
    ] {
        match servers::start(name, programs, &camera).await {
            Ok(running) => {
                part.version(&name.to_string(), &running.version);
                let (pid, address) = (running.pid, running.pages[0].server);
                let name = format!("{name} {}", running.pages[0].name);
                measured.extend(run(&Server { name, pid, address, kind, sizes }, &reference).await);
            }
            Err(why) => absent.push(Row::new(format!("load: {name}"), why, "")),
        }
    }
    part.rows.push(Row::new("load", "CPU of a core; a viewer's memory; delivered; delay p50 / p99", ""));
    part.rows.extend(measured.iter().map(row));
    part.rows.extend(absent);
    part.ratios = ratios(&measured);
    part.figures = measured.iter().map(figures).collect();
    part.charts.push(chart(&measured));
    part
}

const FLOOR: &str = "plain TCP (the floor)";

async fn run(server: &Server, reference: &Reference) -> Vec<Measured> {
    let mut all = Vec::new();
    for &size in server.sizes {
        eprintln!("load: {}, {size} …", server.name);
        all.push(run_size(server, size, reference).await);
    }
    all
}

async fn run_size(server: &Server, size: usize, reference: &Reference) -> Measured {
    // One viewer keeps the source running while memory is read before the load.
    let first = Receivers::gather(server.address, server.kind, usize::from(size > 1)).await;
    sleep(SETTLE).await;
    let before = tree_memory_kib(server.pid);
    let arrivals = Arrivals::default();
    let mut receivers = Receivers::gather(server.address, server.kind, 0).await;
    for index in 0..size {
        // The baseline's fragments contain many frames of different ages.
        let alone = !matches!(server.kind, Kind::Original(_));
        let probe = alone && (index < PROBES / 2 || index + PROBES / 2 >= size);
        receivers.add(probe.then(|| arrivals.another())).await;
    }
    drop(first);
    sleep(SETTLE).await;
    let (own, all, bytes) = (cpu_seconds(server.pid), tree_cpu_seconds(server.pid), receivers.received());
    let (from, begun) = (unix_ms(), Instant::now());
    sleep(SPAN).await;
    let took = begun.elapsed().as_secs_f64();
    let bytes = (receivers.received() - bytes) as f64;
    Measured {
        server: server.name.clone(),
        size,
        own: (cpu_seconds(server.pid) - own) / took,
        all: (tree_cpu_seconds(server.pid) - all).max(0.0) / took,
        kib_each: (tree_memory_kib(server.pid) as f64 - before as f64).max(0.0) / size as f64,
        mbit: bytes * 8e-6 / took,
        present: receivers.present(),
        delays: reference.delays(&arrivals, from),
    }
}

impl Measured {
    fn own_per_gb(&self) -> f64 {
        self.own / (self.mbit / 8e3)
    }
}

fn row(measured: &Measured) -> Row {
    let Measured { server, size, all, kib_each, mbit, present, delays, .. } = measured;
    let delay = if delays.is_empty() {
        "not known".to_owned()
    } else {
        format!("{:.0} / {:.0} ms", percentile(delays, 50), percentile(delays, 99))
    };
    let left = if present < size { format!("; {} left", size - present) } else { String::new() };
    // The memory of a few viewers is below the noise of the server's memory.
    let memory = if *size < 10 { "—".to_owned() } else { format!("{kib_each:.0} KiB") };
    let figures = format!("{:.1} %; {memory}; {mbit:.1} Mbit/s; {delay}{left}", all * 100.0);
    Row::new(format!("{server}, viewers: {size}"), figures, "")
}

/// Ratios of the relay to raw TCP and to the other servers.
fn ratios(measured: &[Measured]) -> Vec<Row> {
    let of = |name: &str, size| measured.iter().find(|one| one.server.starts_with(name) && one.size == size);
    let mut rows = Vec::new();
    for size in SIZES.into_iter().filter(|&size| size >= 100) {
        if let (Some(ours), Some(floor)) = (of("Sightline WebSocket", size), of(FLOOR, size)) {
            let (a, b) = (ours.own_per_gb(), floor.own_per_gb());
            let what = format!("fan-out to {size}: CPU s/GB, relay : floor");
            rows.push(Row::new(what, format!("{a:.2} : {b:.2} = {:.2}", a / b), "1.70"));
        }
    }
    for (name, size) in [(Name::Go2rtc, 100), (Name::Go2rtc, 500), (Name::Original, 10)] {
        let ours = of("Sightline WebSocket", size.max(100));
        if let (Some(ours), Some(other)) = (ours, of(&name.to_string(), size)) {
            let (a, b) = (ours.all / ours.size as f64 * 100.0, other.all / size as f64 * 100.0);
            let what = format!("CPU for a viewer, Sightline (of {}) : {name} (of {size})", ours.size);
            rows.push(Row::new(what, format!("{a:.3} : {b:.3} % = {:.2}", a / b), ""));
        }
    }
    rows
}

fn figures(measured: &Measured) -> Value {
    let delay = |percent| (!measured.delays.is_empty()).then(|| percentile(&measured.delays, percent));
    json!({
        "part": "load", "server": measured.server, "viewers": measured.size, "viewers_at_the_end": measured.present,
        "cpu_cores": measured.all, "cpu_cores_of_its_own_process": measured.own,
        "cpu_s_per_gb_of_its_own_process": measured.own_per_gb(), "memory_kib_per_viewer": measured.kib_each,
        "delivered_mbit_per_s": measured.mbit, "delay_ms": { "p50": delay(50), "p99": delay(99) },
    })
}

fn chart(measured: &[Measured]) -> Chart {
    let mut lines: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for one in measured {
        let point = (one.size as f64, one.all * 100.0);
        match lines.last_mut().filter(|(name, _)| *name == one.server) {
            Some((_, points)) => points.push(point),
            None => lines.push((&one.server, vec![point])),
        }
    }
    Chart {
        file: "load".to_owned(),
        title: "What viewers cost a server: H.264 of 2 Mbit/s by RTSP".to_owned(),
        x: "viewers".to_owned(),
        y: "processor time, % of a core".to_owned(),
        logarithmic: true,
        lines: lines.into_iter().map(|(name, points)| Line::new(name, points)).collect(),
    }
}
