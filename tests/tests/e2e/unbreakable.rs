//! Faults of FFmpeg, disk, clock and camera, beside viewers of another stream, which must not lose a frame.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sightline_protocol::message::{OfflineReason, ServerMessage, StreamState};
use sightline_protocol::stream::VariantChoice;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::http::get;
use sightline_tests::outcome::skip;
use sightline_tests::relay::{Relay, Setup, binary};
use sightline_tests::run::{say, until, within};
use sightline_tests::viewer::{BackgroundViewer, Event, PLAYS_BOTH, PLAYS_H264, Viewer};
use tempfile::TempDir;

const GOOD: Mount = Mount { path: "good", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
/// The stream with an FFmpeg that is stopped during playback.
const STOPPED: Mount = Mount { path: "stopped", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
/// The stream with an FFmpeg that is killed during playback.
const KILLED: Mount = Mount { path: "killed", kind: Kind::H264, mark: Rgb(0x20, 0xa0, 0x40) };

const KEY: &str = "a key of thirty-two bytes or more";
/// All streams until 2100.
const UNTIL_2100: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsInN0cmVhbXMiOlsiKiJdfQ.f_XVP-dHIsu4ZEsN9XqsEsD4jUUAaN9zNtIItLCeflY";

const TEST: Duration = Duration::from_secs(150);
const START: Duration = Duration::from_secs(30);
/// The relay waits 20 s for the first fragment of an FFmpeg.
const TOLD: Duration = Duration::from_secs(30);
/// The duration of the faults.
const SPAN: Duration = Duration::from_secs(20);
/// In [`SPAN`] the retry delays reach 8 s: at least 0.25 s, then doubling.
const TRIES: usize = 8;
/// Of the 25 frames per second of an idle machine, because a camera on a busy machine omits frames. A separate assertion checks
/// that the viewer loses no sent frame.
const FRAMES_A_SECOND: u64 = 5;
/// The number of fragments that a viewer must receive after a clock change, and the time limit.
const FRAGMENTS: u64 = 25;
const GOES_ON: Duration = Duration::from_secs(10);
/// The greatest memory growth of a relay in KiB, including the rings of two viewers.
const GROWTH_KIB: u64 = 48 * 1024;

/// Faulty FFmpegs, by the name of their source, and the offline reason that their viewers receive.
const FFMPEGS: [(&str, &str, OfflineReason); 6] = [
    ("exits", "exit 1", OfflineReason::Failed),
    ("garbage", "exec cat /dev/urandom", OfflineReason::Failed),
    ("half", r"printf '\0\0\0\040ftypiso5'; exec sleep 600", OfflineReason::Silent),
    ("giant", r"printf '\0\0\0\020ftypiso5\0\0\2\0\377\377\377\377moov'; exec cat /dev/zero", OfflineReason::Failed),
    ("mute", "exec sleep 600", OfflineReason::Silent),
    ("loud", "while :; do echo 'an error that nobody wants to read' >&2; done", OfflineReason::Silent),
];

/// Writes an FFmpeg script that behaves as its source's name says.
fn write_ffmpeg(folder: &Path) {
    let cases: String = FFMPEGS.iter().map(|(name, does, _)| format!("*\" /{name}.mp4 \"*) {does};;\n")).collect();
    let path = folder.join("ffmpeg");
    fs::write(&path, format!("#!/bin/sh\ncase \" $* \" in\n{cases}esac\nexec ffmpeg \"$@\"\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
}

fn config(camera: &Camera, folder: &Path) -> String {
    let streams = FFMPEGS.iter().map(|(name, ..)| format!("[streams.{name}]\nsource = \"/{name}.mp4\"\n"));
    let ffmpeg = folder.join("ffmpeg");
    format!("ffmpeg = {:?}\n{}{}", ffmpeg.display().to_string(), camera.config_by_ffmpeg(), streams.collect::<String>())
}

async fn watch(relay: &Relay, stream: &str, codecs: &[&str]) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, stream, codecs).await.watch();
    until("a viewer's first fragments", START, async || (viewer.seen().fragments > 5).then_some(())).await;
    viewer
}

/// The offline message of a stream's viewer, and its delay. The viewer stays connected.
async fn told(relay: &Relay, stream: &str) -> (Duration, OfflineReason, String, BackgroundViewer) {
    let begun = Instant::now();
    let mut viewer = Viewer::playing(relay, stream, &PLAYS_BOTH).await;
    let offline = |event: &Event| match event {
        Event::Message(ServerMessage::State(StreamState::Offline { reason, message, .. })) => {
            Some((*reason, message.clone()))
        }
        _ => None,
    };
    let (reason, message) = viewer.wait_for(&format!("{stream} to be offline"), TOLD, offline).await;
    (begun.elapsed(), reason, message, viewer.watch())
}

#[test]
fn misbehaving_ffmpeg_costs_other_streams_no_frame() {
    within(TEST, async || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        write_ffmpeg(folder.path());
        let camera = Camera::start(&[GOOD, STOPPED, KILLED]).await;
        let relay = Setup::config(config(&camera, folder.path())).start().await;
        let healthy = [watch(&relay, GOOD.path, &PLAYS_BOTH).await, watch(&relay, GOOD.path, &PLAYS_H264).await];
        let (before, kib, descriptors) =
            (healthy.each_ref().map(BackgroundViewer::seen), relay.resident_kib(), relay.descriptors());
        let begun = Instant::now();

        say(&format!("{:9} {:>6}  what its viewers are told", "fault", "after"));
        let all = join_all(FFMPEGS.iter().map(|(name, ..)| told(&relay, name))).await;
        for ((name, _, expected), (took, reason, message, _)) in FFMPEGS.iter().zip(&all) {
            assert_eq!(reason, expected, "{name}: {message}");
            assert!(!message.is_empty() && !message.contains('\n'), "{name}: {message:?}");
            say(&format!("{name:9} {:5.1}s  {message}", took.as_secs_f64()));
        }
        for (mount, end) in [(STOPPED, true), (KILLED, false)] {
            let viewer = watch(&relay, mount.path, &PLAYS_BOTH).await;
            let epoch = viewer.seen().ready.expect("it plays").epoch;
            let readers = relay.readers(&camera.url(mount.path));
            let since = Instant::now();
            readers.iter().for_each(|reader| if end { reader.stop() } else { reader.kill() });
            let again = async || viewer.seen().ready.filter(|ready| ready.epoch != epoch);
            until(&format!("{} to play again", mount.path), START, again).await;
            say(&format!("{:9} {:5.1}s  it plays again", mount.path, since.elapsed().as_secs_f64()));
        }
        tokio::time::sleep(SPAN.saturating_sub(begun.elapsed())).await;

        let span = begun.elapsed().as_secs();
        for (viewer, before) in healthy.iter().zip(before) {
            let seen = viewer.seen();
            assert!(seen.losses.is_empty(), "{:?}", seen.losses);
            let fragments = seen.fragments - before.fragments;
            assert!(fragments >= span * FRAMES_A_SECOND, "{fragments} in {span} s");
        }
        let (log, started) = (relay.log(), "FFmpeg started");
        let runs =
            |name| log.lines().filter(|line| line.contains(started) && line.contains(&format!("{name}/"))).count();
        let most = FFMPEGS.map(|(name, ..)| runs(name)).into_iter().max();
        assert!(
            most.is_some_and(|most| most > 0 && most <= TRIES + span as usize / 15),
            "{most:?} runs of one in {span} s"
        );
        let grown = relay.resident_kib().saturating_sub(kib);
        assert!(grown < GROWTH_KIB, "{grown} KiB more");
        until("all ended processes to be reaped", GOES_ON, async || relay.zombies().is_empty().then_some(())).await;
        say(&format!("good      {span:5}s  two viewers lost nothing; {grown} KiB more, {most:?} runs of one at most"));

        // After those viewers have left, no descriptor remains.
        drop(all);
        let back = async || (relay.descriptors() <= descriptors + 2).then_some(());
        until("the descriptors to be closed", START + Duration::from_secs(LINGER_SECONDS), back).await;
    });
}

/// A clock that the test sets, for the relay alone: FFmpeg does not inherit the library.
struct TestClock {
    library: PathBuf,
    folder: TempDir,
}

impl TestClock {
    /// A clock with the system's time. `None`, with a `SKIPPED:` line, if libfaketime is not installed.
    fn new() -> Option<Self> {
        let mut folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
        let library = folders.find_map(|folder| {
            let library = folder.path().join("faketime/libfaketimeMT.so.1");
            library.exists().then_some(library)
        });
        let Some(library) = library else {
            skip("libfaketime is not installed");
            return None;
        };
        let clock = Self { library, folder: tempfile::tempdir().expect("a temporary directory") };
        clock.set("+0");
        Some(clock)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// Sets the clock to a time in the notation of faketime(1).
    fn set(&self, to: &str) {
        fs::write(self.file(), to).expect("a file");
    }

    /// Gives the relay this clock.
    fn of(&self, relay: Setup) -> Setup {
        relay
            .env("LD_PRELOAD", &self.library.display().to_string())
            .env("FAKETIME_TIMESTAMP_FILE", &self.file().display().to_string())
            .env("FAKETIME_CACHE_DURATION", "1")
    }
}

/// A token for ten minutes from now, by this test's clock.
fn minted() -> String {
    let mut command = Command::new(binary());
    let output = command.args(["token", "--for", "10m"]).env("SIGHTLINE_TOKEN_KEY", KEY).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The relay's time, in milliseconds. None if the relay gives up the request, as it does while its clock runs fast.
async fn time(relay: &Relay) -> Option<f64> {
    let answer = get(relay.address(), &format!("/api/time?token={UNTIL_2100}")).await.ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    Some(answer["unix_ms"].as_f64().expect("a number"))
}

#[test]
fn clock_change_loses_no_frame() {
    within(TEST, async || {
        let Some(clock) = TestClock::new() else { return };
        let camera = Camera::start(&[GOOD]).await;
        let relay = clock
            .of(Setup::config(camera.config_by_ffmpeg()))
            .env("SIGHTLINE_TOKEN_KEY", KEY)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .start()
            .await;
        let mut viewer = Viewer::with_token(&relay, GOOD.path, UNTIL_2100).await;
        viewer.play(&PLAYS_BOTH, VariantChoice::Copy).await;
        viewer.wait_ready(START).await;
        let viewer = viewer.watch();
        let minted = minted();
        for (to, good) in [("+0", true), ("+1h", false), ("-1d", true), ("+0", true)] {
            clock.set(to);
            let (before, begun, told) = (viewer.seen().fragments, Instant::now(), time(&relay).await.expect("a time"));
            let let_in = async || {
                ((relay.get(&format!("/api/streams?token={minted}")).await.status == 200) == good).then_some(())
            };
            until("tokens to go by the clock as it is set", START, let_in).await;
            // The library reads the file once per second.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let more = async || Some(viewer.seen().fragments - before).filter(|&more| more >= FRAGMENTS);
            let fragments = until(&format!("fragments by a clock of {to}"), GOES_ON, more).await;
            let (told, took) = (time(&relay).await.expect("a time") - told, begun.elapsed());
            assert!((told - took.as_secs_f64() * 1e3).abs() < 200.0, "{to}: {told} ms in {took:?}");
            let losses = viewer.seen().losses;
            assert!(losses.is_empty(), "{to}: {losses:?}");
            say(&format!("clock {to:8} {:5.1}s  {fragments} fragments, none lost", took.as_secs_f64()));
        }
    });
}

/// The speed of the relay's clock relative to the test's, while its camera is away.
const QUICKER: u32 = 60;
const HOUR: Duration = Duration::from_secs(3600);
/// The longest retry delay is 15 s, with jitter at least half of it. The first retries are faster.
const TRIES_IN_AN_HOUR: usize = 3600 * 2 / 15 + 10;
/// Six seconds of that relay's time.
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// libfaketime caches the file, for seconds on a busy machine.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// The longest retry delay, and FFmpeg's start up to a key frame on a busy machine.
const BACK: Duration = Duration::from_secs(45);

#[test]
fn camera_absent_for_an_hour_recovers_within_seconds() {
    within(TEST, async || {
        let Some(clock) = TestClock::new() else { return };
        let mut camera = Camera::start(&[GOOD]).await;
        // All clocks of the relay, the monotonic one too.
        let started = Instant::now();
        let relay = clock.of(Setup::config(camera.config_by_ffmpeg())).start().await;
        let viewer = watch(&relay, GOOD.path, &PLAYS_BOTH).await;
        let kib = relay.resident_kib();
        let tries = || relay.log().matches("retry_in_ms").count();
        let before = tries();

        camera.stop();
        clock.set(&format!("+0 x{QUICKER}"));
        // The fast relay times out slow clients and disconnects viewers. This test reconnects, as pages do.
        let end = Instant::now() + HOUR / QUICKER;
        while Instant::now() < end {
            let _asks = Viewer::playing(&relay, GOOD.path, &PLAYS_BOTH).await;
            tokio::time::sleep(ASKED_EVERY).await;
        }
        let (tried, grown) = (tries() - before, relay.resident_kib().saturating_sub(kib));
        // The relay's clock continues at normal speed. It must not go back, and runs fast until the library reads the file.
        let ahead = started.elapsed() * (QUICKER - 1) + READ_WITHIN * QUICKER;
        clock.set(&format!("+{} x1", ahead.as_secs()));
        let slow = async || {
            let (told, begun) = (time(&relay).await?, Instant::now());
            tokio::time::sleep(ASKED_EVERY).await;
            let told = time(&relay).await? - told;
            (told < begun.elapsed().as_secs_f64() * 1e3 * 2.0).then_some(())
        };
        until("the relay's clock to run at normal speed", START, slow).await;
        let away = Instant::now();
        camera.restart().await;
        let mut again = Viewer::playing(&relay, GOOD.path, &PLAYS_BOTH).await;
        again.wait_ready(BACK).await;
        say(&format!(
            "hour away {:5.1}s  it plays again, after {tried} tries; {grown} KiB more",
            away.elapsed().as_secs_f64()
        ));
        assert!((100..=TRIES_IN_AN_HOUR).contains(&tried), "{tried}");
        assert!(grown < GROWTH_KIB, "{grown} KiB more");
        until("all ended processes to be reaped", GOES_ON, async || relay.zombies().is_empty().then_some(())).await;
        drop(viewer);
    });
}

#[test]
fn full_disk_stops_no_stream() {
    within(TEST, async || {
        let mut camera = Camera::start(&[GOOD]).await;
        let relay = Setup::config(camera.config_by_ffmpeg()).env("RUST_LOG", "debug").start_on_a_full_disk().await;
        let viewer = watch(&relay, GOOD.path, &PLAYS_H264).await;
        let epoch = viewer.seen().ready.expect("it plays").epoch;
        camera.restart().await;
        let again = async || viewer.seen().ready.filter(|ready| ready.epoch != epoch);
        until("it to play again", START, again).await;
    });
}
