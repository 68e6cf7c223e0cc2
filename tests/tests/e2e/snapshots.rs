//! `GET /api/streams/{stream}/snapshot.jpg`: the frame, its form, its caching, and what refuses it.

use std::collections::HashSet;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sightline_tests::browser::{MARK_POINTS, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{Response, get, get_with};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::viewer::{BackgroundViewer, PLAYS_BOTH, Viewer};

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const GATE: Mount = Mount { path: "gate", kind: Kind::H265, mark: Rgb(0xc0, 0x40, 0x20) };
const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);

async fn snapshot(relay: &Relay, stream: &str, query: &str) -> Response {
    relay.get(&format!("/api/streams/{stream}/snapshot.jpg{query}")).await
}

async fn watched(relay: &Relay, stream: &str) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, stream, &PLAYS_BOTH).await.watch();
    until("the picture", START, async || (viewer.seen().fragments > 25).then_some(())).await;
    viewer
}

/// Width, height and pixels of a JPEG image.
fn decode(answer: &Response) -> (usize, usize, Vec<u8>) {
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/jpeg"), "{}", answer.text());
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("snapshot.jpg");
    std::fs::write(&file, &answer.body).expect("a file of the test's own");
    let run = |program: &str, before: &[&str], after: &[&str]| {
        let output = Command::new(program).args(["-v", "error"]).args(before).arg(&file).args(after).output();
        let output = output.expect("it is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let size = run("ffprobe", &["-show_entries", "stream=width,height", "-of", "csv=p=0"], &[]);
    let size = String::from_utf8(size).expect("text");
    let (width, height) = size.trim().split_once(',').expect("two numbers");
    let pixels = run("ffmpeg", &["-i"], &["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]);
    (width.parse().expect("a number"), height.parse().expect("a number"), pixels)
}

/// Asserts the size of a JPEG image, and that it shows the camera's colour.
fn assert_shows(answer: &Response, mount: Mount, size: (usize, usize)) {
    let (width, height, pixels) = decode(answer);
    assert_eq!((width, height), size);
    let colours: Vec<[u8; 3]> = MARK_POINTS
        .iter()
        .map(|(x, y)| {
            let at = 3 * ((y * height as f64) as usize * width + (x * width as f64) as usize);
            [pixels[at], pixels[at + 1], pixels[at + 2]]
        })
        .collect();
    let seen = Rgb::median(&colours);
    assert!(seen.is_like(mount.mark), "{}: {seen}", mount.path);
}

#[test]
fn snapshot_is_a_frame_of_the_wanted_form() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD, GATE]).await;
        let relay = Setup::config(camera.config()).start().await;
        for mount in [YARD, GATE] {
            let viewer = watched(&relay, mount.path).await;
            let plain = snapshot(&relay, mount.path, "").await;
            assert_shows(&plain, mount, (640, 360));
            assert_shows(&snapshot(&relay, mount.path, "?at=now").await, mount, (640, 360));
            let small = snapshot(&relay, mount.path, "?width=320&quality=40").await;
            assert_shows(&small, mount, (320, 180));
            assert!(small.body.len() < plain.body.len());
            assert_shows(&snapshot(&relay, mount.path, "?width=4000").await, mount, (640, 360));
            assert_eq!(viewer.seen().losses, Vec::<String>::new());
        }
        until("FFmpeg to end", START, async || relay.ffmpegs().is_empty().then_some(())).await;
    });
}

#[test]
fn snapshot_is_the_same_until_the_next_key_frame() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD, GATE]).await;
        let relay = Setup::config(camera.config()).start().await;
        let _viewer = watched(&relay, YARD.path).await;
        let first = snapshot(&relay, YARD.path, "").await;
        assert_eq!(first.header("cache-control"), "private, no-cache");
        let known = first.header("etag").to_owned();
        let again = async || {
            let path = format!("/api/streams/{}/snapshot.jpg", YARD.path);
            get_with(relay.address(), &path, &[("If-None-Match", &known)]).await.expect("an answer")
        };
        let at_once = again().await;
        assert!(at_once.status == 304 && at_once.body.is_empty(), "{}", at_once.status);
        let newer = async || Some(again().await).filter(|answer| answer.status == 200);
        let newer = until("the next key frame", Duration::from_secs(3), newer).await;
        assert_ne!(newer.header("etag"), known);
    });
}

#[test]
fn idle_camera_is_started_for_a_snapshot_and_stopped_after_it() {
    within(TEST, async || {
        let camera = Camera::start(&[YARD]).await;
        let relay = Setup::config(camera.config()).start().await;
        assert_shows(&snapshot(&relay, YARD.path, "").await, YARD, (640, 360));
        camera.wait_for_viewers(YARD.path, 0, START).await;
    });
}

#[test]
fn snapshot_that_cannot_be_made_is_refused_with_its_reason() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD, GATE]).await;
        let config = format!("{}{}", camera.config(), camera.stream("off", "nowhere", ""));
        let relay = Setup::config(config).start().await;
        for (path, status, says) in [
            ("/api/streams/shed/snapshot.jpg", 404, "no stream named shed"),
            ("/api/streams/yard/snapshot.png", 404, "no stream named yard/snapshot.png"),
            ("/api/streams/yard/snapshot.jpg?width=5000", 400, "16 to 4096"),
            ("/api/streams/yard/snapshot.jpg?quality=best", 400, "1 to 100"),
            ("/api/streams/yard/snapshot.jpg?at=noon", 400, "newest-keyframe or now"),
            ("/api/streams/off/snapshot.jpg", 503, "does not have this path"),
        ] {
            let answer = relay.get(path).await;
            assert!(
                answer.status == status && answer.text().contains(says),
                "{path}: {} {}",
                answer.status,
                answer.text()
            );
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("retry-after").is_empty(), status != 503);
        }
        let path = format!("/api/streams/{}/snapshot.jpg", YARD.path);
        let foreign =
            get_with(relay.address(), &path, &[("Origin", "https://other.example")]).await.expect("an answer");
        assert_eq!(foreign.status, 403);
    });
}

#[test]
fn five_hundred_requests_share_an_image() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD, GATE]).await;
        let relay = Setup::config(camera.config()).start().await;
        let viewer = watched(&relay, YARD.path).await;
        let path = format!("/api/streams/{}/snapshot.jpg", YARD.path);
        let begun = Instant::now();
        let answers = join_all((0..500).map(|_| get(relay.address(), &path))).await;
        let took = begun.elapsed();
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("an answer")).collect();
        assert!(answers.iter().all(|answer| answer.status == 200));
        let images: HashSet<_> = answers.into_iter().map(|answer| answer.body).collect();
        say(&format!("500 snapshots in {:.1} s, {} of them different", took.as_secs_f64(), images.len()));
        // One for each key frame meanwhile.
        assert!(images.len() as f64 <= took.as_secs_f64() + 2.0, "{} images in {took:?}", images.len());
        until("more frames", START, async || (viewer.seen().fragments > 60).then_some(())).await;
        assert_eq!(viewer.seen().losses, Vec::<String>::new());
    });
}

mod timing {
    use sightline_tests::stats::{Statistic, assert_at_most};

    use super::*;

    #[test]
    fn snapshot_of_a_watched_stream_is_there_at_once() {
        within(TEST, async || {
            let camera = Camera::start(&[YARD]).await;
            let relay = Setup::config(camera.config()).start().await;
            let _viewers = join_all((0..10).map(|_| watched(&relay, YARD.path))).await;
            let mut took = Vec::new();
            for n in 0..40 {
                let begun = Instant::now();
                // A form of its own, which no other request has had.
                let answer = snapshot(&relay, YARD.path, &format!("?width={}", 400 + n)).await;
                took.push(begun.elapsed().as_secs_f64() * 1e3);
                assert_eq!(answer.status, 200);
            }
            assert_at_most("a snapshot beside ten viewers", &took, Statistic::P95, 150.0);
        });
    }
}
