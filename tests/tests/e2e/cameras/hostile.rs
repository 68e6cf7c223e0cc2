//! Cameras that attack the relay: it stays small, says why, and their neighbours lose nothing.

use sightline_tests::run::within;
use sightline_tests::scripted_camera::case::Attack;
use sightline_tests::scripted_camera::media::Media;

use super::*;

const TEST: Duration = Duration::from_secs(90);
const WATCHED: Duration = Duration::from_secs(5);
const MIB: usize = 1024 * 1024;
/// How much the relay may grow.
const GROWTH_KIB: u64 = 64 * 1024;

#[test]
fn hostile_camera_is_refused_and_its_neighbour_plays_on() {
    within(TEST, async || {
        let attack = |name, attack| Case { attack: Some(attack), ..Case::new(name) };
        let cases: [(Case, &str); 5] = [
            (attack("sdp", Attack::Description(100 * MIB)), "session description of more than 256 KiB"),
            (attack("header", Attack::Header(50 * MIB)), "RTSP header of more than 64 KiB"),
            (attack("unit", Attack::Unit(200 * MIB)), "frame of more than 8 MiB"),
            (attack("units", Attack::OneByteUnits(4_000_000)), "frame of more than 8 MiB"),
            (attack("flood", Attack::Flood), "more than 240 frames a second"),
        ];
        for (case, sentence) in cases {
            let rows = [Row::new(&Case::new("neighbour"), AUTO), Row::new(&case, AUTO)];
            let scene = Scene::open(&rows).await;
            // The neighbour alone, for the relay's usual size.
            watch(&scene.relay, rows[0].stream(), None, Duration::from_secs(1)).await;
            let before = scene.relay.resident_kib();
            let most = std::sync::atomic::AtomicU64::new(before);
            let measure = async {
                loop {
                    most.fetch_max(scene.relay.resident_kib(), std::sync::atomic::Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let sentences = [None, Some(&[sentence][..])];
            let watched = tokio::select! {
                watched = scene.watch_until(&rows, &sentences, WATCHED) => watched,
                () = measure => unreachable!("it measures without end"),
            };
            let growth = most.into_inner() - before;
            say(&format!("{:<14} the relay grew by {} MiB", case.name, growth / 1024));
            lost_nothing(&watched[0]);
            assert!(
                watched[1].offline.iter().any(|said| said.contains(sentence)),
                "{}: {:?}",
                case.name,
                watched[1].offline
            );
            assert!(growth < GROWTH_KIB, "{}: the relay grew by {growth} KiB", case.name);
            assert!(scene.relay.ffmpegs().is_empty(), "{}: {:?}", case.name, scene.relay.ffmpegs());
        }
    });
}

/// Asserts that a neighbour played on without an interruption and got all frames that its camera sent.
fn lost_nothing(neighbour: &Watched) {
    neighbour.plays("neighbour", 15.0, WATCHED);
    assert_eq!(neighbour.epochs.len(), 1, "it plays on");
    // A viewer begins with the frames since the last key frame, and frames are under way. That each frame is followed by the next
    // was seen before: only a whole loop of them could be missing.
    let (sent, received) = (neighbour.sent.1 - neighbour.sent.0, neighbour.fragments() - 1);
    let loop_of = Media::Plain.access_units().len();
    assert!(sent.abs_diff(received) < loop_of, "{received} of {sent} frames");
}
