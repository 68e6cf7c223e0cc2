//! Sound over WebRTC, with a viewer that is no browser. Opus and G.711 are in sync with their frames by the sender reports, also
//! beside a sub stream. One encoder serves all viewers. None runs for a viewer of G.711, or without a viewer that takes sound.

use std::time::Duration;

use sightline_protocol::stream::Variant;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::http;
use sightline_tests::offer::offer;
use sightline_tests::peer::Peer;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::rtp_sync::lateness;
use sightline_tests::run::{say, within};
use sightline_tests::stats::median;
use str0m::format::Codec;
use str0m::media::MediaKind;

const AAC: Mount = Mount { path: "aac", kind: Kind::WithAac, mark: Rgb(0x20, 0x40, 0xc0) };
const OPUS: Mount = Mount { path: "opus", kind: Kind::WithOpus, mark: Rgb(0xc0, 0x40, 0x20) };
const ALAW: Mount = Mount { path: "alaw", kind: Kind::WithAlaw, mark: Rgb(0x20, 0xc0, 0x40) };
const SUB: Mount = Mount { path: "sub", kind: Kind::H264, mark: Rgb(0x80, 0x20, 0x80) };
const MUTE: Mount = Mount { path: "mute", kind: Kind::H264, mark: Rgb(0x80, 0x80, 0x20) };

const TEST: Duration = Duration::from_secs(90);
/// A cold source: FFmpeg, RTSP, the next key frame, on a busy machine.
const START: Duration = Duration::from_secs(20);
const LISTENED: Duration = Duration::from_secs(6);
/// The reports of both tracks of the camera, and some frames of both of its streams without delay.
const SETTLED: Duration = Duration::from_secs(5);
/// The bound between frame and sound, in seconds. ITU-R BT.1359 calls 45 ms detectable.
const SYNC: f64 = 0.04;
/// The bound between the clocks of two reports, in seconds: they are exact, except for the rounding of an NTP time.
const CLOCKS: f64 = 0.002;
/// Ticks of a packet of 20 ms.
const PACKET: f64 = 960.0;
/// The most samples of a packet of G.711, and a camera's least.
const SAMPLES: std::ops::RangeInclusive<f64> = 80.0..=960.0;
const BOTH: [Codec; 2] = [Codec::H264, Codec::Opus];
/// As a browser offers them.
const WITH_G711: [Codec; 3] = [Codec::H264, Codec::Opus, Codec::PCMA];
/// The relay's idle timeout, and an FFmpeg that ends.
const STOPPED: Duration = Duration::from_secs(LINGER_SECONDS + 5);

async fn camera_and_relay(mount: Mount) -> (Camera, Relay) {
    let camera = Camera::start(&[mount]).await;
    let relay = Setup::config(camera.config_with_low()).start().await;
    (camera, relay)
}

/// Receives until `count` more packets of sound have come.
async fn hear(peer: &mut Peer, count: usize) {
    let before = peer.packets.len();
    peer.run(START, |_, peer| peer.packets.len() < before + count).await;
    assert!(peer.packets.len() >= before + count, "{} packets within {START:?}", peer.packets.len() - before);
}

/// Asserts that sound since `from` is in sync with the frames, and that all reports agree on one clock.
async fn assert_in_sync(peer: &Peer, from: u64, what: &str) {
    let late = lateness(peer, from).await;
    assert!(late.len() >= 3, "{what}: beeps {late:?}");
    // As with a WebSocket, one beep of a camera that the machine keeps waiting is not judged by itself.
    let middle = median(late.clone());
    say(&format!("{what}: WebRTC's sound is {:.1} ms later than its frames", middle * 1e3));
    assert!(middle.abs() < SYNC, "{what}: sound is late by {late:?} s");
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let reports = peer.reports.iter().filter(|report| report.kind == kind).count();
        assert!(reports >= 2, "{what}: {reports} reports of {kind:?}");
    }
    let origins: Vec<f64> = peer.reports.iter().map(|report| peer.origin(report)).collect();
    let apart = origins.iter().copied().fold(f64::MIN, f64::max) - origins.iter().copied().fold(f64::MAX, f64::min);
    assert!(apart < CLOCKS, "{what}: {:?}", peer.reports);
}

/// The ticks from each packet to the next.
fn steps(peer: &Peer) -> Vec<f64> {
    peer.packets.windows(2).map(|pair| pair[1].time as f64 - pair[0].time as f64).collect()
}

async fn in_sync(mount: Mount, encoder: &str) {
    let (_camera, relay) = camera_and_relay(mount).await;
    let mut peer = Peer::watch(&relay, &format!("/whep/{}", mount.path), &BOTH).await;
    hear(&mut peer, 10).await;
    peer.run(LISTENED, |_, _| true).await;
    assert_in_sync(&peer, 0, mount.path).await;
    // A camera on a busy machine leaves out pieces of sound, and its jitter moves others by some samples.
    let steps = steps(&peer);
    assert!((median(steps.clone()) - PACKET).abs() < 1.0 && steps.iter().all(|step| *step > 0.0), "{steps:?}");

    let mut other = Peer::watch(&relay, &format!("/whep/{}", mount.path), &BOTH).await;
    hear(&mut other, 10).await;
    let encoders = relay.encoders();
    assert!(encoders.len() == 1 && encoders[0].command.iter().any(|word| word == encoder), "{encoders:?}");
    let info = relay.stream(mount.path).await.audio.expect("the catalogue knows of the sound");
    assert_eq!((info.codec.as_deref(), info.listeners), (Some("opus"), 2));
}

#[test]
fn aac_becomes_opus_and_is_in_sync() {
    within(TEST, || in_sync(AAC, "libopus"));
}

/// A viewer that takes Opus alone gets an encode beside.
#[test]
fn g711_is_sent_without_an_encoder_and_in_sync() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay(ALAW).await;
        let mut peer = Peer::watch(&relay, "/whep/alaw", &WITH_G711).await;
        hear(&mut peer, 10).await;
        peer.run(LISTENED, |_, _| true).await;
        assert!(peer.packets.iter().all(|packet| packet.codec == Codec::PCMA));
        assert_in_sync(&peer, 0, "G.711").await;
        let steps = steps(&peer);
        assert!(SAMPLES.contains(&median(steps.clone())) && steps.iter().all(|step| *step > 0.0), "{steps:?}");
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
        assert_eq!(relay.stream("alaw").await.audio.expect("sound").listeners, 1);

        let mut other = Peer::watch(&relay, "/whep/alaw", &BOTH).await;
        hear(&mut other, 10).await;
        assert!(other.packets.iter().all(|packet| packet.codec == Codec::Opus));
        let encoders = relay.encoders();
        assert!(encoders.len() == 1 && encoders[0].command.iter().any(|word| word == "libopus"), "{encoders:?}");
        assert_eq!(relay.stream("alaw").await.audio.expect("sound").listeners, 2);
    });
}

#[test]
fn sound_beside_a_sub_stream_is_in_sync() {
    within(TEST, async || {
        let camera = Camera::start(&[ALAW, SUB]).await;
        let sub = format!("sub = \"{}\"\n", camera.url(SUB.path));
        let relay = Setup::config(camera.config_of([]) + &camera.stream("yard", ALAW.path, &sub)).start().await;
        let watch = async |codecs| Peer::watch(&relay, "/whep/yard?quality=low", codecs).await;
        let (mut g711, mut opus) = (watch(&WITH_G711[..]).await, watch(&BOTH).await);
        tokio::join!(hear(&mut g711, 10), hear(&mut opus, 10));
        tokio::join!(g711.run(SETTLED, |_, _| true), opus.run(SETTLED, |_, _| true));
        let since = |peer: &Peer| peer.packets.last().map_or(0, |packet| packet.time + 1);
        let (from_g711, from_opus) = (since(&g711), since(&opus));
        tokio::join!(g711.run(LISTENED, |_, _| true), opus.run(LISTENED, |_, _| true));
        assert_in_sync(&g711, from_g711, "G.711 beside a sub stream").await;
        assert_in_sync(&opus, from_opus, "Opus beside a sub stream").await;
        assert_eq!(relay.encoders().len(), 1, "of the sound: {:?}", relay.encoders());
        assert_eq!((camera.viewers(ALAW.path).now, camera.viewers(SUB.path).now), (1, 1));
    });
}

#[test]
fn camera_s_opus_is_copied_and_in_sync() {
    within(TEST, || in_sync(OPUS, "copy"));
}

#[test]
fn no_encoder_runs_without_a_viewer_that_takes_sound() {
    within(TEST, async || {
        let (camera, relay) = camera_and_relay(AAC).await;
        let mut silent = Peer::watch(&relay, "/whep/aac", &[Codec::H264]).await;
        silent.run(START, |_, peer| peer.pictures.len() < 50).await;
        assert!(silent.packets.is_empty() && relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
        // A viewer that never connects.
        let answer = http::send(
            relay.address(),
            "POST",
            "/whep/aac",
            &[("Content-Type", "application/sdp")],
            offer(&["opus", "H264"]).into(),
        );
        let answer = answer.await.expect("an answer");
        assert!(answer.status == 201 && answer.text().contains("a=sendonly"), "{}", answer.text());
        silent.run(Duration::from_secs(1), |_, _| true).await;
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());

        let mut peer = Peer::watch(&relay, "/whep/aac", &BOTH).await;
        hear(&mut peer, 10).await;
        assert_eq!(relay.ffmpegs().len(), 1, "{:?}", relay.ffmpegs());
        drop(peer);
        let mut stopped = Box::pin(relay.wait_for_ffmpegs(0, STOPPED + Duration::from_secs(8)));
        // The other viewer continues meanwhile.
        tokio::select! {
            _ = &mut stopped => {}
            () = silent.run(START, |_, _| true) => panic!("an encoder still runs"),
        }
        drop(stopped);
        relay.wait_for_viewers("aac", Variant::Copy, 1, START).await;
        assert_eq!(camera.connections(), 1);
    });
}

/// The directions of an answer's sections, for an offer of both.
async fn directions(relay: &Relay, path: &str) -> Vec<String> {
    let headers = [("Content-Type", "application/sdp")];
    let answer =
        http::send(relay.address(), "POST", path, &headers, offer(&["opus", "H264"]).into()).await.expect("an answer");
    let text = answer.text();
    text.lines().filter(|line| matches!(*line, "a=sendonly" | "a=inactive")).map(str::to_owned).collect()
}

#[test]
fn sound_is_promised_until_the_source_is_known_to_have_none() {
    within(TEST, async || {
        let camera = Camera::start(&[MUTE, AAC]).await;
        let streams = camera.config() + &camera.stream("off", AAC.path, "audio = \"off\"\n");
        let relay = Setup::config(streams).start().await;
        let (both, video) = (["a=sendonly", "a=sendonly"], ["a=inactive", "a=sendonly"]);
        assert_eq!(directions(&relay, "/whep/mute").await, both, "the source has not run yet");
        assert_eq!(directions(&relay, "/whep/off").await, video, "turned off");
        let mut peer = Peer::watch(&relay, "/whep/mute", &BOTH).await;
        peer.run(START, |_, peer| peer.pictures.len() < 50).await;
        assert!(peer.pictures.len() >= 50 && peer.packets.is_empty(), "video without the promised sound");
        assert!(relay.ffmpegs().is_empty(), "{:?}", relay.ffmpegs());
        assert_eq!(directions(&relay, "/whep/mute").await, video, "it has run");
        assert_eq!(directions(&relay, "/whep/aac").await, both);
    });
}

#[test]
fn restarted_camera_has_its_sound_in_sync_again() {
    within(TEST, async || {
        let (mut camera, relay) = camera_and_relay(AAC).await;
        let mut peer = Peer::watch(&relay, "/whep/aac", &BOTH).await;
        hear(&mut peer, 50).await;
        camera.restart().await;
        // What the relay sent before the camera ended.
        peer.run(Duration::from_millis(500), |_, _| true).await;
        peer.pictures.clear();
        let from = peer.packets.last().map_or(0, |packet| packet.time + 1);
        hear(&mut peer, 50).await;
        peer.run(LISTENED, |_, _| true).await;
        assert_in_sync(&peer, from, "after a restart").await;
        assert!(peer.packets.windows(2).all(|pair| pair[1].time > pair[0].time), "times only grow");
    });
}
