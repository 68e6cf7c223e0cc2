//! LL-HLS as players read it: players with and without support for parts, players that leave, and invalid requests. No browser.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sightline_protocol::stream::Variant;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::http::{Response, get_with};
use sightline_tests::playlist::Playlist;
use sightline_tests::process::Owned;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, throughout, until, within};

const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const H264: Mount = Mount { path: "h264", kind: Kind::H264, mark: Rgb(0x20, 0x80, 0xc0) };
const LONG: Mount = Mount { path: "long", kind: Kind::H264Long, mark: Rgb(0xc0, 0x40, 0x20) };
const BFRAMES: Mount = Mount { path: "bframes", kind: Kind::BFrames, mark: Rgb(0xa0, 0x20, 0xa0) };

const TEST: Duration = Duration::from_secs(90);
/// The duration of the plain players' playback.
const READ: Duration = Duration::from_secs(15);
/// The HLS rendition's idle timeout: five seconds after the last request, one and a half target durations of two seconds, and a
/// reserve for a busy machine.
const LEASE: Duration = Duration::from_secs(8 + 2);

async fn scene(mounts: &[Mount], more: &str) -> (&'static Camera, Relay) {
    let camera = Camera::shared(mounts).await;
    let relay = Setup::config(format!("{}{more}", camera.config_with_low())).start().await;
    (camera, relay)
}

/// A media playlist of the stream's `copy`, or another file of it.
async fn get(relay: &Relay, stream: &str, name: &str) -> Response {
    relay.get(&format!("/hls/{stream}/copy/{name}")).await
}

async fn playlist(relay: &Relay, stream: &str, query: &str) -> Playlist {
    let response = get(relay, stream, &format!("media.m3u8{query}")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    Playlist::read(&response.text())
}

/// The files of a playlist, concatenated.
async fn file(relay: &Relay, stream: &str, names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names {
        let response = get(relay, stream, name).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert_eq!(response.header("content-length"), response.body.len().to_string(), "{name}");
        bytes.extend(response.body);
    }
    bytes
}

/// The number of frames that FFmpeg decodes from a file without an error message.
async fn decoded(bytes: &[u8]) -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hls.mp4");
    std::fs::write(&path, bytes).unwrap();
    probe_frames(&path).await
}

/// The number of frames in segments: each frame is a fragment.
fn frames(bytes: &[u8]) -> u32 {
    bytes.windows(4).filter(|four| four == b"moof").count() as u32
}

async fn probe_frames(file: &Path) -> u32 {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames"]);
    let mut ffprobe =
        Owned::start("ffprobe", command.args(["-of", "csv=p=0"]).arg(file)).expect("ffprobe is installed");
    assert!(ffprobe.wait(Duration::from_secs(20)).await.success(), "{}", ffprobe.stderr.text());
    assert_eq!(ffprobe.stderr.text(), "", "it plays without a complaint");
    let count = async || ffprobe.stdout.text().trim().parse().ok();
    until("ffprobe's answer", Duration::from_secs(2), count).await
}

/// A program that reads a URL and does not support parts.
fn reader(program: &str, arguments: &[&str], relay: &Relay, path: &str) -> Owned {
    let mut command = Command::new(program);
    command.args(["-v", "warning"]).args(["-i", &relay.url(path)]).args(arguments);
    Owned::start(program, &mut command).unwrap_or_else(|e| panic!("{program} does not start: {e}"))
}

/// The seconds of the day of a playlist's date.
fn seconds_of_day(date: &str) -> f64 {
    let time = date.split_once('T').expect("a date and a time").1.trim_end_matches('Z');
    time.split(':').fold(0.0, |seconds, field| seconds * 60.0 + field.parse::<f64>().expect("a number"))
}

fn now_of_day() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    now.as_secs_f64() % 86_400.0
}

/// The measurements of a player that followed a playlist.
#[derive(Debug, Default)]
struct Followed {
    /// The waiting time for each part, in seconds.
    waits: Vec<f64>,
    /// For each playlist, the age of the newest frame at its arrival, in seconds.
    ages: Vec<f64>,
    /// Preload hints that were requested at once and not fulfilled.
    broken_hints: usize,
}

/// Follows the playlist by blocking reloads until `end`. Each reload and each preload hint must return a part in about its
/// duration.
async fn follow(relay: &Relay, stream: &str, end: Instant) -> Followed {
    let mut known = playlist(relay, stream, "").await;
    let (mut followed, mut hints) = (Followed::default(), Vec::new());
    while Instant::now() < end {
        let (msn, part) = known.edge();
        let (address, hint) = (relay.address(), format!("/hls/{stream}/copy/{}", known.hint));
        hints.push(tokio::spawn(async move { sightline_tests::http::get(address, &hint).await.expect("an answer") }));
        let asked = Instant::now();
        let next = playlist(relay, stream, &format!("?_HLS_msn={msn}&_HLS_part={part}")).await;
        followed.waits.push(asked.elapsed().as_secs_f64());
        assert!(next.edge() > known.edge(), "{:?} is not after {:?}", next.edge(), known.edge());
        assert!(next.media_sequence >= known.media_sequence);
        let last = next.segments.last().expect("a segment");
        let parts: f64 = last.parts.iter().map(|part| part.0).sum();
        followed.ages.push(now_of_day() - seconds_of_day(&last.date) - parts);
        known = next;
    }
    for hint in hints {
        followed.broken_hints += usize::from(hint.await.expect("an answer").status != 200);
    }
    followed
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn source_restart_is_a_discontinuity_that_players_follow() {
    within(TEST, async || {
        let camera = Camera::shared(&[H264]).await;
        let relay = Setup::config(camera.config_by_ffmpeg()).start().await;
        let before = playlist(&relay, "h264", "").await;
        let old_map = before.segments[0].map.clone().expect("an init segment");
        let (msn, _) = before.edge();
        // A player that waits for the second next segment waits through the outage.
        let (path, address) = (format!("/hls/h264/copy/media.m3u8?_HLS_msn={}", msn + 1), relay.address());
        let waiting = tokio::spawn(async move { sightline_tests::http::get(address, &path).await });
        relay.readers(&camera.url("h264"))[0].kill();
        let waited = waiting.await.unwrap().expect("an answer");
        assert_eq!(waited.status, 200, "{}", waited.text());

        let discontinuity = async || {
            let after = playlist(&relay, "h264", "").await;
            let ended = after.segments.iter().any(|segment| segment.discontinuity && !segment.name.is_empty());
            ended.then_some(after)
        };
        let after = until("the new epoch", Duration::from_secs(20), discontinuity).await;
        assert_eq!(after.discontinuity_sequence, before.discontinuity_sequence, "{}", after.text);
        let at = after.segments.iter().position(|segment| segment.discontinuity).expect("a discontinuity");
        let new_map = after.segments[at].map.clone().expect("an init segment");
        assert_ne!(new_map, old_map);
        assert!(after.segments[at - 1].gap, "the time without a picture is a gap: {}", after.text);
        let gap = file(&relay, "h264", &[&after.segments[at - 1].name]).await;
        assert!(gap.is_empty(), "for players that do not know gaps");

        let old = file(&relay, "h264", &[&old_map, &before.segments[0].name]).await;
        let new = file(&relay, "h264", &[&new_map, &after.segments[at].name]).await;
        assert_eq!(decoded(&old).await, frames(&old));
        assert_eq!(decoded(&new).await, frames(&new));
        // Dates continue in time over the gap.
        let times: Vec<f64> = after.segments.iter().map(|segment| seconds_of_day(&segment.date)).collect();
        for (pair, segment) in times.windows(2).zip(&after.segments) {
            let step = pair[1] - pair[0];
            assert!((step - segment.duration).abs() < 0.6, "{step} after {segment:?} in {}", after.text);
        }
    });
}

#[test]
fn gop_of_ten_seconds_does_not_delay_the_playlist() {
    within(TEST, async || {
        let (_camera, relay) = scene(&[LONG], "").await;
        let asked = Instant::now();
        let first = playlist(&relay, "long", "").await;
        say(&format!("LL-HLS: a GOP of ten seconds is listed after {:.1} s", asked.elapsed().as_secs_f64()));
        assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
        assert_eq!(first.target_duration, 10.0);
        let (gap, open) = (&first.segments[0], &first.segments[1]);
        assert!(gap.gap && open.name.is_empty() && open.parts[0].2, "{}", first.text);
        let map = gap.map.clone().expect("an init segment");
        let parts: Vec<&str> = open.parts.iter().map(|part| part.1.as_str()).collect();
        let bytes = file(&relay, "long", &[&[map.as_str()], &parts[..]].concat()).await;
        assert_eq!(decoded(&bytes).await, frames(&bytes));
        // The response waits for the hinted part.
        let asked = Instant::now();
        let hint = get(&relay, "long", &first.hint).await;
        assert_eq!(hint.status, 200, "{}: {}", first.hint, hint.text());
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        // A plain player waits for the segment.
        let mut ffprobe = reader("ffprobe", &["-show_entries", "stream=codec_name"], &relay, "/hls/long/index.m3u8");
        let status = ffprobe.wait(Duration::from_secs(20)).await;
        assert!(status.success() && !ffprobe.stderr.text().contains("rror"), "{}", ffprobe.stderr.text());
    });
}

/// Asserts that a request is refused with this status and one uncacheable sentence that contains `word`.
async fn refused(relay: &Relay, path: &str, status: u16, word: &str) -> Response {
    let response = relay.get(path).await;
    let text = response.text();
    assert_eq!(response.status, status, "{path}: {text}");
    assert!(text.contains(word) && text.trim_end().lines().count() == 1 && text.len() < 300, "{path}: {text:?}");
    assert_eq!(response.header("cache-control"), "no-store", "{path}");
    response
}

#[test]
fn unavailable_playlists_are_refused_with_a_reason() {
    within(TEST, async || {
        let offline = "[streams.bad]\nsource = \"rtsp://127.0.0.1:9/x\"\n";
        let (_camera, relay) = scene(&[H264, BFRAMES], offline).await;
        refused(&relay, "/hls/nope/index.m3u8", 404, "nope").await;
        refused(&relay, "/hls/no%20name/copy/media.m3u8", 404, "no name").await;
        refused(&relay, "/hls/h264/4k/media.m3u8", 404, "copy, h264, low").await;
        refused(&relay, "/hls/h264", 404, "no such address").await;
        refused(&relay, "/hls/h264/copy/other.m3u8", 404, "no such address").await;
        refused(&relay, "/hls/h264/copy/..%2f..%2fetc", 400, "segment ..").await;
        refused(&relay, "/hls/h264/copy/1.m4s", 404, "no longer").await;
        refused(&relay, "/hls/h264/copy/media.m3u8?_HLS_msn=x", 400, "_HLS_msn").await;
        refused(&relay, "/hls/h264/copy/media.m3u8?_HLS_part=1", 400, "_HLS_msn").await;
        assert!(relay.ffmpegs().is_empty(), "none of these starts a source");

        let playlist = playlist(&relay, "h264", "").await;
        let (msn, part) = playlist.edge();
        let media = "/hls/h264/copy";
        refused(&relay, &format!("{media}/media.m3u8?_HLS_msn={}", msn + 5), 400, "ahead").await;
        refused(&relay, &format!("{media}/media.m3u8?_HLS_msn={}", u64::MAX), 400, "ahead").await;
        refused(&relay, &format!("{media}/media.m3u8?_HLS_msn={msn}&_HLS_part={}", part + 50), 400, "ahead").await;
        refused(&relay, &format!("{media}/{}.m4s", msn - 40), 404, "no longer").await;
        refused(&relay, &format!("{media}/{}.0.m4s", msn - 40), 404, "no longer").await;
        refused(&relay, &format!("{media}/{}.m4s", msn + 9), 404, "not in the playlist").await;
        refused(&relay, &format!("{media}/{}.7.m4s", msn + 1), 404, "not in the playlist").await;
        refused(&relay, &format!("{media}/init-7.mp4"), 404, "no longer").await;

        let bad = refused(&relay, "/hls/bad/index.m3u8", 503, "offline").await;
        assert!(bad.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{:?}", bad.headers);
        refused(&relay, "/hls/bad/h264/media.m3u8", 503, "offline").await;

        // HLS serves the transcode of a camera with B-frames, as other protocols do.
        let bframes = relay.get("/hls/bframes/index.m3u8").await.text();
        assert!(!bframes.contains("copy/") && bframes.contains("h264/media.m3u8"), "{bframes}");
    });
}

#[test]
fn cache_and_cors_headers_are_set() {
    within(TEST, async || {
        let (_camera, mut relay) = scene(&[H264], "").await;
        let playlist = playlist(&relay, "h264", "").await;
        let (msn, part) = playlist.edge();
        let asked = |name: String, origin: &'static str| {
            let path = format!("/hls/h264/copy/{name}");
            let address = relay.address();
            async move { get_with(address, &path, &[("Origin", origin)]).await.expect("an answer") }
        };
        let own = "http://localhost:1234";
        let segment = asked(playlist.segments[0].name.clone(), own).await;
        assert_eq!(segment.header("cache-control"), "max-age=3600, immutable");
        assert_eq!(segment.header("content-type"), "video/mp4");
        assert_eq!((segment.header("access-control-allow-origin"), segment.header("vary")), (own, "Origin"));
        let now = asked("media.m3u8".to_owned(), own).await;
        assert_eq!(now.header("cache-control"), "max-age=1", "half a target duration");
        let waited = asked(format!("media.m3u8?_HLS_msn={msn}&_HLS_part={part}"), own).await;
        assert_eq!((waited.status, waited.header("cache-control")), (200, "max-age=0, s-maxage=1"));
        let foreign = asked("media.m3u8".to_owned(), "https://evil.example").await;
        assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (403, ""));
        assert!(foreign.text().contains("allowed_origins"), "{}", foreign.text());

        // 300 aborted requests: each costs its connection and leaves nothing behind.
        let before = relay.resident_kib();
        for _ in 0..300 {
            let path = format!("/hls/h264/copy/media.m3u8?_HLS_msn={}", msn + 30);
            let address = relay.address();
            let request = tokio::spawn(async move { drop(sightline_tests::http::get(address, &path).await) });
            tokio::time::sleep(Duration::from_millis(1)).await;
            request.abort();
        }
        throughout("one viewer", Duration::from_secs(1), async || {
            relay.variant("h264", Variant::Copy).await.viewers == 1
        })
        .await;
        let grown = relay.resident_kib().saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} KiB more");
        assert_eq!(playlist.media_sequence, Playlist::read(&now.text()).media_sequence, "others are not affected");

        // A blocked request is answered when the relay stops, and does not delay the stop.
        let (address, path) = (relay.address(), "/hls/h264/copy/media.m3u8?_HLS_msn=".to_owned());
        let (open, _) = self::playlist(&relay, "h264", "").await.edge();
        let waiting =
            tokio::spawn(async move { sightline_tests::http::get(address, &format!("{path}{}", open + 1)).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(relay.end(Signal::TERM, Duration::from_secs(3)).await.success());
        let told = waiting.await.expect("it ran").expect("an answer");
        assert_eq!((told.status, told.text().as_str()), (503, "the relay is stopping\n"));
    });
}

mod timing {
    use super::*;

    #[test]
    fn every_player_reads_it_and_the_source_stops_after_the_last() {
        within(TEST, async || {
            let (_camera, relay) = scene(&[H265, H264], "").await;
            let index = relay.get("/hls/h265/index.m3u8").await;
            assert_eq!(index.status, 200, "{}", index.text());
            assert_eq!(index.header("content-type"), "application/vnd.apple.mpegurl");
            let text = index.text();
            for line in ["copy/media.m3u8", "h264/media.m3u8", "low/media.m3u8"] {
                assert!(text.lines().any(|other| other == line), "{line} in {text}");
            }
            assert!(text.contains("CODECS=\"hvc1.1.6.") && text.contains("CODECS=\"avc1.64"), "{text}");
            assert!(text.contains("RESOLUTION=640x360"), "{text}");
            assert_eq!(relay.encoders().len(), 0, "what is only offered does not run");

            // Two plain players, one of them of a transcode, and a player of parts, at the same time.
            let long = READ.as_secs().to_string();
            let plain = ["-map", "0:v:0", "-t", &long, "-c", "copy", "-f", "null", "-"];
            let mut ffmpeg = reader("ffmpeg", &plain, &relay, "/hls/h265/copy/media.m3u8");
            let mut light = reader("ffmpeg", &plain, &relay, "/hls/h264/low/media.m3u8");
            let Followed { mut waits, mut ages, broken_hints } = follow(&relay, "h265", Instant::now() + READ).await;
            let (parts, age, wait) = (ages.len(), median(&mut ages), median(&mut waits));
            let longest = waits[waits.len() - 1];
            say(&format!(
                "LL-HLS: {parts} parts, {broken_hints} not as announced, waited for {wait:.3} s, {longest:.3} s at most; \
                 the newest frame {age:.3} s old"
            ));
            assert!(parts as u64 >= READ.as_secs() * 4, "{parts} parts");
            assert!(broken_hints * 10 <= parts, "{broken_hints} of {parts} hints led to nothing");
            // The waiting time is a part's duration, and sometimes longer because the camera was late.
            assert!(wait < 0.25 && longest < 1.0, "parts took {wait} s, {longest} s at most");
            assert!(age < 0.5, "{age}");
            let mut ffprobe =
                reader("ffprobe", &["-show_entries", "stream=codec_name,width"], &relay, "/hls/h265/index.m3u8");
            for (name, player) in [("ffmpeg", &mut ffmpeg), ("ffmpeg of low", &mut light), ("ffprobe", &mut ffprobe)] {
                let status = player.wait(Duration::from_secs(15)).await;
                assert!(status.success(), "{name}: {}", player.stderr.text());
                assert!(!player.stderr.text().contains("rror"), "{name}: {}", player.stderr.text());
            }
            assert!(ffprobe.stdout.text().contains("codec_name=hevc"), "{}", ffprobe.stdout.text());

            // A delta update omits old segments. Merged with the earlier playlist it equals the whole.
            let long_enough = async || {
                let whole = playlist(&relay, "h265", "").await;
                let update = playlist(&relay, "h265", "?_HLS_skip=YES").await;
                (update.skipped > 0 && whole.media_sequence == update.media_sequence).then_some((whole, update))
            };
            let (whole, update) = until("an update", READ, long_enough).await;
            let (uneven, total) = whole.uneven_parts();
            assert!(uneven * 5 < total, "{uneven} of {total} parts are uneven: {}", whole.text);
            assert!(update.text.len() < whole.text.len(), "{}", update.text);
            let known = usize::try_from(update.skipped).unwrap();
            let merged: Vec<&str> = whole.names()[..known].iter().copied().chain(update.names()).collect();
            assert_eq!(merged[..whole.names().len()], whole.names());

            // A segment and its parts contain the same frames, beginning with a key frame.
            let segment = &whole.segments[whole.segments.len() - 2];
            let map = whole.segments[0].map.clone().expect("an init segment");
            let parts: Vec<&str> = segment.parts.iter().map(|part| part.1.as_str()).collect();
            let by_parts = file(&relay, "h265", &[&[map.as_str()], &parts[..]].concat()).await;
            assert_eq!(by_parts, file(&relay, "h265", &[&map, &segment.name]).await);
            assert_eq!(decoded(&by_parts).await, frames(&by_parts));
            assert!(segment.parts[0].2, "{segment:?}");

            // The rendition stops some seconds after the last request and leaves nothing behind.
            let ended = Instant::now();
            until("HLS to let go", LEASE, async || {
                (relay.variant("h265", Variant::Copy).await.viewers == 0).then_some(())
            })
            .await;
            assert!(ended.elapsed() > Duration::from_secs(4), "let go after {:?}", ended.elapsed());
            relay.wait_for_ffmpegs(0, LEASE + Duration::from_secs(LINGER_SECONDS)).await;
            let response = get(&relay, "h265", &segment.name).await;
            assert_eq!(response.status, 404, "{}", response.text());
            assert!(relay.ffmpegs().is_empty(), "a name that is gone starts nothing");
        });
    }
}
