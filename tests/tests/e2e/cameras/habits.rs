//! Cameras that play, whatever their habits.

use std::collections::HashMap;

use sightline_protocol::catalogue::ReaderName;
use sightline_tests::http::Server;
use sightline_tests::run::{until, within};
use sightline_tests::scripted_camera::case::{DescribedSets, Fragments, Marker, Sound, SoundCodec};
use sightline_tests::scripted_camera::media::Media;
use sightline_tests::tracks::Tracks;

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
        let sei_marked = Case { marker: Marker::Sei, ..Case::new("seimark") };
        let trailing = Case { media: Media::TrailingBytes, ..Case::new("spstrail") };
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
            (sei_marked, &[AUTO, FFMPEG]),
            (trailing, &[AUTO, FFMPEG]),
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
            (case("fuannexb", Fragments::StartCodes), &[AUTO, FFMPEG]),
            (case("futypes", Fragments::OtherTypes), &[AUTO, FFMPEG]),
        ])
        .await;
    });
}

/// Both fields of a frame have the same timestamp, and each ends with the marker.
#[test]
fn field_pictures_play() {
    within(TEST, async || {
        let fields = Case { media: Media::Fields, marker: Marker::Slice, ..Case::new("paff") };
        for (stream, watched) in look(&[(fields, EACH)]).await {
            assert!(watched.offline.is_empty() && watched.errors.is_empty(), "{stream}: {watched:?}");
            let frames = watched.fragments() / 2;
            assert!(frames as f64 > RATE * WATCHED.as_secs_f64() * PLAYS, "{stream}: {frames} frames");
            assert!(watched.decoded.len() + 2 > frames, "{stream}: {} of {frames} decoded", watched.decoded.len());
            assert!(watched.decoded.iter().all(|size| size.starts_with("320,256")), "{stream}");
            let (first, last) = (watched.times[0].1, watched.times[watched.times.len() - 1].1);
            let (passed, expected) = ((last - first) as f64 / 90_000.0, frames as f64 / RATE);
            assert!((passed - expected).abs() < 0.5, "{stream}: {frames} frames take {passed:.2} s");
        }
    });
}

#[test]
fn packets_of_a_dead_session_are_left_out() {
    within(TEST, async || {
        play(&[(Case { dead_session: true, ..Case::new("dead") }, EACH)]).await;
    });
}

#[test]
fn sequence_number_in_the_answer_to_play_does_not_count() {
    within(TEST, async || {
        play(&[(Case { wrong_sequence_number: true, ..Case::new("joined") }, EACH)]).await;
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
fn sound_that_stops_or_steps_leaves_the_video_alone() {
    within(TEST, async || {
        let sound = |name, stops_after, steps| {
            let stops_after = Duration::from_secs(stops_after);
            Case { sound: Some(Sound { codec: SoundCodec::Alaw, stops_after, steps }), ..Case::new(name) }
        };
        for watched in play(&[(sound("soundstops", 2, 0), EACH), (sound("soundsteps", 60, 10), EACH)]).await {
            // A muxer that waits for sound does so for four seconds or more.
            assert!(watched.longest_gap < Duration::from_secs(3), "no video for {:?}", watched.longest_gap);
        }
    });
}

#[test]
fn g726_becomes_aac() {
    within(TEST, async || {
        let sound = Sound { codec: SoundCodec::G726, stops_after: TEST, steps: 0 };
        let case = Case { sound: Some(sound), ..Case::new("g726") };
        let rows = [Row::new(&case, AUTO), Row::new(&case, FFMPEG)];
        let scene = Scene::open(&rows).await;
        let mut viewer = Viewer::v1(&scene.relay, "g726-auto").await;
        viewer.play_with_sound(&PLAYS_BOTH, None).await;
        let mut tracks = Tracks::default();
        tracks.until_audio(&mut viewer, START).await;
        tracks.record(&mut viewer, Duration::from_secs(3)).await;
        assert_eq!((tracks.video.len(), &*tracks.audio[0].track.mime), (1, "audio/mp4; codecs=\"mp4a.40.2\""));
        // 47 frames of AAC a second.
        assert!(tracks.audio[0].fragments.len() > 40, "{} frames of sound", tracks.audio[0].fragments.len());
        let reader = scene.relay.stream("g726-auto").await.reader.map(|reader| reader.name);
        assert_eq!(reader, Some(ReaderName::Direct), "sound is no reason for FFmpeg");
        drop(viewer);
        // FFmpeg's containers do not hold it: without sound.
        let watched = scene.watch(&rows[1..], WATCHED).await.remove(0);
        watched.plays("g726-ffmpeg", RATE, WATCHED);
    });
}
