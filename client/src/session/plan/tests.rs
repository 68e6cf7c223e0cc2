use super::*;
use crate::state::history::Sample;
use sightline_protocol::message::OfflineReason;

fn at(ms: f64) -> Moment {
    Moment::from_ms(ms)
}

fn everything() -> Abilities {
    Abilities { media_source: Some("MediaSource"), webrtc: true, native_hls: true, ..Abilities::default() }
}

fn plan(chosen: Protocol, host: &str) -> Plan {
    Plan::new(chosen, &everything(), host, None, at(0.0))
}

const PRESENTED: TileEvent = TileEvent::Presented { first_picture_ms: None };
const LOST: TileEvent = TileEvent::Lost { retry_ms: 0.0 };

/// The time in milliseconds at which the plan changes without any event.
fn moves_at(plan: &mut Plan, from: f64) -> Option<f64> {
    (1..400).map(|n| from + f64::from(n) * 250.0).find(|&ms| plan.tick(at(ms)).is_some())
}

#[test]
fn what_was_chosen_by_name_is_all_that_is_tried() {
    for chosen in [Protocol::Mse, Protocol::WebCodecs, Protocol::WebRtc, Protocol::Hls] {
        let mut plan = plan(chosen, "10.0.0.1");
        assert_eq!(plan.current(), (chosen, "you chose it"));
        assert_eq!((plan.report(&LOST, at(0.0)), plan.report(&LOST, at(0.0))), (None, None));
        assert_eq!(moves_at(&mut plan, 0.0), None);
    }
}

#[test]
fn auto_has_an_order_for_near_and_far_and_for_what_the_browser_has() {
    use Protocol::{Hls, Mse, WebRtc};
    let order = |abilities: &Abilities, host| ways(Protocol::Auto, abilities, host);
    assert_eq!(order(&everything(), "192.168.1.4"), [Mse, WebRtc, Hls]);
    assert_eq!(order(&everything(), "cameras.example.org"), [Mse, Hls]);
    let iphone = Abilities { native_hls: true, webrtc: true, ..Abilities::default() };
    assert_eq!(order(&iphone, "recorder.local"), [WebRtc, Hls]);
    assert_eq!(order(&iphone, "cameras.example.org"), [Hls]);
    assert_eq!(order(&Abilities::default(), "x.org"), [Mse], "which says what is missing");
}

#[test]
fn webcodecs_is_first_where_the_browser_has_it_once_auto_uses_it() {
    use Protocol::{Hls, Mse, WebCodecs};
    let decodes = Abilities { webcodecs: true, ..everything() };
    let host = "cameras.example.org";
    assert_eq!(ways(Protocol::Auto, &decodes, host), auto(AUTO_WEBCODECS, &decodes, host));
    assert_eq!(auto(true, &decodes, host), [WebCodecs, Mse, Hls]);
    assert_eq!(auto(true, &everything(), host), [Mse, Hls]);
    assert_eq!(auto(false, &decodes, host), [Mse, Hls]);
    assert_eq!(auto(true, &Abilities { media_source: None, ..decodes }, host), [Hls], "MSE is its fallback");
}

#[test]
fn local_hosts_are_known_by_their_names() {
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
fn a_socket_that_does_not_get_through_is_left_at_once() {
    let mut plan = plan(Protocol::Auto, "example.org");
    assert_eq!(plan.report(&LOST, at(50.0)), None, "once is an accident");
    assert_eq!(plan.report(&LOST, at(60.0)), Some(Move::Change));
    assert_eq!(plan.current(), (Protocol::Hls, "MSE was left because its connection does not get through"));
}

#[test]
fn a_way_without_a_picture_is_left_in_time_for_all_of_them() {
    let mut plan = plan(Protocol::Auto, "localhost");
    let first = moves_at(&mut plan, 0.0).unwrap();
    assert_eq!(plan.current().0, Protocol::WebRtc);
    let second = moves_at(&mut plan, first).unwrap();
    let why = "MSE was left because it brought no picture in time, WebRTC because it brought no picture in time";
    assert_eq!(plan.current(), (Protocol::Hls, why));
    assert!(first <= 4_250.0 && second <= 8_500.0, "{first} {second}");
}

#[test]
fn a_picture_that_is_arriving_slowly_is_waited_for() {
    let mut plan = plan(Protocol::Auto, "example.org");
    plan.report(&TileEvent::Sample(Sample { bits: 9e4, ..Sample::default() }), at(1_000.0));
    assert!(moves_at(&mut plan, 0.0).unwrap() > 11_000.0);
}

#[test]
fn a_camera_that_is_off_is_off_in_every_way() {
    let mut plan = plan(Protocol::Auto, "localhost");
    let offline = StreamState::Offline { reason: OfflineReason::Unreachable, message: String::new(), retry_in_ms: 0 };
    for excuse in [
        TileEvent::Source(StreamState::Starting),
        TileEvent::Source(offline),
        TileEvent::Failed(Failure::Refused, "no such stream".into()),
        TileEvent::TapNeeded(true),
        TileEvent::Watched(false),
    ] {
        assert_eq!(plan.report(&excuse, at(0.0)), None);
        assert_eq!(moves_at(&mut plan, 0.0), None, "{excuse:?}");
    }
    plan.report(&TileEvent::Watched(true), at(100_000.0));
    plan.report(&TileEvent::Source(StreamState::Live), at(100_000.0));
    assert!(moves_at(&mut plan, 100_000.0).is_some());
}

#[test]
fn an_excuse_ends_with_the_connection_that_brought_it() {
    let mut plan = plan(Protocol::Auto, "example.org");
    let offline = StreamState::Offline { reason: OfflineReason::Unreachable, message: String::new(), retry_in_ms: 0 };
    plan.report(&TileEvent::Connected, at(0.0));
    plan.report(&TileEvent::Source(offline), at(0.0));
    assert_eq!(moves_at(&mut plan, 0.0), None);
    plan.report(&LOST, at(200_000.0));
    assert!(moves_at(&mut plan, 200_000.0).is_some());
}

#[test]
fn a_picture_that_is_no_longer_old_because_there_is_none_is_no_picture() {
    let mut plan = plan(Protocol::Auto, "example.org");
    plan.report(&PRESENTED, at(0.0));
    for event in [TileEvent::Stale(true), LOST, TileEvent::Stale(false)] {
        plan.report(&event, at(1_000.0));
    }
    assert_eq!(plan.lesson(), None);
    assert!(moves_at(&mut plan, 1_000.0).is_some());
}

#[test]
fn only_what_the_network_does_is_remembered_of_it() {
    let lesson = |plan: &mut Plan| {
        plan.report(&PRESENTED, at(50_000.0));
        (plan.current().0, plan.lesson())
    };
    // For example the camera's codec: the connection was made.
    let mut undecodable = plan(Protocol::Auto, "example.org");
    undecodable.report(&TileEvent::Connected, at(0.0));
    undecodable.report(&TileEvent::Failed(Failure::Undecodable, String::new()), at(10.0));
    assert_eq!(lesson(&mut undecodable), (Protocol::Hls, None));
    // The relay was unavailable for a while.
    let mut away = plan(Protocol::Auto, "example.org");
    away.report(&PRESENTED, at(0.0));
    away.report(&LOST, at(1_000.0));
    moves_at(&mut away, 1_000.0).unwrap();
    assert_eq!(lesson(&mut away), (Protocol::Hls, None));
    // A proxy that neither passes WebSockets nor refuses them.
    let mut silent = plan(Protocol::Auto, "example.org");
    moves_at(&mut silent, 0.0).unwrap();
    assert_eq!(lesson(&mut silent), (Protocol::Hls, Some(Some(Protocol::Hls))));
}

#[test]
fn a_way_that_worked_is_given_time_to_heal() {
    let mut plan = plan(Protocol::Auto, "example.org");
    plan.report(&PRESENTED, at(100.0));
    plan.tick(at(60_000.0));
    for n in 0..9 {
        assert_eq!(plan.report(&LOST, at(60_000.0 + f64::from(n))), None);
    }
    let moved = moves_at(&mut plan, 60_000.0).unwrap();
    assert!((75_000.0..76_000.0).contains(&moved), "{moved}");
}

#[test]
fn when_all_have_failed_the_first_waits_before_they_are_tried_again() {
    let mut plan = plan(Protocol::Auto, "example.org");
    for _ in 0..4 {
        plan.report(&LOST, at(100.0));
    }
    assert_eq!(plan.current(), (Protocol::Mse, "no other way works either"));
    for n in 0..9 {
        assert_eq!(plan.report(&LOST, at(200.0 + f64::from(n))), None);
    }
    let moved = moves_at(&mut plan, 100.0).unwrap();
    assert!((30_000.0..31_000.0).contains(&moved), "{moved}");
}

#[test]
fn when_all_have_failed_the_one_that_worked_last_waits() {
    let mut plan = plan(Protocol::Auto, "example.org");
    plan.report(&LOST, at(0.0));
    plan.report(&LOST, at(0.0));
    plan.report(&PRESENTED, at(1_000.0));
    // From here on no protocol connects.
    plan.report(&LOST, at(1_000.0));
    let left = moves_at(&mut plan, 1_000.0).unwrap();
    assert_eq!(plan.current().0, Protocol::Mse);
    let back = moves_at(&mut plan, left).unwrap();
    assert_eq!(plan.current(), (Protocol::Hls, "no other way works either"));
    assert!((30_000.0..31_000.0).contains(&(moves_at(&mut plan, back).unwrap() - back)));
}

#[test]
fn the_best_way_is_looked_at_again_ever_more_seldom() {
    let mut plan = plan(Protocol::Auto, "example.org");
    plan.report(&LOST, at(0.0));
    plan.report(&LOST, at(0.0));
    plan.report(&PRESENTED, at(1_000.0));
    let mut looks = Vec::new();
    for ms in (0..600).map(|n| f64::from(n) * 1_000.0) {
        if plan.tick(at(ms)) == Some(Move::Look) {
            looks.push(ms / 1e3);
            assert_eq!(plan.tick(at(ms)), None, "one look at a time");
            assert_eq!(plan.looked(false, at(ms)), None);
        }
    }
    assert_eq!(looks, [32.0, 93.0, 214.0, 455.0]);
    plan.tick(at(1e6));
    assert_eq!(plan.looked(true, at(1e6)), Some(Move::Change));
    assert_eq!(plan.current(), (Protocol::Mse, "MSE works again"));
}

#[test]
fn what_worked_here_before_comes_first_and_the_best_is_looked_at_again() {
    let begin = |chosen, remembered| Plan::new(chosen, &everything(), "recorder.local", remembered, at(0.0));
    let mut plan = begin(Protocol::Auto, Some(Protocol::Hls));
    assert_eq!(plan.current(), (Protocol::Hls, "here it worked before, and what is better did not"));
    assert_eq!(plan.lesson(), None, "not before there is a picture");
    plan.report(&PRESENTED, at(0.0));
    assert_eq!(plan.lesson(), Some(Some(Protocol::Hls)));
    assert_eq!(moves_at(&mut plan, 0.0), Some(30_250.0));
    assert_eq!(plan.looked(true, at(30_300.0)), Some(Move::Change));
    assert_eq!((plan.current().0, plan.lesson()), (Protocol::Mse, None));
    plan.report(&PRESENTED, at(30_400.0));
    assert_eq!(plan.lesson(), Some(None), "there is nothing to remember any more");

    assert_eq!(begin(Protocol::Mse, Some(Protocol::Hls)).current().0, Protocol::Mse, "the user chose it");
    let far = Plan::new(Protocol::Auto, &everything(), "x.org", Some(Protocol::WebRtc), at(0.0));
    assert_eq!(far.current().0, Protocol::Mse, "it is not among the ways of that address");
}

#[test]
fn what_worked_before_and_does_not_now_is_left_for_all_the_others() {
    let mut plan = Plan::new(Protocol::Auto, &everything(), "localhost", Some(Protocol::WebRtc), at(0.0));
    plan.report(&TileEvent::Failed(Failure::Undecodable, String::new()), at(10.0));
    assert_eq!(plan.current(), (Protocol::Hls, "WebRTC was left because this browser cannot decode what it brings"));
    let failed = TileEvent::Failed(Failure::Refused, String::new());
    plan.report(&failed, at(20.0));
    assert_eq!(plan.current().0, Protocol::Mse);
    let why = "WebRTC was left because this browser cannot decode what it brings, HLS because it does not work here";
    assert_eq!(plan.current().1, why);
    assert!((4_250.0..4_600.0).contains(&moves_at(&mut plan, 20.0).unwrap()), "it has not been tried before");
    assert_eq!(plan.current(), (Protocol::WebRtc, "no other way works either"));
}
