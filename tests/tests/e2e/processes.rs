//! One FFmpeg per watched rendition, only while it is watched, and none that outlives the relay.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sightline_protocol::close;
use sightline_protocol::message::StreamState;
use sightline_protocol::stream::Variant;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::process::{Owned, Process};
use sightline_tests::relay::{Relay, Setup, binary};
use sightline_tests::run::{throughout, until, within};
use sightline_tests::viewer::{BackgroundViewer, PLAYS_BOTH, PLAYS_H264, Viewer};

const CAM: Mount = Mount { path: "cam", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };

const TEST: Duration = Duration::from_secs(90);
const START: Duration = Duration::from_secs(20);
const LINGER: Duration = Duration::from_secs(LINGER_SECONDS);
/// FFmpeg has one second to disconnect from the camera before it is killed. The rest is a reserve for a busy machine.
const FAREWELL: Duration = Duration::from_secs(4);

async fn watch(relay: &Relay, codecs: &[&str]) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, CAM.path, codecs).await.watch();
    until("a viewer's first fragments", START, async || (viewer.seen().fragments > 5).then_some(())).await;
    viewer
}

/// A camera, a relay, and a viewer of each variant: two FFmpeg processes.
async fn scene() -> (Camera, Relay, [BackgroundViewer; 2], Vec<Process>) {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config_by_ffmpeg()).start().await;
    let viewers = [watch(&relay, &PLAYS_BOTH).await, watch(&relay, &PLAYS_H264).await];
    let ffmpegs = relay.ffmpegs();
    assert_eq!(ffmpegs.len(), 2, "{ffmpegs:?}");
    (camera, relay, viewers, ffmpegs)
}

async fn all_gone(ffmpegs: &[Process], limit: Duration) {
    let gone = async || (!ffmpegs.iter().any(Process::is_alive)).then_some(());
    until("every FFmpeg to be gone", limit, gone).await;
}

#[test]
fn sigterm_closes_viewers_and_ends_all_processes() {
    within(TEST, async || {
        let (camera, mut relay, viewers, ffmpegs) = scene().await;
        let status = relay.end(Signal::TERM, FAREWELL).await;
        assert!(status.success(), "{status}");
        // The relay waits for its FFmpeg processes before it exits.
        all_gone(&ffmpegs, Duration::from_millis(100)).await;
        camera.wait_for_viewers(CAM.path, 0, Duration::from_secs(2)).await;
        for viewer in &viewers {
            until("the viewers to be told", Duration::from_secs(2), async || viewer.seen().closed).await;
            assert_eq!(viewer.seen().closed, Some(Some(close::GOING_AWAY)));
        }
    });
}

#[test]
fn sigint_closes_viewers_and_ends_all_processes() {
    within(TEST, async || {
        let (_camera, mut relay, _viewers, ffmpegs) = scene().await;
        assert!(relay.end(Signal::INT, FAREWELL).await.success());
        all_gone(&ffmpegs, Duration::from_millis(100)).await;
    });
}

#[test]
fn sigkill_ends_all_child_processes() {
    within(TEST, async || {
        let (camera, mut relay, _viewers, ffmpegs) = scene().await;
        relay.end(Signal::KILL, FAREWELL).await;
        all_gone(&ffmpegs, Duration::from_secs(2)).await;
        camera.wait_for_viewers(CAM.path, 0, Duration::from_secs(2)).await;
    });
}

/// An FFmpeg that writes notices a closed pipe. One that waits for a silent camera does not.
#[test]
fn sigkill_ends_ffmpeg_of_a_silent_camera() {
    within(TEST, async || {
        let (camera, mut relay, _viewers, ffmpegs) = scene().await;
        camera.freeze();
        // Waits until media in transit has been written.
        tokio::time::sleep(Duration::from_millis(500)).await;
        relay.end(Signal::KILL, FAREWELL).await;
        // Well before the relay's own time limits for silent sources.
        all_gone(&ffmpegs, Duration::from_secs(1)).await;
    });
}

#[test]
fn sigterm_ends_a_child_that_ignores_signals() {
    within(TEST, async || {
        let (_camera, mut relay, _viewers, ffmpegs) = scene().await;
        for ffmpeg in &ffmpegs {
            ffmpeg.stop();
        }
        assert!(relay.end(Signal::TERM, FAREWELL * 2).await.success());
        all_gone(&ffmpegs, Duration::from_millis(100)).await;
    });
}

#[test]
fn ffmpeg_has_none_of_the_relay_s_secrets() {
    within(TEST, async || {
        let camera = Camera::start(&[CAM]).await;
        // Stands for the password and the token key, which would lock the viewers out.
        let setup =
            Setup::config(camera.config_by_ffmpeg()).env("SIGHTLINE_LOG_FORMAT", "human").env("OTHER_KEY", "hidden");
        let relay = setup.start().await;
        let _viewers = [watch(&relay, &PLAYS_BOTH).await, watch(&relay, &PLAYS_H264).await];
        let ffmpegs = relay.ffmpegs();
        assert_eq!(ffmpegs.len(), 2, "{ffmpegs:?}");
        for ffmpeg in ffmpegs {
            let environment = std::fs::read(format!("/proc/{}/environ", ffmpeg.pid)).expect("it runs");
            let environment = String::from_utf8_lossy(&environment);
            assert!(environment.contains("PATH="), "{environment}");
            assert!(!environment.contains("SIGHTLINE") && !environment.contains("OTHER_KEY"), "{environment}");
        }
    });
}

/// The owner of a process's files in `/proc` is root instead of its account if the account may not read its memory (proc(5)).
#[test]
fn processes_of_the_relay_s_account_cannot_read_its_memory() {
    within(TEST, async || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary());
        if !rustix::process::geteuid().is_root() {
            command = Command::new(binary());
        }
        command.args(["--listen", "127.0.0.1:0"]).current_dir("/").env("SIGHTLINE_PASSWORD", "open sesame");
        let relay = Owned::start("relay", &mut command).expect("setpriv is part of util-linux");
        relay.stdout.wait_for("the relay's address", START, |line| line.contains("://").then_some(())).await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", relay.pid())).expect("it runs");
        let account = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("proc(5) has it");
        assert_ne!(account.split_whitespace().next(), Some("0"), "{account}");
        for file in ["environ", "mem", "maps"] {
            let owner = std::fs::metadata(format!("/proc/{}/{file}", relay.pid())).expect("it runs").uid();
            assert_eq!(owner, 0, "{file}");
        }
    });
}

#[test]
fn no_source_runs_without_a_viewer() {
    within(TEST, async || {
        let camera = Camera::start(&[CAM]).await;
        let relay = Setup::config(camera.config_by_ffmpeg()).start().await;
        relay.catalogue().await;
        relay.get("/").await;
        throughout("no FFmpeg", Duration::from_secs(1), async || relay.ffmpegs().is_empty()).await;
        assert_eq!(camera.connections(), 0);
    });
}

#[test]
fn kept_source_runs_without_viewers_and_after_a_failure() {
    within(TEST, async || {
        let camera = Camera::start(&[CAM]).await;
        let stream = camera.stream(CAM.path, CAM.path, "keep_running = true\nreader = \"ffmpeg\"\n");
        let relay = Setup::config(format!("[ingest]\nlinger_seconds = 0.1\nlow = false\n{stream}")).start().await;
        let live = async || {
            let copy = relay.variant(CAM.path, Variant::Copy).await;
            (copy.state == StreamState::Live && copy.viewers == 0).then_some(())
        };
        until("video without a viewer", START, live).await;
        // A viewer who comes and goes stops nothing.
        drop(watch(&relay, &PLAYS_BOTH).await);
        relay.wait_for_viewers(CAM.path, Variant::Copy, 0, FAREWELL).await;
        let reader = relay.wait_for_ffmpegs(1, FAREWELL).await[0].pid;
        throughout("the same reader", Duration::from_secs(1), async || relay.ffmpegs()[0].pid == reader).await;
        relay.ffmpegs()[0].kill();
        let another = async || relay.ffmpegs().first().filter(|ffmpeg| ffmpeg.pid != reader).map(|_| ());
        until("another reader", START, another).await;
        until("video without a viewer again", START, live).await;
    });
}

#[test]
fn ffmpeg_stops_after_the_idle_timeout() {
    within(TEST, async || {
        let (camera, relay, [untouched, transcoded], ffmpegs) = scene().await;
        drop(transcoded);
        relay.wait_for_viewers(CAM.path, Variant::H264, 0, FAREWELL).await;
        // The encoder stops. Its source continues for its other viewer.
        let left = relay.wait_for_ffmpegs(1, LINGER + FAREWELL).await;
        assert_eq!(left[0].pid, relay.readers(&camera.url(CAM.path))[0].pid);
        drop(untouched);
        relay.wait_for_viewers(CAM.path, Variant::Copy, 0, FAREWELL).await;
        let gone = Instant::now();
        // Slightly less than the idle timeout: the viewer left before the catalogue showed it.
        let within = LINGER - Duration::from_millis(400);
        throughout("lingering", within, async || relay.ffmpegs().len() == 1).await;
        relay.wait_for_ffmpegs(0, LINGER + FAREWELL - gone.elapsed()).await;
        all_gone(&ffmpegs, FAREWELL).await;
        camera.wait_for_viewers(CAM.path, 0, FAREWELL).await;
        // A process that has ended is one until the relay has read its status.
        until("all ended processes to be reaped", FAREWELL, async || relay.zombies().is_empty().then_some(())).await;
    });
}

#[test]
fn returning_viewer_finds_the_same_ffmpeg() {
    within(TEST, async || {
        let camera = Camera::start(&[CAM]).await;
        let relay = Setup::config(camera.config_by_ffmpeg()).start().await;
        let first = watch(&relay, &PLAYS_BOTH).await;
        let before: Vec<_> = relay.ffmpegs().iter().map(|ffmpeg| ffmpeg.pid).collect();
        drop(first);
        relay.wait_for_viewers(CAM.path, Variant::Copy, 0, FAREWELL).await;
        tokio::time::sleep(LINGER / 2).await;
        let second = watch(&relay, &PLAYS_BOTH).await;
        // Longer than the idle timeout that began when the first viewer left.
        let same = async || relay.ffmpegs().iter().map(|ffmpeg| ffmpeg.pid).collect::<Vec<_>>() == before;
        throughout("the same FFmpeg", LINGER + Duration::from_secs(1), same).await;
        assert_eq!(second.seen().losses, Vec::<String>::new());
        assert_eq!(camera.viewers(CAM.path).total, 1);
    });
}

#[test]
fn joining_and_leaving_viewers_leak_nothing() {
    within(TEST, async || {
        let camera = Camera::start(&[CAM]).await;
        let relay = Setup::config(camera.config_by_ffmpeg()).start().await;
        for round in 0..12 {
            let codecs = if round % 2 == 0 { &PLAYS_BOTH[..] } else { &PLAYS_H264 };
            let viewer = Viewer::playing(&relay, CAM.path, codecs).await;
            // Viewers leave at every stage of the start.
            tokio::time::sleep(Duration::from_millis(60 * round)).await;
            drop(viewer);
        }
        relay.wait_for_ffmpegs(0, LINGER * 2 + FAREWELL).await;
        // A process that has ended is one until the relay has read its status.
        until("all ended processes to be reaped", FAREWELL, async || relay.zombies().is_empty().then_some(())).await;
        for variant in [Variant::Copy, Variant::H264] {
            relay.wait_for_viewers(CAM.path, variant, 0, FAREWELL).await;
        }
        watch(&relay, &PLAYS_H264).await;
    });
}
