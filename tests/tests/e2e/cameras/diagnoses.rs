//! Cameras that cannot be shown, or only after a detour: the sentence that says why.

use sightline_tests::run::{until, within};
use sightline_tests::scripted_camera::case::{Attack, Login};

use super::*;

const TEST: Duration = Duration::from_secs(90);
const WATCHED: Duration = Duration::from_secs(5);
const USER: &str = "admin:secret@";

/// Watches each row and asserts the words of the last sentence that a viewer gets, or that the video plays.
async fn tell(rows: &[(Row, Option<&[&str]>)]) {
    let (rows, expected): (Vec<Row>, Vec<_>) = rows
        .iter()
        .map(|(row, expected)| {
            (Row { options: row.options, login: row.login, ..Row::new(&row.case, row.reader) }, expected)
        })
        .unzip();
    let scene = Scene::open(&rows).await;
    let watched = scene.watch_until(&rows, &expected, WATCHED).await;
    for ((row, watched), expected) in rows.iter().zip(watched).zip(expected) {
        match expected {
            None => watched.plays(&row.stream(), 15.0, WATCHED),
            Some(words) => {
                let said = watched.offline.last().unwrap_or_else(|| panic!("{}: nothing was said", row.stream()));
                assert!(words.iter().all(|word| said.contains(word)), "{}: {words:?} in {said:?}", row.stream());
            }
        }
    }
}

#[test]
fn refusals_are_explained_alike_by_both_readers() {
    within(TEST, async || {
        let refused = |name, method, status| Case { refusal: Some((method, status)), ..Case::new(name) };
        let moved = "302 Moved Temporarily\nLocation: rtsp://127.0.0.1:9/elsewhere";
        let cases: [(Case, &[&str]); 5] = [
            (refused("s453", "DESCRIBE", "453 Not Enough Bandwidth"), &["too many viewers", "453"]),
            (refused("s454", "PLAY", "454 Session Not Found"), &["session", "454"]),
            (refused("s400", "DESCRIBE", "400 Bad Request"), &["400", "path"]),
            (refused("s503", "DESCRIBE", "503 Service Unavailable"), &["503", "busy"]),
            (refused("s302", "DESCRIBE", moved), &["another address"]),
        ];
        let rows: Vec<_> = cases
            .iter()
            .flat_map(|(case, words)| EACH.iter().map(|&reader| (Row::new(case, reader), Some(*words))))
            .collect();
        tell(&rows).await;
    });
}

#[test]
fn udp_only_camera_is_read_by_udp_or_named() {
    within(TEST, async || {
        let udp = Case { udp_only: true, ..Case::new("udponly") };
        let named: &[&str] = &["UDP", "rtsp_transport = \"udp\""];
        tell(&[(Row::new(&udp, AUTO), None), (Row::new(&udp, FFMPEG), Some(named))]).await;
    });
}

#[test]
fn digest_of_each_kind_logs_in() {
    within(TEST, async || {
        let login = |name, algorithms, strict| Case {
            login: Some(Login { algorithms, strict, user: "admin", password: "secret" }),
            ..Case::new(name)
        };
        let cases = [
            login("md5", &["MD5"], false),
            login("sha", &["SHA-256"], false),
            login("shastrict", &["SHA-256"], true),
            login("both", &["SHA-256", "MD5"], false),
            login("bothr", &["MD5", "SHA-256"], false),
        ];
        let row = |case, reader, login| Row { login, ..Row::new(case, reader) };
        let mut rows: Vec<_> = cases.iter().map(|case| (row(case, AUTO, USER), None)).collect();
        let refuses: &[&str] = &["user name or password"];
        rows.push((row(&cases[1], DIRECT, "admin:wrong@"), Some(refuses)));
        rows.push((row(&cases[1], FFMPEG, USER), None));
        tell(&rows).await;
    });
}

#[test]
fn session_that_ends_is_opened_again() {
    within(TEST, async || {
        let bye = Case { attack: Some(Attack::ByeAfter(30)), ..Case::new("bye") };
        let rows = [Row::new(&bye, AUTO), Row::new(&Case { name: "byeffmpeg", ..bye }, FFMPEG)];
        let scene = Scene::open(&rows).await;
        // FFmpeg takes it for silence.
        let _viewer = Viewer::playing(&scene.relay, "byeffmpeg-ffmpeg", &PLAYS_BOTH).await.watch();
        let watched = scene.watch(&rows[..1], Duration::from_secs(8)).await;
        assert!(scene.count("bye", "PLAY") >= 2, "{:?}", watched[0].offline);
        assert!(watched[0].epochs.len() >= 2, "{:?}", watched[0].offline);
        assert!(watched[0].offline.iter().all(|said| said.contains("ended")), "{:?}", watched[0].offline);
        let again = async || (scene.count("byeffmpeg", "PLAY") >= 2).then_some(());
        until("FFmpeg to open it again", START, again).await;
    });
}

#[test]
fn files_and_devices_are_not_called_cameras() {
    within(TEST, async || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("short.mp4");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=64x64:r=10",
            "-t",
            "1",
            "-c:v",
            "libx264",
            "-bf",
            "0",
        ]);
        assert!(ffmpeg.arg(&file).status().expect("ffmpeg is installed").success());
        let config = format!(
            "[streams.ends]\nsource = \"{}\"\ninput_options = [\"-re\"]\n\
             [streams.gone]\nsource = \"/srv/no-such-file.mp4\"\n\
             [streams.device]\nsource = \"/dev/video99\"\ninput_options = [\"-f\", \"v4l2\"]\n",
            file.display()
        );
        let relay = Setup::config(config).start().await;
        let expected: [(&str, &[&str]); 3] = [
            ("ends", &["the file ended", "-stream_loop"]),
            ("gone", &["no such file", "/srv/no-such-file.mp4"]),
            ("device", &["no such device", "/dev/video99"]),
        ];
        for (stream, words) in expected {
            let watched = watch(&relay, stream.to_owned(), Some(words), Duration::from_secs(20)).await;
            let said = watched.offline.last().unwrap_or_else(|| panic!("{stream}: nothing was said"));
            say(&format!("{stream:<14} {:<7} {said}", "ffmpeg"));
            assert!(words.iter().all(|word| said.contains(word)), "{stream}: {words:?} in {said:?}");
        }
    });
}

#[test]
fn check_shows_figures_beside_a_silent_camera() {
    within(TEST, async || {
        let silent = Case { attack: Some(Attack::Silence), ..Case::new("silent") };
        let cameras = [Case::new("plain"), silent].map(ScriptedCamera::start);
        let stream =
            |name: &str, camera: &ScriptedCamera| format!("[streams.{name}]\nsource = \"{}\"\n", camera.url(""));
        let streams = stream("plain", &cameras[0]) + &stream("silent", &cameras[1]);
        let config = format!("[ingest]\nlinger_seconds = 1\nsilence_seconds = 3\n{streams}");
        let (status, table) = Setup::config(config).run("check", Duration::from_secs(45)).await;
        assert_eq!(status.code(), Some(1), "{table}");
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}"));
        let cells: Vec<_> = line("plain").split_whitespace().collect();
        let rate: f64 = cells[4].parse().unwrap_or_else(|_| panic!("a frame rate in {cells:?}"));
        assert!((5.0..30.0).contains(&rate) && cells[2].starts_with("avc1."), "{table}");
        let says = ["no video for", "no frame came"].iter().any(|words| table.contains(words));
        assert!(line("silent").contains("FAILED") && says, "{table}");
    });
}

#[test]
fn raw_character_in_a_password_is_named_at_the_start() {
    within(TEST, async || {
        let config = "[streams.gate]\nsource = \"rtsp://admin:p#Secret@10.0.0.2/a\"\n";
        let (status, said) = Setup::config(config).refusal().await;
        assert!(!status.success() && said.contains("%23") && said.contains("stream gate"), "{said}");
        assert!(!said.contains("Secret"), "{said}");
    });
}
