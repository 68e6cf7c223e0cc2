//! Plain players on the multivariant playlist, for minutes: FFmpeg copies the stream to nowhere, ffprobe looks at it again
//! and again. What they complain of is counted, and told on standard error; so is what FFmpeg read, by its timestamps.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use sightline_tests::camera::Camera;
use sightline_tests::process::Owned;
use sightline_tests::relay::Setup;
use sightline_tests::run::until;

use crate::Row;
use crate::latency::CAM;

/// How long, unless the command says otherwise.
pub(crate) const SECONDS: u64 = 300;
/// Beyond that: it starts three segments back and ends with the camera's clock, which runs as it likes.
const LATE: Duration = Duration::from_secs(30);
/// It may wait for a key frame, and for encoders to start.
const PROBE: Duration = Duration::from_secs(30);
/// Of the camera.
const RATE: f64 = 25.0;

/// Rows for so many seconds of the stream.
pub(crate) async fn measure(seconds: u64) -> Vec<Row> {
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config()).start().await;
    let url = relay.url("/hls/cam/index.m3u8");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(["-hide_banner", "-loglevel", "level+warning", "-i", &url]).args(arguments);
        Owned::start(program, &mut command).unwrap_or_else(|e| panic!("{program} does not start: {e}"))
    };
    eprintln!("hls: FFmpeg and ffprobe, {seconds} s …");
    // Of each frame a line, with its times.
    let long = seconds.to_string();
    let mut ffmpeg = run("ffmpeg", &["-nostats", "-map", "0:v:0", "-t", &long, "-c", "copy", "-f", "framecrc", "-"]);
    let (mut probes, mut failed, mut probe_complaints) = (0, 0, Complaints::default());
    let probing = async {
        loop {
            let mut probe = run("ffprobe", &["-show_entries", "stream=codec_name", "-of", "csv=p=0"]);
            let right = probe.wait(PROBE).await.success() && probe.stdout.text().contains("h264");
            probes += 1;
            failed += usize::from(!right);
            probe_complaints.add(&probe.stderr.all());
        }
    };
    let reading = async {
        let limit = Duration::from_secs(seconds) + LATE;
        tokio::time::timeout(limit * 2, until("FFmpeg to end", limit, async || ffmpeg.exited())).await
    };
    let ended = tokio::select! {
        ended = reading => ended.expect("it is waited for no longer"),
        () = probing => unreachable!("it goes on for as long as it is let"),
    };
    let read = Frames::of(&ffmpeg.stdout.all());
    let mut complaints = Complaints::default();
    complaints.add(&ffmpeg.stderr.all());
    for (program, complaints) in [("ffmpeg", &complaints), ("ffprobe", &probe_complaints)] {
        complaints.0.iter().for_each(|(line, count)| eprintln!("hls: {program}: {count} times: {line}"));
    }
    let expected = seconds as f64 * RATE;
    let ended = if ended.success() { "" } else { ", and failed" };
    vec![
        Row::new(format!("ffmpeg, {seconds} s of HLS: errors, warnings"), format!("{complaints}{ended}"), "0, 0"),
        Row::new("its frames", format!("{} of {expected:.0}", read.count), ""),
        Row::new("the longest step between their times", format!("{:.0} ms", read.longest * 1e3), "200 ms"),
        Row::new(format!("ffprobe, {probes} times: errors, warnings"), format!("{probe_complaints}"), "0, 0"),
        Row::new("of these without the stream's codec", failed.to_string(), "0"),
    ]
}

/// What programs wrote to standard error, without the addresses of their contexts, and how often.
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

impl std::fmt::Display for Complaints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let warnings = self.count(|line| line.contains("[warning]"));
        write!(f, "{}, {warnings}", self.count(|_| true) - warnings)
    }
}

/// What came, of the lines of FFmpeg's `framecrc`: `stream, dts, pts, duration, size, checksum`.
#[derive(Debug, Default)]
struct Frames {
    count: usize,
    /// In seconds.
    longest: f64,
}

impl Frames {
    fn of(lines: &[String]) -> Self {
        let base = lines.iter().find_map(|line| line.strip_prefix("#tb 0: ")?.split_once('/'));
        let base = base.map_or(1.0, |(numerator, denominator)| {
            let number = |text: &str| text.trim().parse::<f64>().expect("a time base is two numbers");
            number(numerator) / number(denominator)
        });
        let time = |line: &String| line.split(',').nth(1)?.trim().parse::<f64>().ok();
        let times: Vec<f64> = lines.iter().filter(|line| !line.starts_with('#')).filter_map(time).collect();
        let steps = times.windows(2).map(|pair| (pair[1] - pair[0]) * base);
        Self { count: times.len(), longest: steps.fold(0.0, f64::max) }
    }
}
