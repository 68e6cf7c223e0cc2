//! Cameras that need patience: few frames, few key frames, no answers.

use sightline_tests::run::{until, within};
use sightline_tests::scripted_camera::case::Keepalive;
use sightline_tests::scripted_camera::media::Media;

use super::*;

const TEST: Duration = Duration::from_secs(120);

#[test]
fn slow_camera_shows_its_first_frame_at_once() {
    within(TEST, async || {
        let interval = |name, seconds| Case { interval: Duration::from_secs(seconds), ..Case::new(name) };
        let rows = [Row::new(&interval("one", 1), AUTO), Row::new(&interval("slow", 5), AUTO)];
        let scene = Scene::open(&rows).await;
        for (row, watched) in rows.iter().zip(scene.watch(&rows, Duration::from_secs(11)).await) {
            // Well before the second frame of the slower one.
            let at_once = watched.first.is_some_and(|first| first < Duration::from_secs(4));
            assert!(at_once, "{}: {:?}, {:?}", row.stream(), watched.first, watched.offline);
            assert_eq!((watched.offline.len(), watched.errors.as_str()), (0, ""), "{}", row.stream());
            assert_eq!(scene.count(row.case.name, "PLAY"), 1, "{}", row.stream());
        }
    });
}

#[test]
fn camera_that_never_answers_keepalives_plays_on() {
    within(TEST, async || {
        // Keepalives are due every 2 s.
        let case = |name, keepalive| Case { keepalive, session_timeout: 4, ..Case::new(name) };
        let cases = [case("kasilent", Keepalive::Ignored), case("ka454", Keepalive::Refused)];
        let rows: Vec<_> = cases.iter().flat_map(|case| [AUTO, FFMPEG].map(|reader| Row::new(case, reader))).collect();
        let scene = Scene::open(&rows).await;
        let span = Duration::from_secs(10);
        for (row, watched) in rows.iter().zip(scene.watch(&rows, span).await) {
            watched.plays(&row.stream(), 15.0, span);
        }
        for case in &cases {
            assert_eq!(scene.count(case.name, "PLAY"), 2, "{}: once by each reader", case.name);
            let asked = ["OPTIONS", "GET_PARAMETER"].map(|method| scene.count(case.name, method));
            assert!(asked.iter().sum::<usize>() >= 6, "keepalives go on: {asked:?}");
        }
    });
}

/// Whatever carries the media.
#[test]
fn camera_that_needs_keepalives_gets_them() {
    within(TEST, async || {
        let case = |name| Case { needs_keepalives: true, session_timeout: 3, ..Case::new(name) };
        let udp = Row { options: "rtsp_transport = \"udp\"\n", ..Row::new(&case("kaudp"), AUTO) };
        let rows = [Row::new(&case("katcp"), DIRECT), Row::new(&case("kaffmpeg"), FFMPEG), udp];
        let scene = Scene::open(&rows).await;
        for (row, watched) in rows.iter().zip(scene.watch(&rows, Duration::from_secs(8)).await) {
            let plays = watched.fragments() > 40 && watched.offline.is_empty();
            assert!(plays, "{}: {} frames, {:?}", row.stream(), watched.fragments(), watched.offline);
            assert_eq!(scene.count(row.case.name, "PLAY"), 1, "{}", row.stream());
        }
    });
}

#[test]
fn key_frame_that_is_far_away_is_awaited() {
    within(TEST, async || {
        // The next one comes after 24 s, when a source without any packet would have been given up.
        let case =
            Case { media: Media::Gop(121), first: 1, interval: Duration::from_millis(200), ..Case::new("gop60") };
        let rows = [Row::new(&case, AUTO), Row::new(&case, FFMPEG)];
        let scene = Scene::open(&rows).await;
        let span = Duration::from_secs(4);
        for (row, watched) in rows.iter().zip(scene.watch(&rows, span).await) {
            let first = watched.first.unwrap_or_else(|| panic!("{}: {:?}", row.stream(), watched.offline));
            assert!(first > Duration::from_secs(22), "{}: {first:?}", row.stream());
            assert_eq!(
                (watched.offline.len(), watched.errors.as_str()),
                (0, ""),
                "{}: {:?}",
                row.stream(),
                watched.offline
            );
        }
        assert_eq!(scene.count("gop60", "PLAY"), rows.len(), "it is not opened again");
        scene.relay.wait_for_log("next key frame", 1).await;
    });
}

/// Intra refresh: the only IDR has passed. FFmpeg's decoder begins at a recovery point (Rec. ITU-T H.264, section D.2.8).
#[test]
fn camera_without_key_frames_is_explained_or_transcoded() {
    within(TEST, async || {
        let case = Case { media: Media::IntraRefresh, first: 1, ..Case::new("refresh") };
        let encoded =
            Row { options: "encode = \"h264\"\n", ..Row::new(&Case { name: "refreshenc", ..case.clone() }, AUTO) };
        let rows = [Row::new(&case, AUTO), Row::new(&case, FFMPEG), encoded];
        let scene = Scene::open(&rows).await;
        // Watched without a frame, up to the time limit of the first one.
        let waiting = rows[..2].iter().map(async |row| Viewer::playing(&scene.relay, &row.stream(), &PLAYS_BOTH).await);
        let waiting = join_all(waiting).await;
        for row in &rows[..2] {
            let says = async || {
                let stream = scene
                    .relay
                    .catalogue()
                    .await
                    .streams
                    .into_iter()
                    .find(|found| found.name.to_string() == row.stream())?;
                stream.notes.iter().any(|note| note.contains("intra refresh") && note.contains("encode")).then_some(())
            };
            until(&format!("{}: what is missing and what to do", row.stream()), START, says).await;
        }
        drop(waiting);
        let span = Duration::from_secs(3);
        let watched = watch(&scene.relay, rows[2].stream(), None, span).await;
        say(&format!("{:<14} {:<7} {} frames by transcode", rows[2].case.name, AUTO, watched.fragments()));
        watched.plays("refreshenc", 15.0, span);
    });
}
