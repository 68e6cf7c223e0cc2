//! Plays the multivariant playlist for minutes with other players: FFmpeg copies the stream to a null output, and ffprobe
//! probes it repeatedly. Their errors and warnings are counted and printed on standard error. FFmpeg's frames are compared by
//! decode time with the frames that a WebSocket viewer received, because a camera on a busy machine omits some.
//!
//! One warning is counted separately: "Found duplicated MOOV Atom". At each reload FFmpeg takes the required EXT-X-MAP for a
//! new one, whatever its address, reads it again, and skips it. This costs one request for some hundred bytes. No playlist with
//! an init segment can avoid it.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use sightline_protocol::fragment::FragmentHead;
use sightline_tests::camera::Camera;
use sightline_tests::process::Owned;
use sightline_tests::relay::Setup;
use sightline_tests::viewer::{Event, PLAYS_BOTH, Viewer};
use tokio::time::sleep;

use crate::Row;
use crate::latency::{CAM, LIVE};

/// The default duration.
pub(crate) const SECONDS: u64 = 300;
/// The time limit of one ffprobe: it may wait for a key frame and for encoders to start.
const PROBE: Duration = Duration::from_secs(30);
/// See the module's documentation.
const MAP_AGAIN: &str = "Found duplicated MOOV Atom. Skipped it";

pub(crate) async fn measure(seconds: u64) -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config_with_low()).start().await;
    let url = relay.url("/hls/cam/index.m3u8");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(["-hide_banner", "-loglevel", "level+warning", "-i", &url]).args(arguments);
        Owned::start(program, &mut command).unwrap_or_else(|e| panic!("{program} does not start: {e}"))
    };
    eprintln!("hls: FFmpeg and ffprobe, {seconds} s …");
    let mut sent = Vec::new();
    let mut viewer = Viewer::playing(&relay, CAM.path, &PLAYS_BOTH).await;
    let timescale = f64::from(viewer.wait_ready(LIVE).await.tracks[0].timescale);
    // `framecrc` prints one line per frame, with its times.
    let mut ffmpeg = run("ffmpeg", &["-nostats", "-copyts", "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]);
    let (mut probes, mut failed, mut probe_complaints) = (0, 0, Complaints::default());
    let watching = async {
        loop {
            if let Event::Media(bytes) = viewer.next(LIVE).await
                && let Ok(head) = FragmentHead::read(&bytes)
            {
                sent.push(head.decode_time as f64 / timescale);
            }
        }
    };
    let probing = async {
        loop {
            let mut probe = run("ffprobe", &["-show_entries", "stream=codec_name", "-of", "csv=p=0"]);
            let status = probe.wait(PROBE).await;
            probes += 1;
            failed += usize::from(!status.success() || !probe.stdout.text().contains("h264"));
            probe_complaints.add(&probe.stderr.all());
        }
    };
    tokio::select! {
        () = sleep(Duration::from_secs(seconds)) => {}
        () = watching => {}
        () = probing => {}
    }
    let ended = ffmpeg.exited().map_or_else(String::new, |status| format!(", and ended with {status}"));
    ffmpeg.signal(Signal::INT);
    ffmpeg.wait(PROBE).await;
    let read = times(&ffmpeg.stdout.all());
    if let (Some(first), Some(last)) = (read.first(), read.last()) {
        sent.retain(|time| (first - SAME..=last + SAME).contains(time));
    }
    let mut complaints = Complaints::default();
    complaints.add(&ffmpeg.stderr.all());
    for (program, complaints) in [("ffmpeg", &complaints), ("ffprobe", &probe_complaints)] {
        complaints.0.iter().for_each(|(line, count)| eprintln!("hls: {program}: {count} times: {line}"));
    }
    let steps = format!("{:.0} of {:.0} ms", longest_ms(&read), longest_ms(&sent));
    vec![
        Row::new(format!("ffmpeg, {seconds} s of HLS: errors, warnings"), format!("{complaints}{ended}"), "0, 0"),
        Row::new("its frames, of those sent by WebSocket", format!("{} of {}", read.len(), sent.len()), ""),
        Row::new("the longest step between them, of that by WebSocket", steps, ""),
        Row::new(format!("ffprobe, {probes} times: errors, warnings"), format!("{probe_complaints}"), "0, 0"),
        Row::new("of these without the stream's codec", failed.to_string(), "0"),
    ]
}

/// Lines that programs wrote to standard error, without their context addresses, with counts.
#[derive(Debug, Default)]
struct Complaints(BTreeMap<String, usize>);

impl Complaints {
    fn add(&mut self, lines: &[String]) {
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            let words = line.split(' ').filter(|word| !word.starts_with("0x") && *word != "@");
            *self.0.entry(words.collect::<Vec<_>>().join(" ")).or_default() += 1;
        }
    }

    fn count(&self, wanted: impl Fn(&str) -> bool) -> usize {
        self.0.iter().filter(|(line, _)| wanted(line)).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let harmless = self.count(|line| line.ends_with(MAP_AGAIN));
        let warnings = self.count(|line| line.contains("[warning]"));
        let errors = self.count(|_| true) - warnings;
        write!(f, "{errors}, {}", warnings - harmless)?;
        if harmless > 0 { write!(f, " (and {harmless} maps again)") } else { Ok(()) }
    }
}

/// The tolerance for equal times, in seconds: time bases round.
const SAME: f64 = 0.001;

/// Decode times in seconds from the lines of FFmpeg's `framecrc`: `stream, dts, pts, duration, size, checksum`.
fn times(lines: &[String]) -> Vec<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let base = lines.iter().find_map(|line| {
        let (numerator, denominator) = line.strip_prefix("#tb 0: ")?.split_once('/')?;
        Some(number(numerator)? / number(denominator)?)
    });
    let frames = lines.iter().filter(|line| !line.starts_with('#'));
    frames.filter_map(|line| Some(number(line.split(',').nth(1)?)? * base?)).collect()
}

/// The longest interval between two times, in milliseconds.
fn longest_ms(times: &[f64]) -> f64 {
    times.windows(2).map(|pair| (pair[1] - pair[0]) * 1e3).fold(0.0, f64::max)
}
