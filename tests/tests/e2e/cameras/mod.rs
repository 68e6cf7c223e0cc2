//! Cameras with the habits of the field: each by the default reader, and by both readers where that says more. Judged by the
//! frames that a viewer receives and FFmpeg decodes, and by the sentences that a viewer is shown.

mod browser;
mod diagnoses;
mod ffmpeg;
mod frames;
mod habits;
mod hostile;
mod slow;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{ServerMessage, StreamState};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::say;
use sightline_tests::scripted_camera::ScriptedCamera;
use sightline_tests::scripted_camera::case::{Case, Clock};
use sightline_tests::viewer::{Event, PLAYS_BOTH, Viewer, is_init};
use tokio_tungstenite::tungstenite::Bytes;

/// The readers of a source, as the configuration names them.
const AUTO: &str = "auto";
const DIRECT: &str = "direct";
const FFMPEG: &str = "ffmpeg";
const EACH: &[&str] = &[AUTO, DIRECT, FFMPEG];

/// Media is compared with the clock over this time.
const SPEED_OVER: Duration = Duration::from_millis(3000);
/// The time limit of the first frame or sentence, with several FFmpegs to be started on a busy machine.
const START: Duration = Duration::from_secs(30);
/// The share of a camera's frames in a time that counts as playing: a busy machine makes the camera late. None is lost.
const PLAYS: f64 = 0.4;

/// A camera's row in the table.
struct Row {
    case: Case,
    reader: &'static str,
    /// Options of the stream.
    options: &'static str,
    /// User name and password in the address, with an `@`.
    login: &'static str,
}

impl Row {
    fn new(case: &Case, reader: &'static str) -> Self {
        Self { case: case.clone(), reader, options: "", login: "" }
    }

    /// The stream's name.
    fn stream(&self) -> String {
        format!("{}-{}", self.case.name, self.reader)
    }
}

/// What a viewer of a stream got.
#[derive(Debug, Default)]
struct Watched {
    /// The camera and its reader, where it is a scripted one.
    row: Option<(Case, &'static str)>,
    /// How many frames the camera had sent when the first fragment came, and when the last did.
    sent: (usize, usize),
    /// The time to the first frame.
    first: Option<Duration>,
    /// Init segments with the fragments after them.
    epochs: Vec<Vec<Bytes>>,
    /// The longest time between two fragments.
    longest_gap: Duration,
    /// When each fragment of the last epoch came, and its decode time in ticks of 90 kHz.
    times: Vec<(Duration, u64)>,
    /// The sentences of a stream that is offline.
    offline: Vec<String>,
    /// Decoded frames with their sizes.
    decoded: Vec<String>,
    /// What the decoder complained of.
    errors: String,
}

impl Watched {
    /// The fragments of all epochs.
    fn fragments(&self) -> usize {
        self.epochs.iter().map(|epoch| epoch.len() - 1).sum()
    }

    /// Asserts that it played at `rate` frames a second for `span` without an interruption.
    fn plays(&self, what: &str, rate: f64, span: Duration) {
        assert!(self.offline.is_empty(), "{what}: {:?}", self.offline);
        self.plays_in_the_end(what, rate, span);
    }

    /// The same, perhaps after an interruption.
    fn plays_in_the_end(&self, what: &str, rate: f64, span: Duration) {
        assert!(self.first.is_some(), "{what}: no frame, {:?}", self.offline);
        assert_eq!(self.errors, "", "{what}");
        let expected = rate * span.as_secs_f64();
        let (got, decoded) = (self.fragments(), self.decoded.len());
        assert!(got as f64 > expected * PLAYS, "{what}: {got} of {expected:.0} frames");
        assert!(decoded + 2 >= got, "{what}: {decoded} of {got} frames decoded");
        let Some((case, reader)) = &self.row else { return };
        self.is_complete(what, case, reader);
        match case.clock {
            Clock::Right | Clock::WrapsAfter(_) => {
                for epoch in &self.epochs {
                    right_time(what, case, epoch);
                }
            }
            // An epoch that has just begun says nothing.
            _ => {
                let speed = speed(self).unwrap_or(1.0);
                assert!((0.4..1.7).contains(&speed), "{what}: media goes by {speed:.2} times as fast as time");
            }
        }
    }

    /// Asserts that no frame is missing between the first and the last one. The default reader may start again with FFmpeg.
    fn is_complete(&self, what: &str, case: &Case, reader: &str) {
        let first = if reader == DIRECT { 0 } else { self.epochs.len() - 1 };
        frames::assert_complete(what, case.media, self.epochs[first..].iter().flat_map(|epoch| &epoch[1..]));
    }
}

/// Asserts that the frames of an epoch are as far apart as the camera's, whenever they came.
fn right_time(what: &str, case: &Case, epoch: &[Bytes]) {
    let time = |fragment: &Bytes| FragmentHead::read(fragment).expect("a fragment").decode_time as f64 / 90_000.0;
    let [_, first, .., last] = epoch else { return };
    let (passed, intervals) = (time(last) - time(first), (epoch.len() - 2) as f64);
    let expected = intervals * case.interval.as_secs_f64();
    // A reader does not know the duration of the first frames.
    let near = (passed - expected).abs() < 0.05 * expected + 0.2;
    assert!(near, "{what}: {intervals} intervals take {passed:.2} s in place of {expected:.2} s");
}

/// How fast media goes by at the end, once a clock that is wrong has been found out: 1.0 is right.
fn speed(watched: &Watched) -> Option<f64> {
    let (end, last) = *watched.times.last().expect("a fragment");
    let from = watched.times.iter().rev().take_while(|(at, _)| end - *at < SPEED_OVER).last().expect("the last");
    let span = end - from.0;
    (span > SPEED_OVER / 2).then(|| (last - from.1) as f64 / 90_000.0 / span.as_secs_f64())
}

/// A relay and the cameras that it reads.
struct Scene {
    cameras: Vec<(&'static str, ScriptedCamera)>,
    relay: Relay,
}

impl Scene {
    async fn open(rows: &[Row]) -> Self {
        let mut cameras: Vec<(&str, ScriptedCamera)> = Vec::new();
        for row in rows {
            if cameras.iter().all(|(name, _)| *name != row.case.name) {
                cameras.push((row.case.name, ScriptedCamera::start(row.case.clone())));
            }
        }
        let mut config = "[ingest]\nlinger_seconds = 1\nsilence_seconds = 8\nlow = false\n".to_owned();
        for row in rows {
            let url = camera(&cameras, row.case.name).url(row.login);
            config += &format!(
                "[streams.{}]\nsource = \"{url}\"\nreader = \"{}\"\n{}",
                row.stream(),
                row.reader,
                row.options
            );
        }
        Self { relay: Setup::config(config).start().await, cameras }
    }

    /// How often a camera was sent a method.
    fn count(&self, name: &str, method: &str) -> usize {
        camera(&self.cameras, name).count(method)
    }

    /// Watches all streams at once for `span`, and prints a line for each.
    async fn watch(&self, rows: &[Row], span: Duration) -> Vec<Watched> {
        self.watch_until(rows, &vec![None; rows.len()], span).await
    }

    /// The same; a stream is watched until a sentence with these words.
    async fn watch_until(&self, rows: &[Row], words: &[Option<&[&str]>], span: Duration) -> Vec<Watched> {
        let each = rows.iter().zip(words).map(async |(row, words)| {
            let sent = || camera(&self.cameras, row.case.name).frames();
            let watched = watch_camera(&self.relay, row.stream(), *words, span, sent).await;
            Watched { row: Some((row.case.clone(), row.reader)), ..watched }
        });
        let watched = join_all(each).await;
        for (row, watched) in rows.iter().zip(&watched) {
            let first = watched.first.map_or("-".to_owned(), |first| format!("{:.2} s", first.as_secs_f64()));
            let result = watched.offline.last().cloned().unwrap_or_else(|| {
                let (frames, epochs) = (watched.fragments(), watched.epochs.len());
                format!("{frames} frames, {} decoded, {epochs} epochs", watched.decoded.len())
            });
            say(&format!("{:<14} {:<7} {first:>7}  {result}", row.case.name, row.reader));
        }
        watched
    }
}

fn camera<'a>(cameras: &'a [(&str, ScriptedCamera)], name: &str) -> &'a ScriptedCamera {
    let found = cameras.iter().find(|(known, _)| *known == name);
    found.map(|(_, camera)| camera).expect("each row has a camera")
}

/// Watches a stream for `span` from its first frame on, or until a sentence with these words, and decodes what came.
async fn watch(relay: &Relay, stream: String, words: Option<&[&str]>, span: Duration) -> Watched {
    watch_camera(relay, stream, words, span, || 0).await
}

/// The same, of a camera that has sent this many frames.
async fn watch_camera(
    relay: &Relay,
    stream: String,
    words: Option<&[&str]>,
    span: Duration,
    sent: impl Fn() -> usize,
) -> Watched {
    let start = Instant::now();
    let mut viewer = Viewer::playing(relay, &stream, &PLAYS_BOTH).await;
    let (mut watched, mut last) = (Watched::default(), None);
    let end = |watched: &Watched| watched.first.map_or(START, |first| first + span);
    while let Some(left) = end(&watched).checked_sub(start.elapsed()) {
        match viewer.next_within(left).await {
            Some(Event::Media(bytes)) if is_init(&bytes) => {
                watched.epochs.push(vec![bytes]);
                watched.times.clear();
            }
            Some(Event::Media(bytes)) => {
                let first = watched.first.is_none();
                watched.first.get_or_insert(start.elapsed());
                watched.sent = (if first { sent() } else { watched.sent.0 }, sent());
                let gap = last.replace(Instant::now()).map_or(Duration::ZERO, |last: Instant| last.elapsed());
                watched.longest_gap = watched.longest_gap.max(gap);
                let head = FragmentHead::read(&bytes).expect("a fragment");
                watched.times.push((start.elapsed(), head.decode_time));
                watched.epochs.last_mut().expect("an init segment comes first").push(bytes);
            }
            Some(Event::Message(ServerMessage::State(StreamState::Offline { message, .. }))) => {
                let is_enough = words.is_some_and(|words| words.iter().all(|word| message.contains(word)));
                watched.offline.push(message);
                if is_enough {
                    break;
                }
            }
            Some(Event::Closed(code, reason)) => panic!("{stream}: closed with {code:?}: {reason}"),
            Some(Event::Message(_) | Event::Text(_)) | None => {}
        }
    }
    drop(viewer);
    tokio::task::spawn_blocking(move || decode(&mut watched).then_some(watched))
        .await
        .expect("it decodes")
        .expect("media")
}

/// Decodes every epoch. Returns whether FFmpeg ran.
fn decode(watched: &mut Watched) -> bool {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for epoch in &watched.epochs {
        let file = folder.path().join("epoch.mp4");
        std::fs::write(&file, epoch.concat()).expect("the temporary directory is writable");
        let (frames, errors) = decoded(&file);
        watched.decoded.extend(frames);
        watched.errors += &errors;
    }
    true
}

/// The sizes of a file's frames, and the decoder's complaints.
fn decoded(file: &Path) -> (Vec<String>, String) {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-threads", "1", "-select_streams", "v", "-show_entries", "frame=width,height"]);
    let output = ffprobe.args(["-of", "csv=p=0"]).arg(file).output().expect("ffprobe is installed");
    // Lines of side data have other fields.
    let is_size = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit());
    let lines = String::from_utf8_lossy(&output.stdout).lines().filter(is_size).map(str::to_owned).collect();
    (lines, String::from_utf8_lossy(&output.stderr).into_owned())
}
