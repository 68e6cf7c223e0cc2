//! The relay's cost per camera that it reads, by the default reader and by FFmpeg, for growing numbers of cameras.
//!
//! One camera server serves every stream in a session of its own. Each stream has one viewer without a browser, because the relay
//! reads only what is watched; its part of the cost is the same for both readers.

use std::time::{Duration, Instant};

use sightline_tests::camera::Camera;
use sightline_tests::relay::{Relay, Setup};
use tokio::time::sleep;

use crate::Row;
use crate::latency::CAM;
use crate::process::{tree_cpu_seconds, tree_memory_kib};
use crate::receivers::{Kind, Receivers};

/// Numbers of cameras by the default reader, and by FFmpeg, which is a process for each.
const SIZES: [usize; 3] = [1, 30, 200];
const SIZES_FFMPEG: [usize; 2] = [1, 30];
/// The time between the last connection and the measurement.
const SETTLE: Duration = Duration::from_secs(6);
const SPAN: Duration = Duration::from_secs(15);
/// The cost per camera at 200 relative to that at 30.
const LIMIT: &str = "1.30";

/// One measurement.
struct Cost {
    /// CPU of a core, in percent.
    percent: f64,
    kib: f64,
    present: usize,
}

pub(crate) async fn measure() -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let mut rows = Vec::new();
    let mut by_default = Vec::new();
    for size in SIZES {
        let cost = measure_one(&camera, size, "").await;
        rows.push(row("default reader", size, &cost));
        by_default.push(cost);
    }
    for size in SIZES_FFMPEG {
        rows.push(row("FFmpeg", size, &measure_one(&camera, size, "reader = \"ffmpeg\"\n").await));
    }
    if let [one, some, many] = &by_default[..] {
        let each = |of: fn(&Cost) -> f64| {
            let part = |cost: &Cost, size: usize| (of(cost) - of(one)) / (size - SIZES[0]) as f64;
            part(many, SIZES[2]) / part(some, SIZES[1])
        };
        rows.push(Row::new("cameras: CPU of another one, 200 : 30", format!("{:.2}", each(|c| c.percent)), LIMIT));
        rows.push(Row::new("cameras: memory of another one, 200 : 30", format!("{:.2}", each(|c| c.kib)), LIMIT));
    }
    rows
}

/// A relay with this number of cameras, each watched by one viewer.
async fn measure_one(camera: &Camera, size: usize, options: &str) -> Cost {
    eprintln!("cameras: {size} {options} …");
    let names: Vec<&'static str> = (0..size).map(|n| &*format!("cam{n}").leak()).collect();
    let streams: String = names.iter().map(|name| camera.stream(name, CAM.path, options)).collect();
    let relay = Setup::config(streams).env("RUST_LOG", "warn").start().await;
    let mut viewers = Vec::new();
    for name in names {
        viewers.push(Receivers::gather(relay.address(), Kind::Viewer(name), 1).await);
    }
    sleep(SETTLE).await;
    let cost = during(&relay, &viewers).await;
    drop(viewers);
    cost
}

async fn during(relay: &Relay, viewers: &[Receivers]) -> Cost {
    let pid = relay.pid();
    let received: Vec<u64> = viewers.iter().map(Receivers::received).collect();
    let (cpu, begun) = (tree_cpu_seconds(pid), Instant::now());
    sleep(SPAN).await;
    let percent = (tree_cpu_seconds(pid) - cpu) / begun.elapsed().as_secs_f64() * 100.0;
    let present = viewers.iter().zip(received).filter(|(viewer, before)| viewer.received() > *before).count();
    Cost { percent, kib: tree_memory_kib(pid) as f64, present }
}

fn row(reader: &str, size: usize, cost: &Cost) -> Row {
    let text = format!(
        "{:.2} % of a core and {:.1} MiB in all; {:.3} % and {:.2} MiB each; {} received media",
        cost.percent,
        cost.kib / 1024.0,
        cost.percent / size as f64,
        cost.kib / 1024.0 / size as f64,
        cost.present
    );
    Row::new(format!("{reader}, {size} cameras"), text, "")
}
