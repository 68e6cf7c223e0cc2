//! The cost of a viewer: CPU time per delivered byte, compared with raw TCP, and resident memory. Part `plain` measures viewers
//! of the plain dialect, where each viewer has its own media times.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use sightline_tests::process::{Owned, resident_kib};
use sightline_tests::relay::{Relay, Setup};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::process::cpu_seconds;
use crate::receivers::{Kind, Receivers};
use crate::{Row, raw_tcp};

const SIZES: [usize; 2] = [500, 2000];
/// The time between the last connection and the measurement. The relay has delivered all initial GOPs by then.
const SETTLE: Duration = Duration::from_secs(3);
/// The duration of the measurement.
const SPAN: Duration = Duration::from_secs(30);
/// The stream: 4 Mbit/s at 25 frames per second, with the key frame interval of an ordinary encoder.
const RECORDING: &str = "-f lavfi -i testsrc2=s=1280x720:r=25,noise=alls=20:allf=t -t 10 -c:v libx264 -preset veryfast \
     -tune zerolatency -bf 0 -g 25 -b:v 4M -maxrate 4M -bufsize 1M -pix_fmt yuv420p -y";

const PLAIN_SIZE: usize = 500;

/// A relay that plays the stream, and the raw TCP server.
struct Servers {
    relay: Relay,
    floor: (Owned, SocketAddr),
    _recording: TempDir,
}

impl Servers {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let recording = folder.path().join("stream.mp4");
        eprintln!("recording ten seconds of 4 Mbit/s …");
        let recorded = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error"])
            .args(RECORDING.split_whitespace())
            .arg(&recording)
            .status();
        assert!(recorded.is_ok_and(|status| status.success()), "FFmpeg cannot record the stream");
        let config = format!(
            "[streams.cam]\nsource = {:?}\ninput_options = [\"-re\", \"-stream_loop\", \"-1\"]\n",
            recording.to_str().expect("a temporary path is UTF-8")
        );
        let relay = Setup::config(config).env("RUST_LOG", "warn").start().await;
        let floor = start_floor(&relay).await;
        Self { relay, floor, _recording: folder }
    }
}

pub(crate) async fn measure_plain() -> Vec<Row> {
    let Servers { relay, floor, _recording } = Servers::start().await;
    let ours = run("relay, plain dialect", relay.pid(), relay.address(), Kind::PlainViewer("cam"), PLAIN_SIZE).await;
    let least = run("plain TCP", floor.0.pid(), floor.1, Kind::Plain, PLAIN_SIZE).await;
    let ratio = ours.cpu_per_gb / least.cpu_per_gb;
    vec![
        Row::new(
            format!("plain dialect to {PLAIN_SIZE}: CPU s/GB, relay : plain TCP"),
            format!("{:.3} : {:.3} = {ratio:.2}", ours.cpu_per_gb, least.cpu_per_gb),
            "",
        ),
        Row::new(
            format!("plain dialect to {PLAIN_SIZE}: resident per viewer"),
            format!("{:.1} KiB", ours.kib_each),
            "32 KiB",
        ),
    ]
}

pub(crate) async fn measure() -> Vec<Row> {
    let Servers { relay, floor, _recording } = Servers::start().await;
    let mut rows = Vec::new();
    for size in SIZES {
        let ours = run("relay", relay.pid(), relay.address(), Kind::Viewer("cam"), size).await;
        let least = run("plain TCP", floor.0.pid(), floor.1, Kind::Plain, size).await;
        let ratio = ours.cpu_per_gb / least.cpu_per_gb;
        rows.push(Row::new(
            format!("fan-out to {size}: CPU s/GB, relay : plain TCP"),
            format!("{:.2} : {:.2} = {ratio:.2}", ours.cpu_per_gb, least.cpu_per_gb),
            "1.70",
        ));
        rows.push(Row::new(
            format!("fan-out to {size}: resident per viewer"),
            format!("{:.1} KiB", ours.kib_each),
            "32 KiB",
        ));
        rows.push(Row::new(
            format!("fan-out to {size}: resident when the {} s begin / end", SPAN.as_secs()),
            format!("{:.1} / {:.1} MiB", ours.mib.0, ours.mib.1),
            "flat",
        ));
        let delivered = format!("{:.0} Mbit/s", ours.mbit_each * size as f64);
        rows.push(Row::new(
            format!("fan-out to {size}: delivered"),
            format!("{delivered} ({:.2} each)", ours.mbit_each),
            "",
        ));
    }
    rows
}

/// The results of one run.
struct Run {
    cpu_per_gb: f64,
    kib_each: f64,
    /// Resident memory at the beginning and end of the measurement.
    mib: (f64, f64),
    mbit_each: f64,
}

async fn run(what: &str, pid: i32, address: SocketAddr, kind: Kind, size: usize) -> Run {
    eprintln!("{what}: {size} viewers …");
    // One viewer keeps the source running while memory is read before the load.
    let first = Receivers::gather(address, kind, 1).await;
    sleep(SETTLE).await;
    let before_kib = resident_kib(pid);
    let mut receivers = Receivers::gather(address, kind, size).await;
    sleep(SETTLE).await;
    let settled_kib = resident_kib(pid);
    let (cpu, bytes, start) = (cpu_seconds(pid), receivers.received(), std::time::Instant::now());
    sleep(SPAN).await;
    let (cpu, bytes, took) = (cpu_seconds(pid) - cpu, receivers.received() - bytes, start.elapsed());
    let after_kib = resident_kib(pid);
    assert_eq!(receivers.present(), size, "{what}: viewers left");
    drop((first, receivers));
    Run {
        cpu_per_gb: cpu / (bytes as f64 / 1e9),
        kib_each: (after_kib as f64 - before_kib as f64).max(0.0) / size as f64,
        mib: (settled_kib as f64 / 1024.0, after_kib as f64 / 1024.0),
        mbit_each: bytes as f64 * 8.0 / 1e6 / took.as_secs_f64() / size as f64,
    }
}

pub(crate) async fn start_floor(relay: &Relay) -> (Owned, SocketAddr) {
    let source = format!("ws://{}/ws/mse/cam", relay.address());
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args([raw_tcp::COMMAND, &source]).stdin(Stdio::null());
    let process = Owned::start("floor", &mut command).expect("this program starts");
    let limit = Duration::from_secs(5);
    let port: u16 = process.stdout.wait_for("the floor's port", limit, |line| line.trim().parse().ok()).await;
    (process, ([127, 0, 0, 1], port).into())
}
