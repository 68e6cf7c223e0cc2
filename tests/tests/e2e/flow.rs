//! Flow control and its messages on the wire: slow links, the variant `low`, pauses. No browser.

use std::time::{Duration, Instant};

use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{ClientMessage, GapReason, ServerMessage, VariantReason};
use sightline_protocol::stream::{Variant, VariantChoice};
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::slow::SlowViewer;
use sightline_tests::viewer::{BackgroundViewer, Event, PLAYS_BOTH, PLAYS_H264, Viewer, is_init};

const BUSY: Mount = Mount { path: "busy", kind: Kind::Busy, mark: Rgb(0xc0, 0x40, 0x20) };

const TEST: Duration = Duration::from_secs(120);
/// The time limit of a cold source: FFmpeg, RTSP, the next key frame, on a busy machine.
const START: Duration = Duration::from_secs(20);
/// The time limit of a running relay's answer, on a busy machine. On an idle machine it takes a millisecond or two.
const ANSWER: Duration = Duration::from_secs(3);
/// After a silence of this length nothing is in flight.
const QUIET: Duration = Duration::from_millis(500);
/// The rate of an unthrottled link, in kilobits per second.
const PLENTY: f64 = 50_000.0;

/// With `config`, the camera has the variant `low` or does not.
async fn camera_and_relay(config: impl FnOnce(&Camera) -> String) -> (Camera, Relay) {
    let camera = Camera::start(&[BUSY]).await;
    let relay = Setup::config(config(&camera)).start().await;
    (camera, relay)
}

async fn playing(relay: &Relay, variant: VariantChoice) -> Viewer {
    let mut viewer = Viewer::v1(relay, BUSY.path).await;
    viewer.play(&PLAYS_BOTH, variant).await;
    viewer
}

/// A viewer on a good link that has begun to receive.
async fn healthy(relay: &Relay) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, BUSY.path, &PLAYS_H264).await.watch();
    until("the healthy viewer's first fragments", START, async || (viewer.seen().fragments > 60).then_some(())).await;
    viewer
}

/// The stream's own bit rate, in kilobits per second.
async fn kbps(relay: &Relay) -> f64 {
    let measured = async || relay.variant(BUSY.path, Variant::Copy).await.bit_rate;
    until("the stream's bit rate", START, measured).await as f64 / 1e3
}

/// The relay's messages until the next fragment, and that fragment.
async fn until_fragment(viewer: &mut Viewer, limit: Duration) -> (Vec<ServerMessage>, FragmentHead) {
    let mut said = Vec::new();
    let take = |event: &Event| match event {
        Event::Message(message) => {
            said.push(message.clone());
            None
        }
        Event::Media(bytes) if !is_init(bytes) => Some(FragmentHead::read(bytes).expect("a fragment")),
        _ => None,
    };
    let head = viewer.wait_for("a fragment", limit, take).await;
    (said, head)
}

#[test]
fn low_variant_is_small_and_encoded_once() {
    within(TEST, async || {
        let (camera, relay) = camera_and_relay(Camera::config_with_low).await;
        let mut viewers = Vec::new();
        for _ in 0..5 {
            let mut viewer = playing(&relay, VariantChoice::Low).await;
            let ready = viewer.wait_ready(START).await;
            assert_eq!((ready.variant, ready.why), (Variant::Low, VariantReason::Requested));
            let track = &ready.tracks[0];
            assert_eq!(track.size.map(|size| size.to_string()).as_deref(), Some("320x180"));
            assert!(track.mime.contains("avc1."), "{}", track.mime);
            viewers.push(viewer.watch());
        }
        let all = async || viewers.iter().all(|viewer| viewer.seen().fragments >= 60).then_some(());
        until("five viewers to have sixty light frames each", START, all).await;
        assert!(viewers.iter().all(|viewer| viewer.seen().losses.is_empty()));
        assert_eq!((camera.connections(), relay.encoders().len()), (1, 1), "{:?}", relay.ffmpegs());
        let (full, light) = (kbps(&relay).await, relay.variant(BUSY.path, Variant::Low).await.bit_rate.unwrap());
        assert!((light as f64) < full * 1e3 / 4.0, "{light} bit/s beside {full} kbit/s");
    });
}

#[test]
fn pause_stops_media_and_resume_starts_with_a_key_frame() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay(Camera::config_with_low).await;
        let healthy = healthy(&relay).await;
        let mut viewer = playing(&relay, VariantChoice::Auto).await;
        viewer.take_media(30, START).await;
        viewer.send(&ClientMessage::Pause).await;
        // Media in flight.
        while viewer.next_within(QUIET).await.is_some() {}
        let before = viewer.received();
        let paused = Instant::now();
        while paused.elapsed() < Duration::from_secs(3) {
            let event = viewer.next_within(Duration::from_millis(100)).await;
            assert!(!matches!(event, Some(Event::Media(_) | Event::Closed(..))), "{event:?} in a pause");
        }
        assert_eq!(viewer.received(), before);
        assert_eq!(relay.variant(BUSY.path, Variant::Copy).await.viewers, 2, "it still counts as a viewer");

        let resumed = Instant::now();
        viewer.send(&ClientMessage::Resume).await;
        let (said, head) = until_fragment(&mut viewer, ANSWER).await;
        say(&format!("a key frame {:?} after resume", resumed.elapsed()));
        assert!(head.keyframe);
        assert!(
            matches!(said[..], [ServerMessage::Gap { why: GapReason::Paused, skipped: 1.. }]),
            "no new epoch, and what was left out: {said:?}"
        );
        assert_eq!(healthy.seen().losses, Vec::<String>::new());
    });
}

#[test]
fn resume_without_pause_starts_a_new_epoch() {
    within(TEST, async || {
        let (_camera, relay) = camera_and_relay(Camera::config_with_low).await;
        let mut viewer = playing(&relay, VariantChoice::Auto).await;
        assert_eq!(viewer.wait_ready(START).await.epoch, 1);
        viewer.take_media(30, START).await;
        viewer.send(&ClientMessage::Resume).await;
        let ready = viewer.wait_ready(ANSWER).await;
        assert_eq!((ready.epoch, ready.variant), (2, Variant::Copy));
        let (init, fragments) = viewer.take_media(1, ANSWER).await;
        assert!(is_init(&init) && FragmentHead::read(&fragments[0]).unwrap().keyframe);
    });
}

mod timing {
    use super::*;

    #[test]
    fn throttled_viewer_gets_low_variant_then_the_full_one() {
        within(TEST, async || {
            let (_camera, relay) = camera_and_relay(Camera::config_with_low).await;
            let healthy = healthy(&relay).await;
            let kbps = kbps(&relay).await;
            let mut slow = SlowViewer::new(playing(&relay, VariantChoice::Auto).await, PLENTY);
            slow.watch(Duration::from_secs(5)).await;
            assert_eq!(slow.variants(), [(Variant::Copy, VariantReason::Untouched)]);
            let usual = slow.worst_age(Instant::now() - Duration::from_secs(3));

            slow.set_rate(kbps * 0.6);
            let throttled = Instant::now();
            slow.watch(Duration::from_secs(14)).await;
            let (worst, steady) = (slow.worst_age(throttled), slow.worst_age(throttled + Duration::from_secs(8)));
            assert_eq!(slow.variants()[1..], [(Variant::Low, VariantReason::SlowLink)]);

            slow.set_rate(PLENTY);
            let recovered = Instant::now();
            slow.watch(Duration::from_secs(12)).await;
            let back = slow.readies.last().map(|(at, _)| *at - recovered);
            let after = slow.worst_age(recovered + Duration::from_secs(5));
            say(&format!(
                "{kbps:.0} kbit/s through 60 %: oldest picture {usual:.0} ms before, {worst:.0} ms then, {steady:.0} ms from \
                 8 s on, {after:.0} ms from 5 s after it; light {:?} after the start, full {back:?} after the end",
                slow.readies[1].0 - throttled
            ));
            assert_eq!(slow.variants()[2..], [(Variant::Copy, VariantReason::Untouched)]);
            assert!(worst < usual + 1200.0 && steady < usual + 400.0 && after < usual + 300.0);
            assert_eq!(healthy.seen().losses, Vec::<String>::new(), "the healthy viewer loses no frame");
        });
    }

    #[test]
    fn throttled_viewer_without_low_variant_skips_to_key_frames() {
        within(TEST, async || {
            let (_camera, relay) = camera_and_relay(Camera::config).await;
            let variants: Vec<_> = relay.stream(BUSY.path).await.variants.iter().map(|info| info.variant).collect();
            assert_eq!(variants, [Variant::Copy, Variant::H264]);
            let mut asking = playing(&relay, VariantChoice::Low).await;
            assert_eq!(asking.wait_ready(START).await.variant, Variant::Copy, "what fits best of those there are");

            let mut slow = SlowViewer::new(playing(&relay, VariantChoice::Auto).await, PLENTY);
            slow.watch(Duration::from_secs(5)).await;
            let usual = slow.worst_age(Instant::now() - Duration::from_secs(3));
            slow.set_rate(kbps(&relay).await * 0.6);
            let throttled = Instant::now();
            slow.watch(Duration::from_secs(12)).await;
            let worst = slow.worst_age(throttled);
            say(&format!("60 % without a light picture: oldest picture {worst:.0} ms, {} gaps", slow.gaps));
            assert_eq!(slow.variants(), [(Variant::Copy, VariantReason::Untouched)]);
            assert!(slow.gaps >= 5 && worst < usual + 1400.0, "{worst}");
        });
    }
}
