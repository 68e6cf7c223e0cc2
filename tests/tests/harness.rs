//! The harness proves itself, without the relay: that the camera sends what it says and counts whom it serves, that
//! each browser plays, and that a colour read back from a picture tells one camera from another.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sightline_tests::browser::{Browser, Rgb};
use sightline_tests::camera::{Camera, Kind, Login, Mount, Viewers};
use sightline_tests::http::Server;
use sightline_tests::process::Owned;
use sightline_tests::run::{alone, until};

const BLUE: Rgb = Rgb(0x20, 0x40, 0xc0);
const RED: Rgb = Rgb(0xc0, 0x40, 0x20);
const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: BLUE };
const H264: Mount = Mount { path: "h264", kind: Kind::H264, mark: RED };

/// Both have what the page contract asks for; neither is live.
const PAGE: &str = r#"<!doctype html><title>stand-in</title>
<article class="tile" data-stream="h265" data-state="live"><video src="/h265.mp4" muted loop autoplay playsinline></video></article>
<article class="tile" data-stream="h264" data-state="live"><video src="/h264.mp4" muted loop autoplay playsinline></video></article>"#;

#[test]
fn every_browser_plays_and_gives_back_the_colour_of_the_camera() {
    alone(Duration::from_secs(120), async {
        let camera = Camera::start(&[H265, H264]).await;
        let folder = tempfile::tempdir().unwrap();
        let mut files = HashMap::from([("/", ("text/html", PAGE.as_bytes().to_vec()))]);
        files.insert("/h265.mp4", ("video/mp4", record(&camera, "h265", folder.path()).await));
        files.insert("/h264.mp4", ("video/mp4", record(&camera, "h264", folder.path()).await));
        let server = Server::start(files).await;

        for browser in Browser::start_all().await {
            let engine = browser.engine();
            browser.open(&server.url("/")).await;
            assert_eq!(browser.streams().await, ["h265", "h264"]);
            for mount in [H264, H265].into_iter().filter(|mount| *mount != H265 || engine.plays_h265()) {
                browser.wait_live(mount.path, Duration::from_secs(20)).await;
                let frames = browser.frames_in(mount.path, Duration::from_secs(2)).await;
                assert!(frames >= 20, "{engine}: {frames} frames of {} in 2 s", mount.path);
                let seen = browser.mark(mount.path).await;
                assert!(seen.is_like(mount.mark), "{engine}: {} shows {seen}", mount.path);
                let other = if mount.mark == BLUE { RED } else { BLUE };
                assert!(!seen.is_like(other), "{engine}: {seen} is taken for {other}");
            }
            assert!(browser.screenshot(&format!("harness-{engine}")).await.is_file());
        }
    });
}

#[test]
fn the_camera_counts_its_viewers_and_can_be_unplugged() {
    alone(Duration::from_secs(60), async {
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
fn the_camera_wants_its_password() {
    alone(Duration::from_secs(60), async {
        let camera = Camera::start_with(&[H264], Some(Login { user: "viewer", password: "right" })).await;
        let with = |login: &str| camera.url("h264").replace("127.0.0.1", &format!("{login}127.0.0.1"));
        for (login, ok) in [("viewer:right@", true), ("viewer:wrong@", false), ("", false)] {
            let mut player = play(&with(login), &["-t", "0.5"]);
            let status = player.wait(Duration::from_secs(20)).await;
            assert_eq!(status.success(), ok, "{login:?}: {}", player.stderr.text());
            assert_eq!(player.stderr.text().contains("401"), !ok, "{login:?}: {}", player.stderr.text());
        }
    });
}

#[test]
fn the_long_gop_is_ten_seconds_and_b_frames_are_there() {
    alone(Duration::from_secs(60), async {
        let long = Mount { path: "long", kind: Kind::H265Long, mark: BLUE };
        let bframes = Mount { path: "b", kind: Kind::BFrames, mark: RED };
        let camera = Camera::start(&[long, bframes, H264]).await;
        let packets = async |path: &str, seconds: &str, what: &str| {
            let mut probe = Command::new("ffprobe");
            probe.args(["-v", "error", "-rtsp_transport", "tcp", "-read_intervals", &format!("%+{seconds}")]);
            probe.args(["-show_entries", what, "-of", "compact=p=0:nk=1"]).arg(camera.url(path));
            let mut probe = Owned::start("ffprobe", &mut probe).expect("ffprobe is installed");
            assert!(probe.wait(Duration::from_secs(30)).await.success(), "{}", probe.stderr.text());
            until("its output", Duration::from_secs(2), async || Some(probe.stdout.all()).filter(|l| !l.is_empty()))
                .await
                .into_iter()
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
        };
        let flags = packets("long", "12", "packet=flags").await;
        let keys: Vec<_> =
            flags.iter().enumerate().filter(|(_, flags)| flags.starts_with('K')).map(|(i, _)| i).collect();
        assert!(matches!(keys[..], [first, second, ..] if second - first == 250), "key frames at {keys:?}");
        assert_eq!(packets("b", "1", "stream=has_b_frames").await.last().map(String::as_str), Some("2"));
        assert_eq!(packets("h264", "1", "stream=has_b_frames").await.last().map(String::as_str), Some("0"));
    });
}

/// Half a minute of a mount as an MP4 file: longer than a test watches it, since engines differ in how they loop.
/// Three seconds are recorded, and repeated.
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

/// An FFmpeg that watches an address and throws the pictures away.
fn play(url: &str, limit: &[&str]) -> Owned {
    let mut player = Command::new("ffmpeg");
    player.args(["-v", "error", "-rtsp_transport", "tcp", "-i", url]).args(limit).args(["-f", "null", "-"]);
    Owned::start("ffmpeg", &mut player).expect("ffmpeg is installed")
}
