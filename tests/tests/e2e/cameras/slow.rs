//! Cameras that need patience: few frames, few key frames, no answers.

use sightline_tests::run::within;
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
            assert_eq!(scene.camera.count(row.case.name, "PLAY"), 1, "{}", row.stream());
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
            assert_eq!(scene.camera.count(case.name, "PLAY"), 2, "{}: once by each reader", case.name);
            let asked = ["OPTIONS", "GET_PARAMETER"].map(|method| scene.camera.count(case.name, method));
            assert!(asked.iter().sum::<usize>() >= 6, "keepalives go on: {asked:?}");
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
        assert_eq!(scene.camera.count("gop60", "PLAY"), rows.len(), "it is not opened again");
        assert!(scene.relay.log().contains("next key frame"), "{}", scene.relay.log());
    });
}
