use super::*;
use proptest::prelude::*;

const MESSAGE: usize = 1000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A window on a link that has long had a round trip of 20 ms.
fn nearby() -> SendWindow {
    let mut window = SendWindow::default();
    for second in 0..10 {
        window.on_pong(ms(second * 1000), (second * 1000 + 10) as f64, None, 0, ms(second * 1000 + 20)).unwrap();
    }
    window
}

fn send(window: &mut SendWindow, messages: usize, now: Duration) {
    (0..messages).for_each(|_| window.on_sent(MESSAGE, Duration::ZERO, now));
}

#[test]
fn silent_viewer_is_held_then_closed() {
    let mut window = nearby();
    send(&mut window, 1, ms(10_000));
    send(&mut window, 1, ms(10_040));
    assert_eq!(window.send_decision(ms(10_570)), SendDecision::Send);
    assert_eq!(
        window.send_decision(ms(10_571)),
        SendDecision::Hold,
        "20 ms there and back, 250 until it is told, 300 late"
    );
    window.on_ack(1, None, ms(10_600)).unwrap();
    assert_eq!(window.send_decision(ms(10_600)), SendDecision::Send, "now the second is the oldest");
    assert_eq!(window.send_decision(ms(20_600)), SendDecision::Hold);
    assert_eq!(window.send_decision(ms(20_601)), SendDecision::Close);
    window.on_ack(2, None, ms(20_602)).unwrap();
    assert_eq!(window.send_decision(ms(60_000)), SendDecision::Send, "a silent camera is not the viewer's fault");
}

#[test]
fn viewer_that_progresses_through_a_large_start_stays_open() {
    let mut window = SendWindow::default();
    send(&mut window, 250, ms(0));
    for acknowledged in 1..=250 {
        let now = ms(acknowledged * 100);
        window.on_ack(acknowledged, None, now).unwrap();
        assert_ne!(window.send_decision(now), SendDecision::Close, "after {now:?}");
    }
    assert_eq!(window.send_decision(ms(25_000)), SendDecision::Send);
}

#[test]
fn window_doubles_per_round_trip_until_a_queue_forms() {
    let mut window = nearby();
    let (mut now, mut sent) = (ms(10_000), 0);
    for round in 0..4 {
        let mut count = 0;
        while window.send_decision(now) == SendDecision::Send {
            send(&mut window, 1, now);
            count += 1;
        }
        assert!((60 << round..=66 << round).contains(&count), "{count} messages in round {round}");
        sent += count;
        now += ms(20);
        window.on_ack(sent, Some(now.as_secs_f64() * 1e3 - 10.0), now).unwrap();
    }
    let before = window.window;
    send(&mut window, 200, now);
    window.on_ack(sent + 200, None, now + ms(320)).unwrap();
    assert!(window.window < before / 2, "{before} became {}", window.window);
}

#[test]
fn window_narrows_to_the_delivery_rate() {
    let mut window = nearby();
    send(&mut window, 60, ms(10_000));
    // 50 messages per second: 50,000 bytes.
    for n in 1..=60 {
        let now = ms(10_000 + n * 20);
        window.on_ack(n, Some((10_000 + n * 20 - 10) as f64), now).unwrap();
    }
    assert!((6000..9000).contains(&window.window), "{} bytes where 140 ms deliver 7000", window.window);
}

#[test]
fn queue_despite_narrow_window_becomes_path_delay() {
    let mut window = nearby();
    let mut received = 0;
    let mut drained = false;
    for n in 0..100 {
        let now = ms(10_000 + n * 50);
        if window.send_decision(now) == SendDecision::Send {
            send(&mut window, 1, now);
        }
        drained |= window.draining;
        // From now on, the round trip is 400 ms.
        let arrived = window.in_flight.iter().filter(|message| message.sent + ms(400) <= now).count() as u64;
        received += arrived;
        window.on_ack(received, Some(now.as_secs_f64() * 1e3), now).unwrap();
    }
    assert!(drained && window.queue() < QUEUE_LOW, "{:?}", window.queue());
    assert_eq!(window.round_trip(), ms(400));
}

#[test]
fn ping_is_due_for_many_or_large_bytes_in_flight() {
    let mut window = nearby();
    send(&mut window, 1, ms(10_000));
    assert!(!window.ping_due(ms(10_000)), "it will tell by itself");
    assert!(window.ping_due(ms(10_321)), "it should have told");
    assert!(!window.ping_due(ms(10_322)), "it has been asked");
    window.on_sent(30_000, Duration::ZERO, ms(10_400));
    assert!(window.ping_due(ms(10_400)));
    assert!(!window.is_overdue(ms(10_400), ms(10_500)));
    assert!(window.is_overdue(ms(10_400), ms(10_600)));
    window.on_ack(2, None, ms(10_600)).unwrap();
    assert!(!window.is_overdue(ms(10_400), ms(20_600)), "all has arrived");
}

#[test]
fn ack_beyond_sent_is_an_error() {
    let mut window = SendWindow::default();
    send(&mut window, 1, ms(0));
    let impossible = ImpossibleAck { acknowledged: 2, sent: 1 };
    assert_eq!(window.on_ack(2, None, ms(1)), Err(impossible));
    assert_eq!(window.on_pong(ms(0), 1.0, Some(2), 0, ms(1)), Err(impossible));
}

proptest! {
    #[test]
    fn in_flight_equals_sent_minus_acknowledged(
        steps in proptest::collection::vec((any::<bool>(), 0u64..60, proptest::option::of(any::<f64>())), 0..200)
    ) {
        let mut window = SendWindow::default();
        let mut highest = 0;
        for (n, (send, received, at)) in steps.into_iter().enumerate() {
            let now = ms(n as u64 * 7);
            if send {
                window.on_sent(n, Duration::ZERO, now);
            } else if window.on_ack(received, at, now).is_ok() {
                highest = highest.max(received);
            }
            prop_assert_eq!(window.in_flight.len() as u64, window.sent - highest);
            prop_assert_eq!(window.bytes, window.in_flight.iter().map(|message| message.bytes).sum::<u64>());
            prop_assert!((WINDOW_MIN..=WINDOW_MAX).contains(&window.window));
        }
    }
}
