//! Cameras that play, whatever their habits.

use std::collections::HashMap;

use sightline_tests::http::Server;
use sightline_tests::run::{until, within};
use sightline_tests::scripted_camera::case::{Clock, DescribedSets, Fragments, Marker, Sound};
use sightline_tests::scripted_camera::media::Media;

use super::*;

const TEST: Duration = Duration::from_secs(90);
const WATCHED: Duration = Duration::from_secs(8);
const RATE: f64 = 15.0;

/// Watches each case by each of its readers, and asserts that it plays at [`RATE`].
async fn play(cases: &[(Case, &[&'static str])]) -> Vec<Watched> {
    let watched = look(cases).await;
    watched.iter().for_each(|(stream, watched)| watched.plays(stream, RATE, WATCHED));
    watched.into_iter().map(|(_, watched)| watched).collect()
}

/// Watches each case by each of its readers.
async fn look(cases: &[(Case, &[&'static str])]) -> Vec<(String, Watched)> {
    let rows: Vec<_> =
        cases.iter().flat_map(|(case, readers)| readers.iter().map(|&reader| Row::new(case, reader))).collect();
    let scene = Scene::open(&rows).await;
    let watched = scene.watch(&rows, WATCHED).await;
    rows.iter().map(Row::stream).zip(watched).collect()
}

#[test]
fn slices_and_parameter_sets_of_any_kind_play() {
    within(TEST, async || {
        let slices = Case { media: Media::Slices, ..Case::new("slicesok") };
        let marked = Case { media: Media::Slices, marker: Marker::Slice, ..Case::new("slices") };
        let two = Case { media: Media::TwoPps, ..Case::new("pps") };
        let described = Case { media: Media::TwoPps, described_sets: DescribedSets::All, ..Case::new("ppsall") };
        let without_pps = Case { described_sets: DescribedSets::SpsOnly, ..Case::new("spsonly") };
        let without = Case { described_sets: DescribedSets::None, ..Case::new("nosprop") };
        let set_marked = Case { marker: Marker::ParameterSets, ..Case::new("spsmark") };
        let unmarked = Case { marker: Marker::Never, ..Case::new("nomark") };
        play(&[
            (Case::new("plain"), EACH),
            (slices, &[AUTO]),
            (marked, &[AUTO]),
            (two, &[AUTO]),
            (described, &[AUTO]),
            (without_pps, &[AUTO]),
            (without, &[AUTO, FFMPEG]),
            (set_marked, &[AUTO]),
            (unmarked, &[AUTO]),
        ])
        .await;
    });
}

#[test]
fn ffmpeg_is_the_first_to_go_when_memory_runs_out() {
    within(TEST, async || {
        let rows = [Row::new(&Case::new("plain"), FFMPEG)];
        let scene = Scene::open(&rows).await;
        let _viewer = Viewer::playing(&scene.relay, &rows[0].stream(), &PLAYS_BOTH).await;
        let ffmpeg = scene.relay.wait_for_ffmpegs(1, START).await.remove(0);
        let score = || std::fs::read_to_string(format!("/proc/{}/oom_score_adj", ffmpeg.pid)).unwrap_or_default();
        until("FFmpeg's score", START, async || (score().trim() == "500").then_some(())).await;
    });
}

#[test]
fn clocks_of_any_kind_play() {
    within(TEST, async || {
        let clock = |name, clock| Case { clock, ..Case::new(name) };
        play(&[
            (clock("ms", Clock::Milliseconds), &[AUTO, DIRECT]),
            (clock("double", Clock::TwiceTooFast), &[AUTO, DIRECT]),
            (clock("still", Clock::Still), &[AUTO, DIRECT]),
            (clock("restart", Clock::RestartsAfter(40)), &[AUTO, DIRECT]),
            (clock("wrap", Clock::WrapsAfter(40)), EACH),
        ])
        .await;
    });
}

/// FFmpeg is restarted twice before it goes by arrival times.
#[test]
fn clock_in_milliseconds_plays_by_ffmpeg_in_the_end() {
    within(TEST, async || {
        let ms = Case { clock: Clock::Milliseconds, ..Case::new("ms") };
        for (stream, watched) in look(&[(ms, &[FFMPEG])]).await {
            assert_eq!(watched.offline.len(), 1, "{stream}: {:?}", watched.offline);
            watched.plays_in_the_end(&stream, RATE / 2.0, WATCHED);
        }
    });
}

#[test]
fn new_size_in_mid_stream_is_a_new_epoch() {
    within(TEST, async || {
        let watched = play(&[(Case { media: Media::Resized, ..Case::new("dn") }, &[AUTO, DIRECT])]).await;
        for watched in watched {
            for size in ["320,240", "640,360"] {
                assert!(watched.decoded.iter().any(|decoded| decoded == size), "{size}: {:?}", watched.decoded);
            }
            assert!(watched.epochs.len() >= 3, "{} epochs", watched.epochs.len());
        }
    });
}

#[test]
fn fragmentation_of_any_kind_plays() {
    within(TEST, async || {
        let case = |name, fragments| Case { fragments, ..Case::new(name) };
        play(&[
            (case("fureserved", Fragments::ReservedBit), &[AUTO, FFMPEG]),
            (case("fuempty", Fragments::EmptyLast), &[AUTO, FFMPEG]),
            (case("fuannexb", Fragments::StartCodes), &[AUTO]),
        ])
        .await;
    });
}

#[test]
fn pixels_that_are_not_square_are_declared() {
    within(TEST, async || {
        let wide = Case { media: Media::WidePixels, ..Case::new("wide") };
        for watched in play(&[(wide, EACH)]).await {
            let init = &watched.epochs[0][0];
            let declares = init.windows(12).any(|box_| *box_ == *b"pasp\0\0\0\x08\0\0\0\x03");
            assert!(declares, "8:3 in the sample entry (ISO/IEC 14496-12, section 12.1.4)");
        }
    });
}

#[test]
fn first_video_that_can_be_shown_is_chosen() {
    within(TEST, async || {
        let jpeg = &["m=video 0 RTP/AVP 26", "a=control:jpeg"];
        play(&[(Case { sdp_before: jpeg, ..Case::new("jpegfirst") }, &[AUTO, DIRECT])]).await;
    });
}

/// Files and HLS come faster than they are to be shown.
#[test]
fn playlists_and_files_are_paced() {
    within(TEST, async || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let playlist = folder.path().join("index.m3u8");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=15", "-t", "20", "-c:v", "libx264"]);
        ffmpeg.args(["-bf", "0", "-g", "30", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0"]);
        ffmpeg.args(["-hls_flags", "single_file"]).arg(&playlist);
        assert!(ffmpeg.status().expect("ffmpeg is installed").success());
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("FFmpeg wrote it");
        let files = HashMap::from([
            ("/index.m3u8", ("application/vnd.apple.mpegurl", read("index.m3u8"))),
            ("/index.ts", ("video/mp2t", read("index.ts"))),
        ]);
        let server = Server::start(files).await;
        let file = folder.path().join("index.ts");
        let config = format!(
            "[streams.hls]\nsource = \"{}\"\n[streams.file]\nsource = \"{}\"\n",
            server.url("/index.m3u8"),
            file.display()
        );
        let relay = Setup::config(config).start().await;
        for stream in ["hls", "file"] {
            let watched = watch(&relay, stream.to_owned(), None, Duration::from_secs(5)).await;
            say(&format!("{stream:<14} {:<7} {} frames in 5 s", FFMPEG, watched.fragments()));
            watched.plays(stream, RATE, Duration::from_secs(5));
            assert!(watched.fragments() < 120, "{stream}: {} frames in 5 s", watched.fragments());
        }
    });
}

#[test]
fn sound_that_stops_leaves_the_video_alone() {
    within(TEST, async || {
        let stops = Case { sound: Some(Sound { stops_after: Duration::from_secs(2) }), ..Case::new("soundstops") };
        for watched in play(&[(stops, EACH)]).await {
            assert!(watched.longest_gap < Duration::from_secs(1), "no video for {:?}", watched.longest_gap);
        }
    });
}
