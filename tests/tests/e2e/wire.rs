//! Both dialects of `/ws/mse/{stream}` as documented, and viewers that violate them. No browser.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sightline_protocol::close;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{
    ClientMessage, ErrorKind, Ping, Ready, ServerMessage, Size, TrackKind, VariantReason,
};
use sightline_protocol::stream::{Variant, VariantChoice};
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::process::Owned;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{throughout, until, within};
use sightline_tests::viewer::{Acks, BackgroundViewer, Event, PLAYS_BOTH, PLAYS_H264, Viewer, is_init, unix_ms};

const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const H264: Mount = Mount { path: "h264", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };

const BUSY: Mount = Mount { path: "busy", kind: Kind::Busy, mark: Rgb(0x20, 0xa0, 0x40) };

const TEST: Duration = Duration::from_secs(90);
/// The time limit of a cold source: FFmpeg, RTSP, the next key frame, on a busy machine.
const START: Duration = Duration::from_secs(20);
/// The time limit of a running relay's answer.
const ANSWER: Duration = Duration::from_secs(3);
/// The relay's time limit without an acknowledgement or a read, and a reserve.
const REAPED: Duration = Duration::from_secs(30);

async fn camera_and_relay() -> (&'static Camera, Relay) {
    let camera = Camera::shared(&[H265, H264]).await;
    let relay = Setup::config(camera.config()).start().await;
    (camera, relay)
}

/// ffprobe's report on a file, as `key=value` of its only video stream.
pub(crate) async fn probe(file: &Path) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-count_frames", "-select_streams", "v"]);
    command.args(["-show_entries", "stream=codec_name,codec_tag_string,width,height,nb_read_frames", "-of", "compact"]);
    let mut ffprobe = Owned::start("ffprobe", command.arg(file)).expect("ffprobe is installed");
    assert!(ffprobe.wait(Duration::from_secs(20)).await.success(), "{}", ffprobe.stderr.text());
    assert_eq!(ffprobe.stderr.text(), "", "a file that plays without complaint");
    let has = async || Some(ffprobe.stdout.text()).filter(|text| text.contains("nb_read_frames"));
    until("ffprobe's answer", Duration::from_secs(2), has).await
}

/// An existing client: no subprotocol, optionally `h264` first, one line of text, then a file.
async fn plain_file(relay: &Relay, stream: &str, ask_for_h264: bool, frames: usize) -> (String, String) {
    let mut viewer = Viewer::plain(relay, stream).await;
    if ask_for_h264 {
        viewer.send_text("h264").await;
    }
    let codec = match viewer.next(START).await {
        Event::Text(text) => text,
        other => panic!("{other:?} where the codec line was due"),
    };
    let (init, fragments) = viewer.take_media(frames, START).await;
    assert!(is_init(&init), "the first binary message is the init segment");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.mp4");
    std::fs::write(&file, [vec![init], fragments].concat().concat()).unwrap();
    (codec, probe(&file).await)
}

#[test]
fn concatenated_plain_messages_are_a_playable_file() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let (codec, file) = plain_file(&relay, "h265", false, 50).await;
        assert_eq!(codec, "codec:hevc");
        assert_eq!(file, "stream|codec_name=hevc|codec_tag_string=hvc1|width=640|height=360|nb_read_frames=50");
    });
}

#[test]
fn plain_h264_is_transcoded_only_from_h265() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let expected = "stream|codec_name=h264|codec_tag_string=avc1|width=640|height=360|nb_read_frames=50";
        assert_eq!(
            plain_file(&relay, "h265", true, 50).await,
            ("codec:h264".to_owned(), expected.to_owned()),
            "asked for by the first message"
        );
        assert_eq!(
            plain_file(&relay, "h264", false, 50).await,
            ("codec:h264".to_owned(), expected.to_owned()),
            "the codec line tells the truth though nobody asked"
        );
    });
}

/// The strictest meaning of "untouched": each frame has the same bytes that another reader gets from the same camera.
#[test]
fn frames_are_byte_identical_to_the_camera_s() {
    within(TEST, async || {
        let (camera, relay) = camera_and_relay().await;
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join("ours.mp4"), folder.path().join("theirs.mp4"));
        let mut viewer = Viewer::plain(&relay, "h265").await;
        viewer.next(START).await;
        let mut direct = Command::new("ffmpeg");
        direct.args(["-v", "error", "-rtsp_transport", "tcp", "-i", &camera.url("h265"), "-t", "6"]);
        let mut direct = Owned::start("ffmpeg", direct.args(["-c", "copy", "-y"]).arg(&theirs)).unwrap();
        let (init, fragments) = viewer.take_media(200, START).await;
        std::fs::write(&ours, [vec![init], fragments].concat().concat()).unwrap();
        assert!(direct.wait(START).await.success(), "{}", direct.stderr.text());

        let (ours, theirs) = (hashes(&ours).await, hashes(&theirs).await);
        // FFmpeg drops a few frames at first when it joins a camera that others already watch. Excludes the first second.
        let theirs = theirs.get(25..).unwrap_or_default();
        let first = ours.iter().position(|hash| theirs.first() == Some(hash));
        let first = first.unwrap_or_else(|| panic!("none of {} frames is the camera's", ours.len()));
        let both: Vec<_> = ours[first..].iter().zip(theirs).collect();
        // Three seconds' worth on an idle machine. A camera on a busy machine omits frames.
        assert!(both.len() >= 25, "only {} frames in common", both.len());
        let differ: Vec<_> = (0..both.len()).filter(|&i| both[i].0 != both[i].1).collect();
        assert_eq!(differ, Vec::<usize>::new(), "frames that are not the camera's, of {}", both.len());
    });
}

/// A hash of each H.265 frame of a file, without the parameter sets and access unit delimiters (`nal_unit_type` 32 to 35 of
/// table 7-1 in Rec. ITU-T H.265) that may be in the init segment instead.
async fn hashes(file: &Path) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(file);
    command.args(["-c", "copy", "-bsf:v", "filter_units=remove_types=32-35", "-f", "framehash", "-"]);
    let mut ffmpeg = Owned::start("ffmpeg", &mut command).unwrap();
    assert!(ffmpeg.wait(Duration::from_secs(20)).await.success(), "{}", ffmpeg.stderr.text());
    let lines = ffmpeg.stdout.all().into_iter().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit(", ").next().map(|hash| hash.trim().to_owned())).collect()
}

#[test]
fn unknown_stream_is_named_and_closed_in_both_dialects() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        for (name, shown, expected) in [
            ("nope", "nope", close::UNKNOWN_STREAM),
            ("no%20name", "no name", close::UNKNOWN_STREAM),
            ("no//name", "no//name", close::BAD_REQUEST),
        ] {
            let (text, code, _) = Viewer::plain(&relay, name).await.wait_closed(ANSWER).await;
            assert!(text.starts_with("error:") && text.contains(shown), "{name}: {text:?}");
            assert_eq!(code, Some(expected), "{name}");
        }
        let mut viewer = Viewer::v1(&relay, "nope").await;
        viewer.play(&PLAYS_BOTH, VariantChoice::Auto).await;
        let (text, code, _) = viewer.wait_closed(ANSWER).await;
        let (kind, message) = error(&text);
        assert_eq!(kind, ErrorKind::UnknownStream);
        assert!(message.contains("nope"), "{message:?}");
        assert_eq!(code, Some(close::UNKNOWN_STREAM));
    });
}

#[test]
fn v1_announces_tracks_and_sends_one_frame_per_fragment() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let mut viewer = Viewer::playing(&relay, "h265", &PLAYS_BOTH).await;
        let ready = viewer.wait_ready(START).await;
        assert_eq!((ready.epoch, ready.variant, ready.why), (1, Variant::Copy, VariantReason::Untouched));
        let [track] = &ready.tracks[..] else { panic!("one video track: {ready:?}") };
        assert_eq!((track.kind, track.size), (TrackKind::Video, Some(Size { width: 640, height: 360 })));
        assert!(track.mime.starts_with("video/mp4; codecs=\"hvc1.1.6."), "{}", track.mime);

        let (init, fragments) = viewer.take_media(50, START).await;
        assert!(is_init(&init) && init.windows(4).any(|word| word == b"hvc1"));
        let heads: Vec<_> = fragments.iter().map(|bytes| FragmentHead::read(bytes).expect("a fragment")).collect();
        assert!(heads[0].keyframe, "decoding starts with the first fragment");
        for pair in heads.windows(2) {
            assert_eq!(pair[0].decode_time + pair[0].duration, pair[1].decode_time, "no hole and no overlap");
        }
        assert!(heads.iter().all(|head| head.samples == 1 && head.composition_offset == 0));
        let seconds = heads.iter().map(|head| head.duration).sum::<u64>() as f64 / f64::from(track.timescale);
        // A camera on a busy machine omits frames. This checks only the unit.
        assert!((1.8..4.0).contains(&seconds), "50 frames at 25 a second are {seconds} s");
        let age = unix_ms() - heads.last().unwrap().capture.expect("fragments carry their capture time").unix_ms();
        assert!((-50.0..2000.0).contains(&age), "the newest frame claims to be {age} ms old");
    });
}

#[test]
fn variant_switch_starts_a_new_epoch_on_the_same_socket() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let mut viewer = Viewer::playing(&relay, "h265", &PLAYS_BOTH).await;
        assert_eq!(viewer.wait_ready(START).await.epoch, 1);
        viewer.take_media(10, START).await;
        let there =
            [(VariantChoice::H264, Variant::H264, 2, b"avc1"), (VariantChoice::Copy, Variant::Copy, 3, b"hvc1")];
        for (choice, variant, epoch, entry) in there {
            viewer.send(&ClientMessage::Switch { variant: choice }).await;
            let ready = viewer.wait_ready(START).await;
            assert_eq!((ready.epoch, ready.variant, ready.why), (epoch, variant, VariantReason::Requested));
            let (init, fragments) = viewer.take_media(20, START).await;
            assert!(is_init(&init) && init.windows(4).any(|word| word == entry), "the init segment of {variant}");
            assert!(FragmentHead::read(&fragments[0]).expect("a fragment").keyframe);
        }
    });
}

#[test]
fn pong_carries_both_clocks() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let mut viewer = Viewer::playing(&relay, "h265", &PLAYS_BOTH).await;
        viewer.send(&ClientMessage::Ping(Ping::new(1234.5))).await;
        let take = |event: &Event| match event {
            Event::Message(ServerMessage::Pong(pong)) => Some(*pong),
            _ => None,
        };
        let pong = viewer.wait_for("pong", ANSWER, take).await;
        assert_eq!(pong.sent, 1234.5);
        assert!((pong.at - unix_ms()).abs() < 1000.0, "the relay's clock is this machine's: {}", pong.at);
    });
}

#[test]
fn missing_acks_limit_sending_and_announce_a_gap() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let healthy = watching(&relay, "h265").await;
        let mut viewer = Viewer::playing(&relay, "h265", &PLAYS_BOTH).await;
        viewer.take_media(10, START).await;
        viewer.set_acks(Acks::Withheld);
        let before = viewer.received();
        let start = Instant::now();
        let gap = |event: &Event| match event {
            Event::Message(ServerMessage::Gap { skipped, .. }) => Some(*skipped),
            _ => None,
        };
        // The relay either stops sending and announces the gap after an acknowledgement, or announces it with the next key
        // frame.
        let quiet = Duration::from_millis(2500);
        let skipped = match tokio::time::timeout(quiet, viewer.wait_for("a gap", REAPED, gap)).await {
            Ok(skipped) => skipped,
            Err(_) => {
                viewer.acknowledge().await;
                viewer.wait_for("a gap, once acknowledged", ANSWER, gap).await
            }
        };
        let sent = viewer.received() - before;
        let shown = 25.0 * start.elapsed().as_secs_f64();
        assert!(skipped > 0);
        assert!((sent as f64) < shown * 0.8, "{sent} of {shown:.0} frames were sent without an acknowledgement");
        viewer.set_acks(Acks::Sent);
        viewer.acknowledge().await;
        match viewer.next(ANSWER).await {
            Event::Media(bytes) => assert!(FragmentHead::read(&bytes).expect("a fragment").keyframe),
            other => panic!("{other:?} where a key frame was announced"),
        }
        assert_eq!(healthy.seen().losses, Vec::<String>::new());
    });
}

#[test]
fn invalid_message_closes_only_its_own_session() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let healthy = watching(&relay, "h265").await;
        for garbage in ["not json", "{\"type\":\"dance\"}", "{\"type\":\"ack\",\"received\":-1}", "", "[]"] {
            let mut viewer = Viewer::playing(&relay, "h265", &PLAYS_BOTH).await;
            viewer.wait_ready(START).await;
            viewer.send_text(garbage).await;
            is_refused(&mut viewer, garbage).await;
        }
        let mut binary = Viewer::playing(&relay, "h265", &PLAYS_BOTH).await;
        binary.send_binary(vec![0; 100]).await;
        is_refused(&mut binary, "a binary message").await;
        let mut early = Viewer::v1(&relay, "h265").await;
        early.send(&ClientMessage::Switch { variant: VariantChoice::H264 }).await;
        is_refused(&mut early, "a switch before play").await;
        plays_on(&healthy).await;
    });
}

#[test]
fn oversized_message_closes_only_its_own_session() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let healthy = watching(&relay, "h265").await;
        let huge = format!("{{\"type\":\"play\",\"codecs\":[\"{}\"]}}", "x".repeat(4 << 20));
        let memory = relay.resident_kib();
        for _ in 0..5 {
            let mut viewer = Viewer::v1(&relay, "h265").await;
            viewer.send_text(&huge).await;
            let (told, code, reason) = viewer.wait_closed(ANSWER).await;
            assert_eq!(code, Some(close::TOO_BIG), "{reason}");
            assert!(told.contains("where 16384 are allowed"), "{told}");
        }
        assert!(relay.resident_kib() < memory + 4096, "{memory} KiB became {}", relay.resident_kib());
        plays_on(&healthy).await;
    });
}

#[test]
fn ping_flood_does_not_grow_memory() {
    within(TEST, async || {
        /// More than the kernel buffers for a connection, in bytes, and the relay's greatest memory growth, in KiB.
        const FLOOD: usize = 64 << 20;
        const SLACK: u64 = 8192;
        let (_camera, relay) = camera_and_relay().await;
        let healthy = watching(&relay, "h265").await;
        let before = relay.resident_kib();
        let mut viewer = Viewer::v1(&relay, "h265").await;
        let taken = viewer.flood_with_pings(FLOOD, Duration::from_secs(1)).await;
        let after = relay.resident_kib();
        assert!(after < before + SLACK, "{taken} bytes of pings took the relay from {before} to {after} KiB");
        plays_on(&healthy).await;
    });
}

#[test]
fn close_frame_is_answered() {
    within(TEST, async || {
        const NORMAL: u16 = 1000;
        let (_camera, relay) = camera_and_relay().await;
        for mut viewer in [Viewer::v1(&relay, "h265").await, Viewer::playing(&relay, "h265", &PLAYS_BOTH).await] {
            viewer.close(NORMAL).await;
            let (_, code, reason) = viewer.wait_closed(ANSWER).await;
            assert_eq!(code, Some(NORMAL), "{reason}");
        }
    });
}

#[test]
fn foreign_origin_is_refused_unless_allowed() {
    within(TEST, async || {
        let camera = Camera::shared(&[H265]).await;
        let config = format!("allowed_origins = [\"https://wall.example\"]\n{}", camera.config());
        let relay = Setup::config(config).start().await;
        let mut stranger = Viewer::from_origin(&relay, "h265", "https://evil.example").await;
        let (text, code, _) = stranger.wait_closed(ANSWER).await;
        assert_eq!(code, Some(close::FORBIDDEN));
        assert!(text.contains("https://evil.example") && text.contains("allowed_origins"), "{text}");
        assert!(relay.ffmpegs().is_empty(), "nothing was started for it");
        for origin in ["https://wall.example", &format!("http://{}", relay.address())] {
            Viewer::from_origin(&relay, "h265", origin).await.take_media(1, START).await;
        }
    });
}

#[test]
fn viewers_that_never_read_are_closed_and_use_little_memory() {
    within(TEST, async || {
        const COUNT: usize = 20;
        /// KiB: the greatest cost of a viewer, and the reserve for the memory allocator.
        const EACH: u64 = 64;
        const SLACK: u64 = 3072;
        let (_camera, relay) = camera_and_relay().await;
        let healthy = watching(&relay, "h265").await;
        // After four seconds the ring has its full size: two seconds and the current GOP.
        throughout("the healthy viewer", Duration::from_secs(4), async || healthy.seen().losses.is_empty()).await;
        let before = relay.resident_kib();
        let mut silent = Vec::new();
        for i in 0..COUNT {
            silent.push(match i % 2 {
                0 => Viewer::plain_with_tiny_buffer(&relay, "h265").await,
                _ => Viewer::playing_with_tiny_buffer(&relay, "h265", &PLAYS_BOTH).await,
            });
        }
        let mut most = 0;
        let alone_again = async || {
            most = most.max(relay.resident_kib());
            (relay.variant("h265", Variant::Copy).await.viewers == 1).then_some(())
        };
        until("the viewers that never read to be closed", REAPED, alone_again).await;
        let grown = most.saturating_sub(before);
        assert!(grown <= COUNT as u64 * EACH + SLACK, "{grown} KiB for {COUNT} viewers that never read");
        plays_on(&healthy).await;
    });
}

#[test]
fn shutdown_finishes_a_partly_sent_message_before_the_close() {
    within(TEST, async || {
        let camera = Camera::shared(&[BUSY]).await;
        let mut relay = Setup::config(camera.config()).start().await;
        let healthy = watching(&relay, BUSY.path).await;
        let mut late = Viewer::plain_with_tiny_buffer(&relay, BUSY.path).await;
        // At 2 Mbit/s both sides' buffers are full by now, and the relay has not yet closed the viewer.
        throughout("the healthy viewer", Duration::from_secs(6), async || healthy.seen().losses.is_empty()).await;
        let (status, (_, code, reason)) = tokio::join!(relay.end(Signal::TERM, ANSWER), late.wait_closed(ANSWER));
        assert!(status.success(), "{status}");
        // After a truncated message, the close frame would be read as a part of it.
        assert_eq!(code, Some(close::GOING_AWAY), "{reason}");
    });
}

#[test]
fn viewer_that_never_acknowledges_is_closed() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay().await;
        let healthy = watching(&relay, "h265").await;
        let mut viewer = Viewer::v1(&relay, "h265").await;
        viewer.set_acks(Acks::Withheld);
        viewer.play(&PLAYS_BOTH, VariantChoice::Auto).await;
        let (text, code, _) = viewer.wait_closed(REAPED).await;
        assert_eq!(code, Some(close::TOO_SLOW), "{text}");
        assert_eq!(error(&text).0, ErrorKind::TooSlow);
        plays_on(&healthy).await;
    });
}

#[test]
fn source_restart_closes_plain_viewers_and_starts_a_v1_epoch() {
    within(TEST, async || {
        let camera = Camera::shared(&[H265, H264]).await;
        let relay = Setup::config(camera.config_by_ffmpeg()).start().await;
        let mut plain = Viewer::plain(&relay, "h265").await;
        plain.take_media(5, START).await;
        let mut v1 = Viewer::playing(&relay, "h265", &PLAYS_BOTH).await;
        assert_eq!(v1.wait_ready(START).await.epoch, 1);
        for reader in relay.readers(&camera.url("h265")) {
            reader.kill();
        }
        let (_, code, _) = plain.wait_closed(START).await;
        assert!(matches!(code, Some(close::SOURCE_RESTARTED | close::UNAVAILABLE)), "{code:?}: come back, or later");
        let again: Ready = v1.wait_ready(START).await;
        assert_eq!((again.epoch, again.variant), (2, Variant::Copy));
        v1.take_media(10, START).await;
    });
}

#[test]
fn fifty_viewers_share_one_reader_and_one_encoder() {
    within(TEST, async || {
        let camera = Camera::start(&[H265, H264]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut viewers = Vec::new();
        for i in 0..50 {
            let codecs = if i % 2 == 0 { &PLAYS_BOTH[..] } else { &PLAYS_H264 };
            viewers.push(Viewer::playing(&relay, "h265", codecs).await.watch());
        }
        let all = async || viewers.iter().all(|viewer| viewer.seen().fragments >= 50).then_some(());
        until("fifty viewers to have fifty frames each", START, all).await;
        for viewer in &viewers {
            assert_eq!(viewer.seen().losses, Vec::<String>::new());
        }
        assert_eq!(camera.connections(), 1);
        assert_eq!((relay.readers(&camera.url("h265")).len(), relay.encoders().len()), (0, 1), "{:?}", relay.ffmpegs());
    });
}

/// A well-behaved viewer that has begun to receive.
async fn watching(relay: &Relay, stream: &str) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, stream, &PLAYS_BOTH).await.watch();
    until("the healthy viewer's first fragments", START, async || (viewer.seen().fragments > 5).then_some(())).await;
    viewer
}

/// Asserts that a watching viewer lost nothing and continues to receive.
async fn plays_on(viewer: &BackgroundViewer) {
    let before = viewer.seen().fragments;
    until("ten more fragments", ANSWER, async || (viewer.seen().fragments >= before + 10).then_some(())).await;
    assert_eq!(viewer.seen().losses, Vec::<String>::new());
}

/// Asserts that the relay reports an error and closes.
async fn is_refused(viewer: &mut Viewer, what: &str) {
    let (text, code, _) = viewer.wait_closed(ANSWER).await;
    assert_eq!(code, Some(close::BAD_REQUEST), "{what:?}: {text}");
    let (kind, message) = error(&text);
    assert_eq!(kind, ErrorKind::BadRequest, "{what:?}");
    assert!(message.contains(' '), "{what:?}: {message:?} is no sentence");
}

/// The `error` message at the end of a session.
fn error(text: &str) -> (ErrorKind, String) {
    match serde_json::from_str(text) {
        Ok(ServerMessage::Error { kind, message }) => (kind, message),
        other => panic!("{other:?} where an error was due"),
    }
}
