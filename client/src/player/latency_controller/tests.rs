use super::simulation::{Random, Scene};
use super::*;

/// A delay that is up to `jitter` longer, evenly distributed.
fn jittery(jitter: f64, seed: u64) -> Box<dyn FnMut(usize) -> f64> {
    let mut random = Random(seed);
    Box::new(move |_| 0.08 + jitter * random.next())
}

#[test]
fn steady_link_plays_close_to_the_edge_without_a_stall() {
    for seed in 1..6 {
        let seen = Scene { way: jittery(0.01, seed), ..Scene::default() }.play(60.0).between(5.0, 60.0);
        assert_eq!(seen.stalls(0.0), 0, "seed {seed}");
        assert!(seen.age_ms(0.5) < 125.0 && seen.age_ms(0.95) < 130.0, "{} {}", seen.age_ms(0.5), seen.age_ms(0.95));
    }
}

#[test]
fn position_updated_once_per_frame_does_as_well() {
    let seen = Scene { way: jittery(0.01, 7), renewed: 0.04, ..Scene::default() }.play(60.0).between(10.0, 60.0);
    assert_eq!(seen.stalls(0.02), 0);
    assert!(seen.age_ms(0.5) < 150.0, "{}", seen.age_ms(0.5));
}

#[test]
fn jitter_of_80_ms_causes_no_stall() {
    for seed in 1..20 {
        let mut random = Random(seed);
        let way = Box::new(move |_| 0.28 + 0.16 * (random.next() - 0.5));
        let seen = Scene { way, ..Scene::default() }.play(120.0).between(10.0, 120.0);
        assert_eq!(seen.stalls(0.03), 0, "seed {seed}");
        assert!(seen.age_ms(0.5) < 460.0, "{}", seen.age_ms(0.5));
    }
}

#[test]
fn isolated_delay_is_recovered_within_seconds() {
    let late = |n: usize| if n == 500 { 0.48 } else { 0.08 };
    let seen = Scene { way: Box::new(late), ..Scene::default() }.play(60.0);
    assert_eq!(seen.between(5.0, 60.0).stalls(0.1), 1);
    let before = seen.between(10.0, 20.0).age_ms(0.5);
    let after = seen.between(25.0, 60.0).age_ms(0.95);
    assert!(after < before + 15.0, "five seconds later all is as before: {before} {after}");
}

#[test]
fn decoder_margin_is_learned_and_kept() {
    let seen = Scene { decoder: 0.2, way: jittery(0.01, 3), ..Scene::default() }.play(600.0);
    let stalls = seen.between(10.0, 600.0).stalls(0.01);
    assert!(stalls < 10, "{stalls} in ten minutes");
    let (median, needed) = (seen.between(60.0, 600.0).age_ms(0.5), 90.0 + 200.0);
    assert!((needed..needed + 80.0).contains(&median), "{median}");
}

#[test]
fn clock_drift_over_hours_changes_nothing() {
    for drift in [2e-4, -2e-4] {
        let seen = Scene { drift, way: jittery(0.02, 9), ..Scene::default() }.play(7200.0);
        assert_eq!(seen.between(10.0, 7200.0).stalls(0.02), 0);
        let (first, last) = (seen.between(10.0, 70.0), seen.between(7140.0, 7200.0));
        assert!((first.age_ms(0.95) - last.age_ms(0.95)).abs() < 10.0, "{} {}", first.age_ms(0.95), last.age_ms(0.95));
    }
}

#[test]
fn low_frame_rate_adds_no_latency() {
    let seen = Scene { frame: 0.2, way: jittery(0.01, 5), ..Scene::default() }.play(120.0).between(10.0, 120.0);
    assert_eq!(seen.stalls(0.0), 0);
    assert!(seen.age_ms(0.95) < 140.0, "{}", seen.age_ms(0.95));
}

#[test]
fn recurring_loss_causes_no_stall() {
    // The link delivers nothing for 300 ms every ten seconds.
    let mut random = Random(11);
    let way = Box::new(move |n: usize| {
        let (second, jitter) = (n as f64 * 0.04 % 10.0, 0.01 * random.next());
        0.08 + jitter + if second < 0.3 { 0.3 - second } else { 0.0 }
    });
    let seen = Scene { way, ..Scene::default() }.play(120.0);
    let stalls = [seen.between(5.0, 120.0).stalls(0.1), seen.between(25.0, 120.0).stalls(0.1)];
    assert!(stalls[0] >= 2 && stalls[1] <= 1, "what happens again and again is played out: {stalls:?}");
    assert!(seen.between(25.0, 120.0).age_ms(0.5) < 440.0, "{}", seen.age_ms(0.5));
}

#[test]
fn correction_by_seeks_keeps_the_rate() {
    let mut latency_controller = LatencyController::new(CorrectionMode::Seek, 0.05);
    latency_controller.arrived(-0.04, Moment::from_ms(460.0));
    for n in 0..100 {
        let now = Moment::from_ms(40.0 * f64::from(n) + 500.0);
        latency_controller.arrived(0.04 * f64::from(n), now);
        latency_controller.sample_position(0.04 * f64::from(n) - 1.0, now);
        assert_eq!(latency_controller.rate(now), 1.0);
        let live = latency_controller.live(now).unwrap();
        assert!((live - (0.04 * f64::from(n) - 0.05)).abs() < 1e-9, "{live}");
    }
}

#[test]
fn late_audio_sets_the_target() {
    let mut latency_controller = LatencyController::new(CorrectionMode::Rate, 0.05);
    let mut now = Moment::from_ms(0.0);
    for n in 0..100 {
        now = Moment::from_ms(40.0 * f64::from(n) + 500.0);
        latency_controller.arrived(0.04 * f64::from(n), now);
        latency_controller.audio_arrived(0.04 * f64::from(n) - 0.03, now);
    }
    assert!(
        (latency_controller.target(now).unwrap() - (0.5 + 0.03 + 0.05)).abs() < 1e-9,
        "{:?}",
        latency_controller.target(now)
    );
    latency_controller.begin();
    latency_controller.audio_arrived(4.0, now);
    assert_eq!(latency_controller.target(now), None, "without a frame there is nothing to play");
}

#[test]
fn starting_sound_card_does_not_raise_the_margin() {
    let margin_after = |first_stall_ms: f64, audio: bool| {
        let mut latency_controller = LatencyController::new(CorrectionMode::Rate, 0.05);
        let mut position = -0.25;
        for ms in 0..6000 {
            let now = Moment::from_ms(f64::from(ms));
            if ms % 40 == 0 {
                latency_controller.arrived(f64::from(ms) / 1e3 - 0.04, now);
                if audio {
                    latency_controller.audio_arrived(f64::from(ms) / 1e3 - 0.04, now);
                }
            }
            position += if (first_stall_ms..first_stall_ms + 100.0).contains(&f64::from(ms)) { 0.0 } else { 0.001 };
            latency_controller.sample_position(position, now);
        }
        latency_controller.margin.value
    };
    assert_eq!(margin_after(500.0, true), 0.05);
    assert!(margin_after(4000.0, true) > 0.05);
    assert!(margin_after(500.0, false) > 0.05);
}

#[test]
fn initial_burst_is_not_jitter() {
    let mut latency_controller = LatencyController::new(CorrectionMode::Rate, 0.05);
    // Ten seconds of media within 100 ms, then live.
    for n in 0..250 {
        latency_controller.arrived(0.04 * f64::from(n), Moment::from_ms(0.4 * f64::from(n)));
    }
    assert_eq!(latency_controller.target(Moment::from_ms(100.0)), None);
    for n in 250..300 {
        latency_controller.arrived(0.04 * f64::from(n), Moment::from_ms(120.0 + 40.0 * f64::from(n - 250)));
    }
    let now = Moment::from_ms(2100.0);
    assert!(
        (latency_controller.target(now).unwrap() - (0.12 - 10.0 + 0.05)).abs() < 1e-9,
        "{:?}",
        latency_controller.target(now)
    );
}

#[test]
fn large_lag_raises_the_rate_within_its_limit() {
    let mut latency_controller = LatencyController::new(CorrectionMode::Rate, 0.05);
    for (behind, fastest) in [(0.15, FASTEST), (0.6, CATCH_UP_RATE)] {
        latency_controller.reset_playhead();
        let now = Moment::from_ms(10_000.0);
        latency_controller.begin();
        latency_controller.arrived(9.96, Moment::from_ms(9_960.0));
        latency_controller.arrived(10.0, now);
        latency_controller.sample_position(10.0 - 0.05 - behind, now);
        assert!((latency_controller.rate(now) - fastest).abs() < 1e-9, "{behind}");
    }
}
