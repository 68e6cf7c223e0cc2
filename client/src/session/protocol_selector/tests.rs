use super::*;
use crate::state::history::Sample;
use sightline_protocol::message::OfflineReason;

fn at(ms: f64) -> Moment {
    Moment::from_ms(ms)
}

fn everything() -> Abilities {
    Abilities { media_source: Some("MediaSource"), webrtc: true, native_hls: true, ..Abilities::default() }
}

fn selector(chosen: Protocol, host: &str) -> ProtocolSelector {
    ProtocolSelector::new(chosen, &everything(), host, None, at(0.0))
}

const PRESENTED: TileEvent = TileEvent::Presented { first_frame_ms: None };
const LOST: TileEvent = TileEvent::Lost { retry_ms: 0.0 };

/// The time in milliseconds at which the selection changes without any event.
fn moves_at(selector: &mut ProtocolSelector, from: f64) -> Option<f64> {
    (1..400).map(|n| from + f64::from(n) * 250.0).find(|&ms| selector.tick(at(ms)).is_some())
}

#[test]
fn selected_protocol_is_the_only_one_tried() {
    for chosen in [Protocol::Mse, Protocol::WebCodecs, Protocol::WebRtc, Protocol::Hls] {
        let mut selector = selector(chosen, "10.0.0.1");
        assert_eq!(selector.current(), (chosen, "you chose it"));
        assert_eq!((selector.report(&LOST, at(0.0)), selector.report(&LOST, at(0.0))), (None, None));
        assert_eq!(moves_at(&mut selector, 0.0), None);
    }
}

#[test]
fn auto_order_follows_locality_and_abilities() {
    use Protocol::{Hls, Mse, WebRtc};
    let order = |abilities: &Abilities, host| protocols(Protocol::Auto, abilities, host);
    assert_eq!(order(&everything(), "192.168.1.4"), [Mse, WebRtc, Hls]);
    assert_eq!(order(&everything(), "cameras.example.org"), [Mse, Hls]);
    let iphone = Abilities { native_hls: true, webrtc: true, ..Abilities::default() };
    assert_eq!(order(&iphone, "recorder.local"), [WebRtc, Hls]);
    assert_eq!(order(&iphone, "cameras.example.org"), [Hls]);
    assert_eq!(order(&Abilities::default(), "x.org"), [Mse], "which says what is missing");
}

#[test]
fn auto_prefers_webcodecs_where_it_presents_in_a_video() {
    use Protocol::{Hls, Mse, WebCodecs};
    let order = |abilities: Abilities| protocols(Protocol::Auto, &abilities, "cameras.example.org");
    let chromium = Abilities { webcodecs: true, video_track: true, ..everything() };
    assert_eq!(order(chromium.clone()), [WebCodecs, Hls], "MSE uses the same WebSocket");
    assert_eq!(order(Abilities { video_track: false, ..chromium.clone() }), [Mse, Hls]);
    assert_eq!(order(Abilities { webcodecs: false, ..chromium.clone() }), [Mse, Hls], "without HTTPS");
    assert_eq!(order(Abilities { media_source: None, ..chromium }), [Hls], "MSE is its fallback");
}

#[test]
fn local_hosts_are_recognized_by_name() {
    for host in [
        "localhost",
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.9",
        "169.254.1.1",
        "[::1]",
        "[fe80::1]",
        "[fd00::7]",
        "recorder.local",
        "recorder",
    ] {
        assert!(is_local(host), "{host}");
    }
    for host in ["example.org", "8.8.8.8", "172.32.0.1", "[2001:db8::1]", "local.example.org"] {
        assert!(!is_local(host), "{host}");
    }
}

#[test]
fn refused_connections_switch_the_protocol_at_once() {
    let mut selector = selector(Protocol::Auto, "example.org");
    assert_eq!(selector.report(&LOST, at(50.0)), None, "once is an accident");
    assert_eq!(selector.report(&LOST, at(60.0)), Some(Decision::Switch));
    assert_eq!(selector.current(), (Protocol::Hls, "MSE was left because its connection does not get through"));
}

#[test]
fn protocol_without_a_frame_is_abandoned_in_time_for_the_others() {
    let mut selector = selector(Protocol::Auto, "localhost");
    let first = moves_at(&mut selector, 0.0).unwrap();
    assert_eq!(selector.current().0, Protocol::WebRtc);
    let second = moves_at(&mut selector, first).unwrap();
    let why = "MSE was left because it presented no frame in time, WebRTC because it presented no frame in time";
    assert_eq!(selector.current(), (Protocol::Hls, why));
    assert!(first <= 4_250.0 && second <= 8_500.0, "{first} {second}");
}

#[test]
fn arriving_media_extends_the_timeout() {
    let mut selector = selector(Protocol::Auto, "example.org");
    selector.report(&TileEvent::Sample(Sample { bits: 9e4, ..Sample::default() }), at(1_000.0));
    assert!(moves_at(&mut selector, 0.0).unwrap() > 11_000.0);
}

#[test]
fn offline_camera_switches_no_protocol() {
    let mut selector = selector(Protocol::Auto, "localhost");
    let offline = StreamState::Offline { reason: OfflineReason::Unreachable, message: String::new(), retry_in_ms: 0 };
    for excuse in [
        TileEvent::Source(StreamState::Starting),
        TileEvent::Source(offline),
        TileEvent::Failed(Failure::Refused, "no such stream".into()),
        TileEvent::TapNeeded(true),
        TileEvent::VisibilityChanged(false),
    ] {
        assert_eq!(selector.report(&excuse, at(0.0)), None);
        assert_eq!(moves_at(&mut selector, 0.0), None, "{excuse:?}");
    }
    selector.report(&TileEvent::VisibilityChanged(true), at(100_000.0));
    selector.report(&TileEvent::Source(StreamState::Live), at(100_000.0));
    assert!(moves_at(&mut selector, 100_000.0).is_some());
}

#[test]
fn explanation_ends_with_its_connection() {
    let mut selector = selector(Protocol::Auto, "example.org");
    let offline = StreamState::Offline { reason: OfflineReason::Unreachable, message: String::new(), retry_in_ms: 0 };
    selector.report(&TileEvent::Connected, at(0.0));
    selector.report(&TileEvent::Source(offline), at(0.0));
    assert_eq!(moves_at(&mut selector, 0.0), None);
    selector.report(&LOST, at(200_000.0));
    assert!(moves_at(&mut selector, 200_000.0).is_some());
}

#[test]
fn stale_state_of_a_lost_connection_is_no_frame() {
    let mut selector = selector(Protocol::Auto, "example.org");
    selector.report(&PRESENTED, at(0.0));
    for event in [TileEvent::Stale(true), LOST, TileEvent::Stale(false)] {
        selector.report(&event, at(1_000.0));
    }
    assert_eq!(selector.learned(), None);
    assert!(moves_at(&mut selector, 1_000.0).is_some());
}

#[test]
fn only_network_failures_are_learned() {
    let learned = |selector: &mut ProtocolSelector| {
        selector.report(&PRESENTED, at(50_000.0));
        (selector.current().0, selector.learned())
    };
    // For example the camera's codec: the connection was made.
    let mut undecodable = selector(Protocol::Auto, "example.org");
    undecodable.report(&TileEvent::Connected, at(0.0));
    undecodable.report(&TileEvent::Failed(Failure::Undecodable, String::new()), at(10.0));
    assert_eq!(learned(&mut undecodable), (Protocol::Hls, None));
    // The relay was unavailable for a while.
    let mut away = selector(Protocol::Auto, "example.org");
    away.report(&PRESENTED, at(0.0));
    away.report(&LOST, at(1_000.0));
    moves_at(&mut away, 1_000.0).unwrap();
    assert_eq!(learned(&mut away), (Protocol::Hls, None));
    // A proxy that neither passes WebSockets nor refuses them.
    let mut silent = selector(Protocol::Auto, "example.org");
    moves_at(&mut silent, 0.0).unwrap();
    assert_eq!(learned(&mut silent), (Protocol::Hls, Some(Some(Protocol::Hls))));
}

#[test]
fn protocol_that_worked_gets_a_longer_timeout() {
    let mut selector = selector(Protocol::Auto, "example.org");
    selector.report(&PRESENTED, at(100.0));
    selector.tick(at(60_000.0));
    for n in 0..9 {
        assert_eq!(selector.report(&LOST, at(60_000.0 + f64::from(n))), None);
    }
    let moved = moves_at(&mut selector, 60_000.0).unwrap();
    assert!((75_000.0..76_000.0).contains(&moved), "{moved}");
}

#[test]
fn after_all_failed_the_first_waits_for_the_next_round() {
    let mut selector = selector(Protocol::Auto, "example.org");
    for _ in 0..4 {
        selector.report(&LOST, at(100.0));
    }
    assert_eq!(selector.current(), (Protocol::Mse, "no other way works either"));
    for n in 0..9 {
        assert_eq!(selector.report(&LOST, at(200.0 + f64::from(n))), None);
    }
    let moved = moves_at(&mut selector, 100.0).unwrap();
    assert!((30_000.0..31_000.0).contains(&moved), "{moved}");
}

#[test]
fn after_all_failed_the_last_working_protocol_waits() {
    let mut selector = selector(Protocol::Auto, "example.org");
    selector.report(&LOST, at(0.0));
    selector.report(&LOST, at(0.0));
    selector.report(&PRESENTED, at(1_000.0));
    // From here on no protocol connects.
    selector.report(&LOST, at(1_000.0));
    let left = moves_at(&mut selector, 1_000.0).unwrap();
    assert_eq!(selector.current().0, Protocol::Mse);
    let back = moves_at(&mut selector, left).unwrap();
    assert_eq!(selector.current(), (Protocol::Hls, "no other way works either"));
    assert!((30_000.0..31_000.0).contains(&(moves_at(&mut selector, back).unwrap() - back)));
}

#[test]
fn best_protocol_is_probed_at_growing_intervals() {
    let mut selector = selector(Protocol::Auto, "example.org");
    selector.report(&LOST, at(0.0));
    selector.report(&LOST, at(0.0));
    selector.report(&PRESENTED, at(1_000.0));
    let mut looks = Vec::new();
    for ms in (0..600).map(|n| f64::from(n) * 1_000.0) {
        if selector.tick(at(ms)) == Some(Decision::ProbeBest) {
            looks.push(ms / 1e3);
            assert_eq!(selector.tick(at(ms)), None, "one look at a time");
            assert_eq!(selector.probed(false, at(ms)), None);
        }
    }
    assert_eq!(looks, [32.0, 93.0, 214.0, 455.0]);
    selector.tick(at(1e6));
    assert_eq!(selector.probed(true, at(1e6)), Some(Decision::Switch));
    assert_eq!(selector.current(), (Protocol::Mse, "MSE works again"));
}

#[test]
fn learned_protocol_is_first_and_the_best_is_probed() {
    let begin =
        |chosen, remembered| ProtocolSelector::new(chosen, &everything(), "recorder.local", remembered, at(0.0));
    let mut selector = begin(Protocol::Auto, Some(Protocol::Hls));
    assert_eq!(selector.current(), (Protocol::Hls, "it worked on this network before; the preferred protocol did not"));
    assert_eq!(selector.learned(), None, "not before a frame is presented");
    selector.report(&PRESENTED, at(0.0));
    assert_eq!(selector.learned(), Some(Some(Protocol::Hls)));
    assert_eq!(moves_at(&mut selector, 0.0), Some(30_250.0));
    assert_eq!(selector.probed(true, at(30_300.0)), Some(Decision::Switch));
    assert_eq!((selector.current().0, selector.learned()), (Protocol::Mse, None));
    selector.report(&PRESENTED, at(30_400.0));
    assert_eq!(selector.learned(), Some(None), "there is nothing to remember any more");

    assert_eq!(begin(Protocol::Mse, Some(Protocol::Hls)).current().0, Protocol::Mse, "the user chose it");
    let far = ProtocolSelector::new(Protocol::Auto, &everything(), "x.org", Some(Protocol::WebRtc), at(0.0));
    assert_eq!(far.current().0, Protocol::Mse, "it is not among the ways of that address");
}

#[test]
fn learned_protocol_that_fails_is_abandoned() {
    let mut selector =
        ProtocolSelector::new(Protocol::Auto, &everything(), "localhost", Some(Protocol::WebRtc), at(0.0));
    selector.report(&TileEvent::Failed(Failure::Undecodable, String::new()), at(10.0));
    assert_eq!(
        selector.current(),
        (Protocol::Hls, "WebRTC was left because this browser cannot decode what it brings")
    );
    let failed = TileEvent::Failed(Failure::Refused, String::new());
    selector.report(&failed, at(20.0));
    assert_eq!(selector.current().0, Protocol::Mse);
    let why = "WebRTC was left because this browser cannot decode what it brings, HLS because it does not work here";
    assert_eq!(selector.current().1, why);
    assert!((4_250.0..4_600.0).contains(&moves_at(&mut selector, 20.0).unwrap()), "it has not been tried before");
    assert_eq!(selector.current(), (Protocol::WebRtc, "no other way works either"));
}
