//! Audio by LL-HLS: a rendition group in step with the video, from every codec, while its playlist is requested. No browser.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{Track, TrackKind};
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::playlist::{Playlist, Segment};
use sightline_tests::process::Owned;
use sightline_tests::recording::Recordings;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::tracks::{Epoch, Got};
use sightline_tests::viewer::unix_ms;

use super::audio::lateness;

const AAC: Mount = Mount { path: "aac", kind: Kind::WithAac, mark: Rgb(0x20, 0x40, 0xc0) };
const OPUS: Mount = Mount { path: "opus", kind: Kind::WithOpus, mark: Rgb(0xc0, 0x40, 0x20) };
const ALAW: Mount = Mount { path: "alaw", kind: Kind::WithAlaw, mark: Rgb(0x20, 0xc0, 0x40) };
const MUTE: Mount = Mount { path: "mute", kind: Kind::H264, mark: Rgb(0x80, 0x80, 0x20) };

const TEST: Duration = Duration::from_secs(90);
/// A cold source: RTSP, FFmpeg, the first segments.
const START: Duration = Duration::from_secs(20);
/// The idle timeout of an HLS rendition, and a reserve for a busy machine.
const LEASE: Duration = Duration::from_secs(8 + 2);
/// The segments to compare.
const COMPARED: usize = 5;
/// The tolerance of a comparison of times in two timescales, in seconds.
const ROUNDING: f64 = 0.011;

async fn text(relay: &Relay, path: &str) -> String {
    let response = relay.get(path).await;
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.text()
}

async fn playlist(relay: &Relay, stream: &str, rendition: &str) -> Playlist {
    Playlist::read(&text(relay, &format!("/hls/{stream}/{rendition}/media.m3u8")).await)
}

/// The complete segments with media, by their names.
fn complete(playlist: &Playlist) -> impl Iterator<Item = &Segment> {
    playlist.segments.iter().filter(|segment| !segment.name.is_empty() && !segment.gap)
}

/// Ticks per second: the only `mdhd` box of an init segment (ISO/IEC 14496-12, section 8.4.2). Its times have 64 bits in
/// version 1.
fn timescale(init: &[u8]) -> f64 {
    let at = init.windows(4).position(|four| four == b"mdhd").expect("an init segment has mdhd") + 4;
    let at = at + if init[at] == 0 { 12 } else { 20 };
    f64::from(u32::from_be_bytes(init[at..at + 4].try_into().expect("four bytes")))
}

/// The start of each of these segments on the source's timeline, and its first frame's duration, in seconds.
async fn starts(relay: &Relay, folder: &str, playlist: &Playlist, names: &[String]) -> Vec<(f64, f64)> {
    let map = playlist.segments[0].map.as_deref().expect("an init segment");
    let timescale = timescale(&relay.get(&format!("{folder}/{map}")).await.body);
    let mut starts = Vec::new();
    for name in names {
        let response = relay.get(&format!("{folder}/{name}")).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let head = FragmentHead::read(&response.body).expect("a segment begins with a fragment");
        starts.push((head.decode_time as f64 / timescale, head.duration as f64 / timescale));
    }
    starts
}

/// The media of these segments as one epoch.
async fn epoch(relay: &Relay, folder: &str, playlist: &Playlist, names: &[String], kind: TrackKind) -> Epoch {
    let map = playlist.segments[0].map.as_deref().expect("an init segment");
    let init = relay.get(&format!("{folder}/{map}")).await.body;
    let timescale = timescale(&init) as u32;
    // The clock in a frame is read with the hour of its arrival.
    let now_ms = unix_ms();
    let mut fragments = Vec::new();
    for name in names {
        let segment = relay.get(&format!("{folder}/{name}")).await.body;
        let (mut start, mut at) = (0, 0);
        while let Some(size) = segment.get(at..at + 4) {
            let is_last_box = &segment[at + 4..at + 8] == b"mdat";
            at += u32::from_be_bytes(size.try_into().expect("four bytes")) as usize;
            if is_last_box {
                let bytes = segment[start..at].to_vec();
                let head = FragmentHead::read(&bytes).expect("a fragment");
                fragments.push(Got { at: now_ms, head, bytes: bytes.into() });
                start = at;
            }
        }
    }
    let track = Track { kind, mime: String::new(), timescale, timeline: 1, size: None, frame_rate: None };
    Epoch { track, number: 1, init: init.into(), fragments }
}

/// Runs ffprobe or FFmpeg to its end, without an error message.
async fn run(program: &str, arguments: &[&str]) -> Owned {
    let mut command = Command::new(program);
    command.args(["-v", "error"]).args(arguments);
    let mut process = Owned::start(program, &mut command).unwrap_or_else(|e| panic!("{program} does not start: {e}"));
    assert!(process.wait(Duration::from_secs(30)).await.success(), "{program}: {}", process.stderr.text());
    process
}

/// The first presentation time of each kind of packet that ffprobe reads from the multivariant playlist.
async fn first_packets(relay: &Relay, stream: &str) -> (f64, f64) {
    let url = relay.url(&format!("/hls/{stream}/index.m3u8"));
    let entries = "stream=codec_type:packet=codec_type,pts_time";
    let ffprobe = run("ffprobe", &["-show_entries", entries, "-of", "json", "-read_intervals", "%+3", &url]).await;
    let told: Value = serde_json::from_str(&ffprobe.stdout.text()).expect("ffprobe writes JSON");
    let of_kind = |list: &str, kind: &str| -> Vec<Value> {
        let all = told[list].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|one| one["codec_type"] == kind).collect()
    };
    assert_eq!((of_kind("streams", "video").len(), of_kind("streams", "audio").len()), (1, 1), "{told}");
    let first = |kind: &str| {
        let time = of_kind("packets", kind).first().and_then(|packet| packet["pts_time"].as_str()?.parse().ok());
        time.unwrap_or_else(|| panic!("no {kind} in {told}"))
    };
    (first("video"), first("audio"))
}

/// The audio of a camera, as players read it.
async fn in_step(mount: Mount, codec: &str) {
    let camera = Camera::start(&[mount]).await;
    let relay = Setup::config(camera.config()).start().await;
    let index = text(&relay, &format!("/hls/{}/index.m3u8", mount.path)).await;
    let group = index.lines().find(|line| line.starts_with("#EXT-X-MEDIA:")).unwrap_or_else(|| panic!("{index}"));
    assert!(group.contains("TYPE=AUDIO,GROUP-ID=\"audio\"") && group.contains("URI=\"audio/media.m3u8\""), "{group}");
    let variants: Vec<&str> = index.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF:")).collect();
    let with_audio = format!(",{codec}\",AUDIO=\"audio\"");
    assert!(variants.len() == 1 && variants.iter().all(|variant| variant.contains(&with_audio)), "{index}");

    let both = async || {
        let video = playlist(&relay, mount.path, "copy").await;
        let audio = playlist(&relay, mount.path, "audio").await;
        // The first segment may be incomplete.
        let names: Vec<String> = complete(&audio).skip(1).map(|segment| segment.name.clone()).collect();
        let names: Vec<String> =
            names.into_iter().filter(|name| complete(&video).any(|segment| segment.name == *name)).collect();
        (names.len() >= COMPARED).then_some((video, audio, names))
    };
    let (video, audio, names) = until("segments of both", START, both).await;
    assert_eq!(video.target_duration, audio.target_duration);
    assert_eq!(video.discontinuity_sequence, audio.discontinuity_sequence);
    let folder = |rendition: &str| format!("/hls/{}/{rendition}", mount.path);
    let pictures = starts(&relay, &folder("copy"), &video, &names).await;
    let sounds = starts(&relay, &folder("audio"), &audio, &names).await;
    for ((picture, _), (sound, frame)) in pictures.iter().zip(&sounds) {
        let late = sound - picture;
        assert!((-ROUNDING..frame + ROUNDING).contains(&late), "{pictures:?}, {sounds:?}: {}", audio.text);
    }
    for name in &names {
        let date = |playlist: &Playlist| {
            let segment = complete(playlist).find(|segment| segment.name == *name).expect("a segment of both");
            segment.date.parse::<jiff::Timestamp>().expect("a date").as_millisecond()
        };
        let late = date(&audio) - date(&video);
        assert!((-20..60).contains(&late), "{late} ms: {} {}", audio.text, video.text);
    }
    let parts = audio.segments.iter().flat_map(|segment| &segment.parts);
    assert!(parts.clone().count() > 5 && parts.clone().all(|part| part.2), "{}", audio.text);
    // A camera on a busy machine leaves pieces of sound out.
    let (uneven, total) = audio.uneven_parts();
    assert!(uneven * 3 < total, "{uneven} of {total} parts are uneven: {}", audio.text);

    let seen = epoch(&relay, &folder("copy"), &video, &names, TrackKind::Video).await;
    let heard = epoch(&relay, &folder("audio"), &audio, &names, TrackKind::Audio).await;
    let late = lateness(&seen, &heard).await;
    say(&format!("{} by HLS: sound is {:.1} ms later than the picture", mount.path, late * 1e3));

    let (picture, sound) = first_packets(&relay, mount.path).await;
    let frame = sounds[0].1;
    say(&format!("{}: FFmpeg's first audio is {:.1} ms after its first video", mount.path, (sound - picture) * 1e3));
    assert!((-ROUNDING..frame + ROUNDING).contains(&(sound - picture)), "{picture}, {sound}");
    assert_eq!(relay.stream(mount.path).await.audio.expect("it has audio").listeners, 1, "one for all players");
}

#[test]
fn aac_is_in_step_with_the_video() {
    within(TEST, || in_step(AAC, "mp4a.40.2"));
}

#[test]
fn telephone_codec_is_in_step_with_the_video() {
    within(TEST, || in_step(ALAW, "mp4a.40.2"));
}

#[test]
fn opus_is_in_step_with_the_video() {
    within(TEST, || in_step(OPUS, "opus"));
}

#[test]
fn audio_runs_only_while_its_playlist_is_requested() {
    within(TEST, async || {
        let camera = Camera::start(&[ALAW, MUTE]).await;
        let relay = Setup::config(camera.config()).start().await;
        text(&relay, "/hls/alaw/index.m3u8").await;
        let video = playlist(&relay, "alaw", "copy").await;
        let (msn, part) = video.edge();
        text(&relay, &format!("/hls/alaw/copy/media.m3u8?_HLS_msn={msn}&_HLS_part={part}")).await;
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
        playlist(&relay, "alaw", "audio").await;
        assert_eq!(relay.ffmpegs().len(), 1, "{:?}", relay.ffmpegs());
        relay.wait_for_ffmpegs(0, LEASE + Duration::from_secs(LINGER_SECONDS)).await;

        // A camera without sound has the same playlist as before, and no playlist of sound.
        let index = text(&relay, "/hls/mute/index.m3u8").await;
        assert!(!index.contains("AUDIO") && !index.contains("mp4a"), "{index}");
        let refused = relay.get("/hls/mute/audio/media.m3u8").await;
        assert_eq!(refused.status, 404, "{}", refused.text());
        assert!(refused.text().contains("no audio"), "{}", refused.text());
    });
}

#[test]
fn configuration_turns_audio_off() {
    within(TEST, async || {
        let camera = Camera::start(&[AAC]).await;
        let relay = Setup::config(camera.stream("aac", "aac", "audio = \"off\"\n")).start().await;
        let index = text(&relay, "/hls/aac/index.m3u8").await;
        assert!(!index.contains("AUDIO") && !index.contains("mp4a"), "{index}");
        assert_eq!(relay.get("/hls/aac/audio/media.m3u8").await.status, 404);
    });
}

#[test]
fn opus_becomes_aac_where_the_configuration_says_so() {
    within(TEST, async || {
        let camera = Camera::start(&[OPUS]).await;
        let config = format!("{}audio = \"aac\"\n", camera.config());
        let relay = Setup::config(config).start().await;
        let index = text(&relay, "/hls/opus/index.m3u8").await;
        assert!(index.contains(",mp4a.40.2\",AUDIO=\"audio\""), "{index}");
        let (video, audio) = first_packets(&relay, "opus").await;
        assert!((audio - video).abs() < 0.05, "{video}, {audio}");
    });
}

/// The start of the last segment of `playlist`, on the source's timeline.
async fn last_start(relay: &Relay, stream: &str, rendition: &str, playlist: &Playlist) -> Option<f64> {
    let last = complete(playlist).last()?.name.clone();
    Some(starts(relay, &format!("/hls/{stream}/{rendition}"), playlist, &[last]).await[0].0)
}

#[test]
fn audio_that_ends_continues_as_silence() {
    const SOUND: u32 = 6;
    within(TEST, async || {
        let recordings = Recordings::new();
        let file = recordings.sound_that_ends(60, SOUND);
        let config = format!("[streams.tape]\nsource = {file:?}\ninput_options = [\"-re\"]\n");
        let relay = Setup::config(config).start().await;
        let listed = async || {
            let audio = playlist(&relay, "tape", "audio").await;
            Some((last_start(&relay, "tape", "audio", &audio).await?, audio))
        };
        let (begun, _) = until("a segment", START, listed).await;
        let long_after = async || {
            let (start, audio) = listed().await?;
            (start - begun > f64::from(SOUND) + 3.0).then_some(audio)
        };
        let audio = until("segments after the sound", START, long_after).await;
        let video = playlist(&relay, "tape", "copy").await;
        assert!(audio.edge().0 + 1 >= video.edge().0, "{} {}", audio.text, video.text);
        assert!(complete(&audio).count() + 1 >= audio.names().len(), "no gap but the first: {}", audio.text);

        // FFmpeg decodes sound and silence without a complaint: mean and peak of the last two seconds.
        let names: Vec<&str> = complete(&audio).map(|segment| segment.name.as_str()).collect();
        let map = audio.segments[0].map.as_deref().expect("an init segment");
        let mut bytes = Vec::new();
        for name in std::iter::once(map).chain(names.iter().copied().skip(names.len().saturating_sub(2))) {
            bytes.extend(relay.get(&format!("/hls/tape/audio/{name}")).await.body);
        }
        let path = recordings.path("silence.mp4");
        std::fs::write(&path, bytes).expect("the folder can be written");
        let pcm = recordings.path("silence.pcm");
        let (path, pcm) = (path.to_str().expect("a name"), pcm.to_str().expect("a name"));
        let ffmpeg = run("ffmpeg", &["-y", "-i", path, "-f", "s16le", pcm]).await;
        assert_eq!(ffmpeg.stderr.text(), "");
        let samples = std::fs::read(pcm).expect("FFmpeg wrote it");
        assert!(samples.len() > 48_000 * 2, "{} bytes", samples.len());
        assert!(samples.iter().all(|byte| *byte == 0), "silence");

        // A player of both continues.
        let url = relay.url("/hls/tape/index.m3u8");
        let ffmpeg = run("ffmpeg", &["-i", &url, "-t", "4", "-map", "0:v", "-map", "0:a", "-f", "null", "-"]).await;
        assert!(!ffmpeg.stderr.text().contains("rror"), "{}", ffmpeg.stderr.text());
    });
}

#[test]
fn restarted_source_has_its_discontinuity_in_both() {
    within(TEST, async || {
        let mut camera = Camera::start(&[AAC]).await;
        let relay = Setup::config(camera.config()).start().await;
        playlist(&relay, "aac", "audio").await;
        let discontinuity = |playlist: &Playlist| {
            let at = playlist.segments.iter().position(|segment| segment.discontinuity && !segment.name.is_empty())?;
            Some(playlist.segments[at].name.clone())
        };
        until("two segments", START, async || {
            (complete(&playlist(&relay, "aac", "audio").await).count() >= 2).then_some(())
        })
        .await;
        camera.restart().await;
        let both = async || {
            let audio = relay.get("/hls/aac/audio/media.m3u8").await;
            let video = relay.get("/hls/aac/copy/media.m3u8").await;
            let answered = audio.status == 200 && video.status == 200;
            let (audio, video) = answered.then(|| (Playlist::read(&audio.text()), Playlist::read(&video.text())))?;
            let breaks = discontinuity(&audio).zip(discontinuity(&video))?;
            Some((breaks, audio.discontinuity_sequence, video.discontinuity_sequence))
        };
        let ((audio, video), heard, seen) = until("the discontinuity", Duration::from_secs(40), both).await;
        assert_eq!((audio, heard), (video, seen));
    });
}
