use super::*;
use proptest::prelude::*;

const MESSAGE: usize = 1000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A flow that has learned, long ago, that an answer takes 20 ms.
fn nearby() -> Flow {
    let mut flow = Flow::default();
    for second in 0..10 {
        flow.answered(ms(second * 1000), (second * 1000 + 10) as f64, None, 0, ms(second * 1000 + 20)).unwrap();
    }
    flow
}

fn send(flow: &mut Flow, messages: usize, now: Duration) {
    (0..messages).for_each(|_| flow.sent(MESSAGE, Duration::ZERO, now));
}

#[test]
fn an_unacknowledged_viewer_is_held_and_then_given_up() {
    let mut flow = nearby();
    send(&mut flow, 1, ms(10_000));
    send(&mut flow, 1, ms(10_040));
    assert_eq!(flow.permit(ms(10_570)), Permit::Send);
    assert_eq!(flow.permit(ms(10_571)), Permit::Hold, "20 ms there and back, 250 until it is told, 300 late");
    flow.acknowledged(1, None, ms(10_600)).unwrap();
    assert_eq!(flow.permit(ms(10_600)), Permit::Send, "now the second is the oldest");
    assert_eq!(flow.permit(ms(20_600)), Permit::Hold);
    assert_eq!(flow.permit(ms(20_601)), Permit::Close);
    flow.acknowledged(2, None, ms(20_602)).unwrap();
    assert_eq!(flow.permit(ms(60_000)), Permit::Send, "a silent camera is not the viewer's fault");
}

#[test]
fn a_viewer_that_gets_on_with_a_large_start_is_not_given_up() {
    let mut flow = Flow::default();
    send(&mut flow, 250, ms(0));
    for acknowledged in 1..=250 {
        let now = ms(acknowledged * 100);
        flow.acknowledged(acknowledged, None, now).unwrap();
        assert_ne!(flow.permit(now), Permit::Close, "after {now:?}");
    }
    assert_eq!(flow.permit(ms(25_000)), Permit::Send);
}

#[test]
fn the_window_doubles_with_each_round_trip_until_there_is_a_queue() {
    let mut flow = nearby();
    let (mut now, mut sent) = (ms(10_000), 0);
    for round in 0..4 {
        let mut count = 0;
        while flow.permit(now) == Permit::Send {
            send(&mut flow, 1, now);
            count += 1;
        }
        assert!((60 << round..=66 << round).contains(&count), "{count} messages in round {round}");
        sent += count;
        now += ms(20);
        flow.acknowledged(sent, Some(now.as_secs_f64() * 1e3 - 10.0), now).unwrap();
    }
    let before = flow.window;
    send(&mut flow, 200, now);
    flow.acknowledged(sent + 200, None, now + ms(320)).unwrap();
    assert!(flow.window < before / 2, "{before} became {}", flow.window);
}

#[test]
fn a_slow_link_gets_what_it_delivers_in_a_moment() {
    let mut flow = nearby();
    send(&mut flow, 60, ms(10_000));
    // 50 messages a second: 50,000 bytes.
    for n in 1..=60 {
        let now = ms(10_000 + n * 20);
        flow.acknowledged(n, Some((10_000 + n * 20 - 10) as f64), now).unwrap();
    }
    assert!((6000..9000).contains(&flow.window), "{} bytes where 140 ms deliver 7000", flow.window);
}

#[test]
fn what_stays_queued_in_spite_of_a_narrow_window_is_a_longer_path() {
    let mut flow = nearby();
    let mut received = 0;
    let mut drained = false;
    for n in 0..100 {
        let now = ms(10_000 + n * 50);
        if flow.permit(now) == Permit::Send {
            send(&mut flow, 1, now);
        }
        drained |= flow.draining;
        // Everything takes 400 ms now.
        let arrived = flow.in_flight.iter().filter(|message| message.sent + ms(400) <= now).count() as u64;
        received += arrived;
        flow.acknowledged(received, Some(now.as_secs_f64() * 1e3), now).unwrap();
    }
    assert!(drained && flow.queue() < QUEUE_LOW, "{:?}", flow.queue());
    assert_eq!(flow.round_trip(), ms(400));
}

#[test]
fn the_viewer_is_asked_where_much_or_something_large_is_on_its_way() {
    let mut flow = nearby();
    send(&mut flow, 1, ms(10_000));
    assert!(!flow.ask(ms(10_000)), "it will tell by itself");
    assert!(flow.ask(ms(10_321)), "it should have told");
    assert!(!flow.ask(ms(10_322)), "it has been asked");
    flow.sent(30_000, Duration::ZERO, ms(10_400));
    assert!(flow.ask(ms(10_400)));
    assert!(!flow.is_overdue(ms(10_400), ms(10_500)));
    assert!(flow.is_overdue(ms(10_400), ms(10_600)));
    flow.acknowledged(2, None, ms(10_600)).unwrap();
    assert!(!flow.is_overdue(ms(10_400), ms(20_600)), "all has arrived");
}

#[test]
fn acknowledging_what_was_not_sent_is_an_error() {
    let mut flow = Flow::default();
    send(&mut flow, 1, ms(0));
    let impossible = ImpossibleAck { acknowledged: 2, sent: 1 };
    assert_eq!(flow.acknowledged(2, None, ms(1)), Err(impossible));
    assert_eq!(flow.answered(ms(0), 1.0, Some(2), 0, ms(1)), Err(impossible));
}

proptest! {
    #[test]
    fn the_record_holds_exactly_what_is_outstanding(
        steps in proptest::collection::vec((any::<bool>(), 0u64..60, proptest::option::of(any::<f64>())), 0..200)
    ) {
        let mut flow = Flow::default();
        let mut highest = 0;
        for (n, (send, received, at)) in steps.into_iter().enumerate() {
            let now = ms(n as u64 * 7);
            if send {
                flow.sent(n, Duration::ZERO, now);
            } else if flow.acknowledged(received, at, now).is_ok() {
                highest = highest.max(received);
            }
            prop_assert_eq!(flow.in_flight.len() as u64, flow.sent - highest);
            prop_assert_eq!(flow.bytes, flow.in_flight.iter().map(|message| message.bytes).sum::<u64>());
            prop_assert!((WINDOW_MIN..=WINDOW_MAX).contains(&flow.window));
        }
    }
}
