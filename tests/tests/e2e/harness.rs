//! Tests of the harness itself, without the relay. The camera sends the specified media and counts its viewers. Each browser
//! plays. Colour and clock in a frame identify a camera and a moment.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sightline_tests::browser::{Browser, Rgb};
use sightline_tests::camera::{Camera, Kind, Login, Mount, Viewers};
use sightline_tests::http::Server;
use sightline_tests::known_delay::{FRAME, KnownDelay};
use sightline_tests::process::Owned;
use sightline_tests::run::{until, within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const BLUE: Rgb = Rgb(0x20, 0x40, 0xc0);
const RED: Rgb = Rgb(0xc0, 0x40, 0x20);
const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: BLUE };
const H264: Mount = Mount { path: "h264", kind: Kind::H264, mark: RED };

/// The time limit of ffprobe, which reads eleven seconds of live media. The camera's encoder may wait for a core.
const PROBED: Duration = Duration::from_secs(50);

/// Two tiles as the tests expect them. Neither is live.
const PAGE: &str = r#"<!doctype html><title>stand-in</title>
<article class="tile" data-stream="h265" data-state="live"><video src="/h265.mp4" muted loop autoplay playsinline></video></article>
<article class="tile" data-stream="h264" data-state="live"><video src="/h264.mp4" muted loop autoplay playsinline></video></article>"#;

#[test]
fn camera_counts_viewers_and_can_be_unplugged() {
    within(Duration::from_secs(60), async || {
        let mut camera = Camera::start(&[H265, H264]).await;
        let ports = camera.port();
        let mut first = play(&camera.url("h264"), &["-t", "60"]);
        camera.wait_for_viewers("h264", 1, Duration::from_secs(15)).await;
        let second = play(&camera.url("h264"), &["-t", "60"]);
        camera.wait_for_viewers("h264", 2, Duration::from_secs(15)).await;
        assert_eq!(camera.viewers("h265"), Viewers::default());
        assert_eq!(camera.connections(), 2);
        drop(second);
        camera.wait_for_viewers("h264", 1, Duration::from_secs(5)).await;
        assert_eq!(camera.viewers("h264").total, 2);

        camera.stop();
        first.wait(Duration::from_secs(10)).await;
        camera.restart().await;
        assert_eq!(camera.port(), ports);
        assert_eq!(camera.viewers("h264"), Viewers::default());
    });
}

#[test]
fn camera_requires_its_password() {
    within(Duration::from_secs(60), async || {
        let camera = Camera::start_with(&[H264], Some(Login { user: "viewer", password: "right" })).await;
        let with = |login: &str| camera.url("h264").replace("127.0.0.1", &format!("{login}127.0.0.1"));
        for (login, ok) in [("viewer:right@", true), ("viewer:wrong@", false), ("", false)] {
            let mut player = play(&with(login), &["-t", "0.5"]);
            let status = player.wait(Duration::from_secs(20)).await;
            assert_eq!(status.success(), ok, "{login:?}: {}", player.stderr.text());
            assert!(ok || player.stderr.text().contains("401"), "{login:?}: {}", player.stderr.text());
        }
    });
}

#[test]
fn camera_has_a_long_gop_and_b_frames() {
    within(Duration::from_secs(120), async || {
        let long = Mount { path: "long", kind: Kind::H265Long, mark: BLUE };
        let bframes = Mount { path: "b", kind: Kind::BFrames, mark: RED };
        let camera = Camera::start(&[long, bframes, H264]).await;
        let packets = async |path: &str, seconds: &str, what: &str| {
            let arguments = ["-read_intervals", &format!("%+{seconds}"), "-show_entries", what];
            probe(&camera.url(path), &[&arguments[..], &["-of", "compact=p=0:nk=1"]].concat()).await
        };
        let flags = packets("long", "#260", "packet=flags").await;
        let keys: Vec<_> =
            flags.iter().enumerate().filter(|(_, flags)| flags.starts_with('K')).map(|(i, _)| i).collect();
        assert!(matches!(keys[..], [first, second, ..] if second - first == 250), "key frames at {keys:?}");
        assert_eq!(packets("b", "1", "stream=has_b_frames").await.last().map(String::as_str), Some("2"));
        assert_eq!(packets("h264", "1", "stream=has_b_frames").await.last().map(String::as_str), Some("0"));
    });
}

#[test]
fn camera_sends_every_size_and_audio_codec() {
    within(Duration::from_secs(90), async || {
        let kinds = [
            ("sized", Kind::Sized(480, 270), "h264,480,270"),
            ("busy", Kind::Busy, "h264,640,360"),
            ("aac", Kind::WithAac, "h264,640,360 aac,48000,1"),
            ("opus", Kind::WithOpus, "h264,640,360 opus,48000,"),
            ("alaw", Kind::WithAlaw, "h264,640,360 pcm_alaw,8000,1"),
        ];
        let camera = Camera::start(&kinds.map(|(path, kind, _)| Mount { path, kind, mark: BLUE })).await;
        for (path, _, expected) in kinds {
            let entries = "stream=codec_name,width,height,sample_rate,channels";
            let streams = probe(&camera.url(path), &["-show_entries", entries, "-of", "csv=p=0"]).await;
            assert!(streams.join(" ").starts_with(expected), "{path}: {streams:?}");
        }
    });
}

/// Forwards, backwards, and backwards beyond the beginning.
#[test]
fn camera_timestamps_jump_without_lost_frames() {
    within(Duration::from_secs(60), async || {
        let camera = Camera::start(&[H264]).await;
        let mut packets = RtpTimes::open(camera.port(), "h264").await;
        for seconds in [10.0, -7.0, -100.0] {
            packets.frames(25).await;
            let before = packets.last;
            camera.jump("h264", seconds).await;
            // The jump plus the elapsed time.
            let jumped = until("a timestamp that has jumped", Duration::from_secs(5), async || {
                packets.frames(1).await;
                ((packets.since(before) - seconds).abs() < 3.0).then_some(packets.last)
            });
            let jumped = jumped.await;
            packets.frames(25).await;
            let second = packets.since(jumped);
            assert!((0.9..4.0).contains(&second), "25 frames, but for those left out, are {second} s long");
        }
    });
}

/// A viewer of a mount's video that reads only RTP timestamps (RFC 2326, section 10.12: RTP within RTSP).
struct RtpTimes {
    stream: BufReader<TcpStream>,
    last: u32,
}

impl RtpTimes {
    async fn open(port: u16, path: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the camera listens");
        let mut times = Self { stream: BufReader::new(stream), last: 0 };
        let url = format!("rtsp://127.0.0.1:{port}/{path}");
        times.ask("DESCRIBE", &url, "Accept: application/sdp").await;
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
        let session = times.ask("SETUP", &format!("{url}/stream=0"), transport).await.expect("a session");
        times.ask("PLAY", &url, &format!("Session: {session}")).await;
        times
    }

    /// Sends a request, reads the whole response, and returns its session.
    async fn ask(&mut self, method: &str, url: &str, header: &str) -> Option<String> {
        let request = format!("{method} {url} RTSP/1.0\r\nCSeq: 1\r\n{header}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).await.expect("the camera listens");
        let (mut session, mut body, mut line) = (None, 0, String::new());
        while self.stream.read_line(&mut line).await.expect("an answer") > 2 {
            let (name, value) = line.trim().split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "session" => session = value.split(';').next().map(str::to_owned),
                "content-length" => body = value.parse().expect("a length"),
                _ => {}
            }
            line.clear();
        }
        self.stream.read_exact(&mut vec![0; body]).await.expect("the body");
        session
    }

    /// Reads this many frames: packets with the marker bit, which ends an access unit (RFC 6184, section 5.1).
    async fn frames(&mut self, count: usize) {
        let mut frames = 0;
        while frames < count {
            let [_, channel, high, low] = self.stream.read_u32().await.expect("a packet").to_be_bytes();
            let mut packet = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            self.stream.read_exact(&mut packet).await.expect("its bytes");
            if channel == 0 && packet[1] & 0x80 != 0 {
                self.last = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
                frames += 1;
            }
        }
    }

    /// The difference between the last timestamp and an earlier one, in seconds of the 90 kHz clock.
    fn since(&self, earlier: u32) -> f64 {
        f64::from(self.last.wrapping_sub(earlier).cast_signed()) / 90_000.0
    }
}

/// Half a minute of a mount as an MP4 file: longer than a test, because engines differ in how they loop. Three seconds are
/// recorded and repeated.
async fn record(camera: &Camera, path: &str, folder: &Path) -> Vec<u8> {
    let (once, file) = (folder.join("once.mp4"), folder.join("file.mp4"));
    let tag: &[&str] = if path == "h265" { &["-tag:v", "hvc1"] } else { &[] };
    let ffmpeg = async |input: &[&str], output: &Path| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error"]).args(input).args(["-c", "copy"]).args(tag);
        command.args(["-movflags", "+faststart", "-y"]).arg(output);
        let mut ffmpeg = Owned::start("ffmpeg", &mut command).expect("ffmpeg is installed");
        assert!(ffmpeg.wait(Duration::from_secs(20)).await.success(), "{}", ffmpeg.stderr.text());
    };
    ffmpeg(&["-rtsp_transport", "tcp", "-i", &camera.url(path), "-t", "3"], &once).await;
    ffmpeg(&["-stream_loop", "9", "-i", &once.to_string_lossy()], &file).await;
    std::fs::read(file).expect("it was recorded")
}

/// ffprobe's output for an address, by line.
async fn probe(url: &str, arguments: &[&str]) -> Vec<String> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-rtsp_transport", "tcp"]).args(arguments).arg(url);
    let mut probe = Owned::start("ffprobe", &mut probe).expect("ffprobe is installed");
    assert!(probe.wait(PROBED).await.success(), "{}", probe.stderr.text());
    let lines = async || Some(probe.stdout.all()).filter(|lines| !lines.is_empty());
    let lines = until("its output", Duration::from_secs(2), lines).await;
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

/// An FFmpeg that plays an address to a null output.
fn play(url: &str, limit: &[&str]) -> Owned {
    let mut player = Command::new("ffmpeg");
    player.args(["-v", "error", "-rtsp_transport", "tcp", "-i", url]).args(limit).args(["-f", "null", "-"]);
    Owned::start("ffmpeg", &mut player).expect("ffmpeg is installed")
}

mod browser {
    use super::*;

    /// Asserts that the latency probe reads frames of different times, 40 ms apart, without disturbing playback.
    async fn reads_the_clock(browser: &Browser, path: &str) {
        let engine = browser.engine();
        let watch = browser.watch_clock(path, Duration::from_secs(2)).await;
        let steps: Vec<f64> = watch.samples.windows(2).map(|pair| pair[1].made_at() - pair[0].made_at()).collect();
        // A browser skips frames while the processor is busy: the step is a multiple then. Another step is the recording's loop.
        let is_even = |step: &&f64| **step > 35.0 && (**step / 40.0 - (**step / 40.0).round()).abs() < 0.125;
        let uneven = steps.len() - steps.iter().filter(is_even).count();
        assert!(steps.len() >= 10 && uneven <= 2, "{engine}: {uneven} uneven steps in {steps:?}");
        let frames = watch.samples.len() as u64;
        assert!(watch.unreadable * 10 <= frames, "{engine}: {} of {frames} frames unreadable", watch.unreadable);
    }

    #[test]
    fn every_browser_plays_the_camera_s_colour() {
        within(Duration::from_secs(120), async || {
            let camera = Camera::start(&[H265, H264]).await;
            let folder = tempfile::tempdir().unwrap();
            let mut files = HashMap::from([("/", ("text/html", PAGE.as_bytes().to_vec()))]);
            files.insert("/h265.mp4", ("video/mp4", record(&camera, "h265", folder.path()).await));
            files.insert("/h264.mp4", ("video/mp4", record(&camera, "h264", folder.path()).await));
            let server = Server::start(files).await;

            Browser::each(async |browser| {
                let engine = browser.engine();
                browser.open(&server.url("/")).await;
                assert_eq!(browser.streams().await, ["h265", "h264"]);
                for mount in [H264, H265].into_iter().filter(|mount| *mount != H265 || engine.plays_h265()) {
                    browser.wait_live(mount.path, Duration::from_secs(20)).await;
                    browser.wait_moving(mount.path, Duration::from_secs(2), 20, Duration::from_secs(20)).await;
                    let seen = browser.mark(mount.path).await;
                    assert!(seen.is_like(mount.mark), "{engine}: {} shows {seen}", mount.path);
                    let other = if mount.mark == BLUE { RED } else { BLUE };
                    assert!(!seen.is_like(other), "{engine}: {seen} is taken for {other}");
                    reads_the_clock(browser, mount.path).await;
                }
                assert!(browser.screenshot(&format!("harness-{engine}")).await.is_file());
            })
            .await;
        });
    }
}

mod timing {
    use super::*;

    /// Within 5 ms, plus the frame that a canvas may take until it is shown.
    #[test]
    fn latency_probe_reads_known_ages() {
        within(Duration::from_secs(120), async || {
            let page = KnownDelay::start().await;
            for browser in Browser::start_all().await {
                for delay in [0, 150, 1000] {
                    let error = page.read(&browser, delay).await - f64::from(delay);
                    let most = 5.0 + FRAME.as_secs_f64() * 1e3;
                    let engine = browser.engine();
                    assert!(
                        (-5.0..=most).contains(&error),
                        "{engine}: pictures {delay} ms old are read {error} ms off"
                    );
                }
            }
        });
    }
}
