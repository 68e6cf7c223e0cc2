//! Sound: sent on request, in sync with the video, without delaying it. No browser.

use std::process::Command;
use std::time::Duration;

use sightline_protocol::catalogue::ReaderName;
use sightline_protocol::message::{ClientMessage, TrackKind};
use sightline_protocol::stream::{Variant, VariantChoice};
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount, Viewers};
use sightline_tests::process::Owned;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, within};
use sightline_tests::stats::median;
use sightline_tests::tracks::{Epoch, Tracks};
use sightline_tests::viewer::{PLAYS_H264, Viewer, play};

const AAC: Mount = Mount { path: "aac", kind: Kind::WithAac, mark: Rgb(0x20, 0x40, 0xc0) };
const OPUS: Mount = Mount { path: "opus", kind: Kind::WithOpus, mark: Rgb(0xc0, 0x40, 0x20) };
const ALAW: Mount = Mount { path: "alaw", kind: Kind::WithAlaw, mark: Rgb(0x20, 0xc0, 0x40) };
const MUTE: Mount = Mount { path: "mute", kind: Kind::H264, mark: Rgb(0x80, 0x80, 0x20) };

const TEST: Duration = Duration::from_secs(90);
/// A cold source: FFmpeg, RTSP, the next key frame, on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Sound of a source that runs: another FFmpeg.
const AUDIO_START: Duration = Duration::from_secs(5);
/// What may lie between picture and sound, in seconds: ITU-R BT.1359 has 45 ms as detectable.
const SYNC: f64 = 0.04;

const BOTH: [TrackKind; 2] = [TrackKind::Video, TrackKind::Audio];
const PICTURE: [TrackKind; 1] = [TrackKind::Video];

async fn camera_and_relay(mount: Mount) -> (Camera, Relay) {
    let camera = Camera::start(&[mount]).await;
    let relay = Setup::config(camera.config_with_low()).start().await;
    (camera, relay)
}

async fn watch(relay: &Relay, stream: &str, variant: VariantChoice, tracks: &[TrackKind]) -> Viewer {
    let mut viewer = Viewer::v1(relay, stream).await;
    viewer.send(&play(&PLAYS_H264, variant, tracks, None)).await;
    viewer
}

async fn ask_for(viewer: &mut Viewer, tracks: &[TrackKind]) {
    viewer.send(&ClientMessage::Tracks { tracks: tracks.to_vec() }).await;
}

/// The lateness of the sound behind the video in seconds, by the beep and the square at the camera's whole seconds.
pub(crate) async fn lateness(video: &Epoch, audio: &Epoch) -> f64 {
    assert_eq!(video.track.timeline, audio.track.timeline);
    // The camera's clock at the beginning of the timeline.
    let origin = median(video.clock().await.iter().map(|(place, made, _)| made - place).collect());
    let beeps = audio.beeps().await;
    assert!(beeps.len() >= 3, "beeps at {beeps:?}");
    let late: Vec<f64> = beeps.iter().map(|beep| (beep + origin + 0.5).rem_euclid(1.0) - 0.5).collect();
    // A camera that the machine keeps waiting leaves pieces of sound out, and places what follows a little early until its
    // encoder notices: one beep is not judged by itself.
    let middle = median(late.clone());
    assert!(middle.abs() < SYNC, "sound is late by {late:?} s");
    middle
}

/// Sound and picture of one source, from the beginning. FFmpeg takes over where the relay does not know the codec.
async fn in_sync(mount: Mount, mime: &str, source: &str, by: ReaderName) {
    let (camera, relay) = camera_and_relay(mount).await;
    let mut viewer = watch(&relay, mount.path, VariantChoice::Auto, &BOTH).await;
    let mut tracks = Tracks::default();
    tracks.until_audio(&mut viewer, START).await;
    tracks.record(&mut viewer, Duration::from_secs(5)).await;

    let ([video], [audio]) = (&tracks.video[..], &tracks.audio[..]) else { panic!("one epoch each: {tracks:?}") };
    assert!(tracks.ready[0].audio);
    assert_eq!((&*audio.track.mime, audio.number), (mime, 1));
    assert!(audio.fragments.iter().all(|got| got.head.keyframe && got.head.samples == 1));
    let late = lateness(video, audio).await;
    say(&format!("{}: sound is {:.1} ms later than the picture", mount.path, late * 1e3));
    let (connections, readers) = if by == ReaderName::Direct { (1, 0) } else { (2, 1) };
    assert_eq!(relay.stream(mount.path).await.reader.map(|reader| reader.name), Some(by));
    assert_eq!(relay.readers(&camera.url(mount.path)).len(), readers, "{:?}", relay.ffmpegs());
    assert_eq!((camera.connections(), camera.viewers(mount.path)), (connections, Viewers { total: 1, now: 1 }));

    let info = relay.stream(mount.path).await.audio.expect("the catalogue knows of the sound");
    assert_eq!((info.source.as_str(), info.listeners), (source, 1));
    assert_eq!(
        Some(audio.track.mime.as_str()),
        info.codec.map(|codec| format!("audio/mp4; codecs=\"{codec}\"")).as_deref()
    );
}

#[test]
fn aac_is_copied_and_in_sync() {
    within(TEST, || in_sync(AAC, "audio/mp4; codecs=\"mp4a.40.2\"", "AAC", ReaderName::Direct));
}

#[test]
fn opus_is_copied_and_in_sync() {
    within(TEST, || in_sync(OPUS, "audio/mp4; codecs=\"opus\"", "Opus", ReaderName::Ffmpeg));
}

#[test]
fn telephone_codecs_become_aac_and_are_in_sync() {
    within(TEST, || in_sync(ALAW, "audio/mp4; codecs=\"mp4a.40.2\"", "G.711 A-law", ReaderName::Direct));
}

#[test]
fn transcode_shares_the_timeline_of_its_audio() {
    within(TEST, async || {
        let (camera, relay) = camera_and_relay(AAC).await;
        let mut viewer = watch(&relay, "aac", VariantChoice::Auto, &BOTH).await;
        let mut tracks = Tracks::default();
        tracks.record(&mut viewer, Duration::from_secs(4)).await;
        viewer.send(&ClientMessage::Switch { variant: VariantChoice::Low }).await;
        tracks.record(&mut viewer, Duration::from_secs(7)).await;
        let [copy, low] = &tracks.ready[..] else { panic!("two epochs: {:?}", tracks.ready) };
        assert_eq!((copy.variant, low.variant), (Variant::Copy, Variant::Low));
        assert_eq!(tracks.audio.len(), 1, "sound goes on through the change");
        assert_eq!(tracks.audio[0].holes(), []);
        for video in &tracks.video {
            lateness(video, &tracks.audio[0]).await;
            assert!(video.fragments.iter().all(|got| got.head.capture.is_some()), "every frame is known again");
        }
        assert_eq!(camera.connections(), 1);
    });
}

#[test]
fn audio_is_sent_only_on_request() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay(AAC).await;
        let mut viewer = watch(&relay, "aac", VariantChoice::Auto, &PICTURE).await;
        viewer.wait_ready(START).await;
        let mut tracks = Tracks::default();
        let mut other = watch(&relay, "aac", VariantChoice::Auto, &PICTURE).await;
        tracks.record(&mut other, Duration::from_secs(2)).await;
        assert!(tracks.ready[0].audio, "it could be asked for");
        assert!(tracks.audio.is_empty() && tracks.video[0].fragments.len() > 40);
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
        let info = relay.stream("aac").await.audio.expect("the catalogue knows of the sound");
        assert_eq!((info.sample_rate, info.channels, info.listeners, info.codec), (48_000, 1, 0, None));
    });
}

#[test]
fn audio_switches_on_and_off_without_a_video_gap() {
    within(TEST, async || {
        let (camera, relay) = camera_and_relay(ALAW).await;
        let mut viewer = watch(&relay, "alaw", VariantChoice::Auto, &PICTURE).await;
        let mut tracks = Tracks::default();
        tracks.record(&mut viewer, Duration::from_secs(3)).await;
        for round in 1..=2 {
            ask_for(&mut viewer, &BOTH).await;
            tracks.until_audio(&mut viewer, AUDIO_START).await;
            tracks.record(&mut viewer, Duration::from_secs(1)).await;
            assert_eq!((tracks.audio.len(), tracks.audio[round - 1].number), (round, round as u32));
            ask_for(&mut viewer, &PICTURE).await;
            // Media in flight.
            tracks.record(&mut viewer, Duration::from_millis(500)).await;
            let heard = tracks.audio[round - 1].fragments.len();
            tracks.record(&mut viewer, Duration::from_secs(1)).await;
            assert_eq!((tracks.audio.len(), tracks.audio[round - 1].fragments.len()), (round, heard), "silence");
        }
        assert_eq!((tracks.video.len(), tracks.video[0].holes()), (1, vec![]), "the picture went on");
        relay.wait_for_ffmpegs(0, Duration::from_secs(LINGER_SECONDS + 5)).await;
        assert_eq!((camera.connections(), camera.viewers("alaw").now), (1, 1));
    });
}

#[test]
fn restarted_viewer_gets_the_audio_track_again() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay(OPUS).await;
        let mut viewer = watch(&relay, "opus", VariantChoice::Auto, &BOTH).await;
        let mut tracks = Tracks::default();
        tracks.until_audio(&mut viewer, START).await;
        viewer.send(&ClientMessage::Resume).await;
        tracks.record(&mut viewer, Duration::from_secs(2)).await;
        assert_eq!(tracks.video.iter().map(|epoch| epoch.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(tracks.audio.iter().map(|epoch| epoch.number).collect::<Vec<_>>(), [1, 2]);
        viewer.send(&ClientMessage::Pause).await;
        tracks.record(&mut viewer, Duration::from_millis(500)).await;
        let before = tracks.audio[1].fragments.len();
        tracks.record(&mut viewer, Duration::from_secs(1)).await;
        assert_eq!(tracks.audio[1].fragments.len(), before, "a paused viewer hears nothing");
        viewer.send(&ClientMessage::Resume).await;
        tracks.until_audio(&mut viewer, AUDIO_START).await;
        assert_eq!(tracks.audio.len(), 2);
    });
}

#[test]
fn restarted_camera_has_audio_on_its_video_timeline() {
    within(TEST, async || {
        let (mut camera, relay) = camera_and_relay(AAC).await;
        let mut viewer = watch(&relay, "aac", VariantChoice::Auto, &BOTH).await;
        let mut tracks = Tracks::default();
        tracks.until_audio(&mut viewer, START).await;
        camera.restart().await;
        while tracks.audio.len() < 2 {
            tracks.until_audio(&mut viewer, START).await;
        }
        tracks.record(&mut viewer, Duration::from_secs(5)).await;
        let (video, audio) = (tracks.video.last().unwrap(), tracks.audio.last().unwrap());
        assert_ne!(video.track.timeline, tracks.video[0].track.timeline);
        lateness(video, audio).await;
    });
}

#[test]
fn camera_without_audio_plays_for_viewers_that_request_it() {
    within(TEST, async || {
        let (camera, relay) = camera_and_relay(MUTE).await;
        let mut viewer = watch(&relay, "mute", VariantChoice::Auto, &BOTH).await;
        let mut tracks = Tracks::default();
        tracks.record(&mut viewer, Duration::from_secs(4)).await;
        assert!(!tracks.ready[0].audio && tracks.audio.is_empty());
        assert!(tracks.video[0].fragments.len() > 40);
        assert_eq!((camera.connections(), camera.viewers("mute").total), (1, 1));
        assert_eq!(relay.stream("mute").await.audio, None);
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
    });
}

/// Two cameras of one kind: the sound of one of them is read as well, and a viewer listens.
#[test]
fn uncopyable_audio_keeps_the_video() {
    within(TEST, async || {
        // ALAC, for which NUT has no tag.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alac.mkv");
        let mut command = Command::new("ffmpeg");
        command.args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=d=3:r=25:s=320x180",
            "-f",
            "lavfi",
            "-i",
            "sine=d=3",
        ]);
        command.args(["-c:v", "libx264", "-bf", "0", "-g", "25", "-c:a", "alac"]).arg(&file);
        let mut ffmpeg = Owned::start("ffmpeg", &mut command).unwrap();
        assert!(ffmpeg.wait(START).await.success(), "{}", ffmpeg.stderr.text());
        let options = "input_options = [\"-re\", \"-stream_loop\", \"-1\"]";
        let relay = Setup::config(format!("[streams.odd]\nsource = {file:?}\n{options}\n")).start().await;
        let mut viewer = watch(&relay, "odd", VariantChoice::Auto, &BOTH).await;
        let mut tracks = Tracks::default();
        tracks.record(&mut viewer, Duration::from_secs(4)).await;
        assert!(!tracks.ready[0].audio && tracks.audio.is_empty());
        assert!(tracks.video[0].fragments.len() > 40, "{tracks:?}");
        relay.wait_for_log("cannot copy this source's audio", 1).await;
    });
}

/// Recordings and broadcasts carry AAC in ADTS frames, which tell its configuration one by one.
#[test]
fn aac_of_a_transport_stream_is_copied_or_transcoded() {
    within(TEST, async || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("adts.ts");
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=d=20:r=25:s=320x180"]);
        command.args([
            "-f",
            "lavfi",
            "-i",
            "sine=d=20:r=32000",
            "-c:v",
            "libx264",
            "-bf",
            "0",
            "-g",
            "25",
            "-c:a",
            "aac",
        ]);
        let mut ffmpeg = Owned::start("ffmpeg", command.arg(&file)).unwrap();
        assert!(ffmpeg.wait(START).await.success(), "{}", ffmpeg.stderr.text());
        let source = format!("source = {file:?}\ninput_options = [\"-re\"]");
        let config = format!("[streams.auto]\n{source}\n[streams.aac]\n{source}\naudio = \"aac\"\n");
        let relay = Setup::config(config).start().await;
        for (stream, timescale) in [("auto", 32_000), ("aac", 48_000)] {
            let mut viewer = watch(&relay, stream, VariantChoice::Auto, &BOTH).await;
            let mut tracks = Tracks::default();
            tracks.until_audio(&mut viewer, START).await;
            let track = &tracks.audio[0].track;
            assert_eq!((&*track.mime, track.timescale), ("audio/mp4; codecs=\"mp4a.40.2\"", timescale), "{stream}");
        }
    });
}

mod timing {
    use super::*;

    #[test]
    fn audio_does_not_delay_video() {
        within(TEST, async || {
            let other = Mount { path: "other", ..ALAW };
            let camera = Camera::start(&[ALAW, other]).await;
            let stream = |name, path| format!("[streams.{name}]\nsource = \"{}\"\n", camera.url(path));
            let relay = Setup::config(stream("with", "alaw") + &stream("without", "other") + "audio = \"off\"\n");
            let relay = relay.start().await;
            let mut with = watch(&relay, "with", VariantChoice::Auto, &BOTH).await;
            let mut without = watch(&relay, "without", VariantChoice::Auto, &BOTH).await;
            let (mut heard, mut seen) = (Tracks::default(), Tracks::default());
            let span = Duration::from_secs(14);
            tokio::join!(heard.record(&mut with, span), seen.record(&mut without, span));
            assert!(heard.audio[0].fragments.len() > 100 && seen.audio.is_empty() && !seen.ready[0].audio);
            let ages = async |tracks: &Tracks| {
                // The first second is one that FFmpeg had collected while it looked at the source.
                let clock = tracks.video[0].clock().await;
                clock.iter().skip(50).map(|(_, made, came)| (came - made) * 1e3).collect::<Vec<_>>()
            };
            let (with, without) = (median(ages(&heard).await), median(ages(&seen).await));
            say(&format!("pictures are {with:.1} ms old with sound, {without:.1} ms without"));
            assert!((with - without).abs() < 10.0, "{with} ms with sound, {without} ms without");
        });
    }
}
