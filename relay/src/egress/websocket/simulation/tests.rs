//! Guarantees for slow, distant, jittery and failing links. `cargo test simulation -- --nocapture` prints the measurements.

use super::link::LinkProfile;
use super::source::SimulatedCamera;
use super::world::World;
use crate::egress::websocket::variant_selector::Level::{Full, Low};

/// One-way delays of a near, a typical and a distant link, with jitter.
const NEAR: (u64, u64) = (5, 2);
const USUAL: (u64, u64) = (25, 8);
const FAR: (u64, u64) = (100, 15);
/// More than any stream here needs, in kbit/s.
const PLENTY: u64 = 20_000;
/// Start of a throttle, plus its phase, and its end, in milliseconds.
const THROTTLE: (u64, u64) = (10_000, 70_000);
/// Number of phases of a GOP in which an event happens, and their distance in milliseconds.
const PHASES: u64 = 5;
const PHASE: u64 = 200;
/// When viewers join: in the middle of a GOP, with two whole ones in the ring.
const CAME: u64 = 2600;

/// The worst values over all phases of the GOP, on a link that was throttled for a minute.
#[derive(Debug, Default)]
struct Throttled {
    /// The greatest age of a frame in the first ten seconds of the throttle, and after them.
    onset: u64,
    steady: u64,
    /// The greatest age of a frame from five seconds after the throttle's end.
    after: u64,
    /// Milliseconds from the throttle's end to the full variant.
    full_again: u64,
    /// Changes of variant.
    switches: usize,
    /// Padding in bits per second of the throttle.
    padding: u64,
}

fn throttled(percent: u64, delay: (u64, u64)) -> Throttled {
    let mut worst = Throttled::default();
    for phase in 0..PHASES {
        let (from, until) = (THROTTLE.0 + phase * PHASE, THROTTLE.1 + phase * PHASE);
        let profile = LinkProfile::new(PLENTY, delay).then(from, 800 * percent / 100).then(until, PLENTY);
        let world = World::new(SimulatedCamera::new(800), profile, phase, true).run(CAME, 95);
        worst.onset = worst.onset.max(world.worst_age(from, from + 10_000));
        worst.steady = worst.steady.max(world.worst_age(from + 10_000, until));
        worst.after = worst.after.max(world.worst_age(until + 5000, until + 20_000));
        worst.switches = worst.switches.max(world.switches.len());
        worst.padding = worst.padding.max(world.padding * 8 / ((until - from) / 1000));
        let &(back, level) = world.switches.last().expect("it changes");
        assert_eq!(level, Full, "phase {phase}: {:?}", world.switches);
        worst.full_again = worst.full_again.max(back.saturating_sub(until));
    }
    println!("{percent:3} % for a minute, {delay:?} ms: {worst:?}");
    worst
}

#[test]
fn link_at_60_percent_shows_live_video() {
    for (delay, onset) in [(NEAR, 1050), (USUAL, 1200), (FAR, 1400)] {
        let worst = throttled(60, delay);
        assert!(worst.onset <= onset && worst.steady <= 300 + delay.0, "{worst:?}");
        assert!(worst.after <= 150 + delay.0 && worst.full_again <= 8000, "{worst:?}");
        assert_eq!(worst.switches, 2, "down and up");
        assert!(worst.padding < 480_000 / 10, "a tenth of the link to try it with: {worst:?}");
    }
}

#[test]
fn link_at_40_percent_shows_live_video() {
    for (delay, onset) in [(NEAR, 1500), (USUAL, 1500), (FAR, 2000)] {
        let worst = throttled(40, delay);
        assert!(worst.onset <= onset && worst.steady <= 300 + delay.0, "{worst:?}");
        assert!(worst.after <= 150 + delay.0 && worst.full_again <= 8000, "{worst:?}");
        assert_eq!(worst.switches, 2, "down and up");
    }
}

/// Even `low` exceeds this link's capacity.
#[test]
fn link_at_20_percent_skips_and_recovers() {
    let worst = throttled(20, USUAL);
    assert!(worst.steady <= 1200 && worst.after <= 175 && worst.full_again <= 8000, "{worst:?}");
}

#[test]
fn borderline_link_does_not_oscillate() {
    for delay in [NEAR, USUAL, FAR] {
        let worst = throttled(95, delay);
        assert!(worst.switches <= 4 && worst.onset <= 1100, "{worst:?}");
        for seed in 0..5 {
            let profile = LinkProfile::new(PLENTY, delay).then(10_000, 960);
            let world = World::new(SimulatedCamera::new(800), profile, seed, true).run(CAME, 60);
            assert_eq!(world.levels(), [], "a fifth more than the stream is enough");
        }
    }
}

#[test]
fn stream_without_low_skips_to_the_newest_key_frame() {
    let profile = LinkProfile::new(PLENTY, USUAL).then(THROTTLE.0, 480).then(THROTTLE.1, PLENTY);
    let world = World::new(SimulatedCamera::new(800), profile, 1, false).run(CAME, 90);
    let (worst, after) = (world.worst_age(THROTTLE.0, THROTTLE.1), world.worst_age(THROTTLE.1 + 5000, u64::MAX));
    println!(" 60 % without low: {worst} ms, afterwards {after} ms, skipped {} times", world.skips.len());
    assert!(worst <= 1350 && after <= 100);
}

#[test]
fn jitter_of_80_ms_costs_nothing() {
    for seed in 0..5 {
        let world =
            World::new(SimulatedCamera::new(800), LinkProfile::new(PLENTY, (200, 80)), seed, true).run(CAME, 60);
        assert_eq!(world.levels(), [], "seed {seed}");
        assert!(world.skips.iter().all(|skip| skip.0 < CAME + 1000), "only to catch up: {:?}", world.skips);
        let worst = world.worst_age(10_000, u64::MAX);
        assert!(worst <= 280 + 40 + 30, "{worst} ms are more than the link's own and a frame");
    }
}

#[test]
fn healthy_viewer_gets_few_pings() {
    for (kbps, delay) in [(800, NEAR), (800, FAR), (4000, NEAR), (4000, FAR), (12_000, USUAL)] {
        let world = World::new(SimulatedCamera::new(kbps), LinkProfile::new(PLENTY * 5, delay), 1, true).run(CAME, 60);
        println!("{kbps} kbit/s, {delay:?} ms: {:.1} pings a second", world.pings as f64 / 60.0);
        assert!(world.pings <= 90, "with each key frame, and to begin with: {}", world.pings);
    }
}

#[test]
fn high_bandwidth_delay_product_is_not_held_back() {
    for (seed, kbps) in [(1, 100_000), (2, 50_000), (3, 50_000), (4, 31_000)] {
        let world = World::new(SimulatedCamera::new(25_000), LinkProfile::new(kbps, (50, 5)), seed, true).run(CAME, 60);
        let worst = world.worst_age(6000, u64::MAX);
        println!("25 Mbit/s on {kbps} kbit/s: {worst} ms, skipped {:?}", world.skips);
        assert_eq!(world.levels(), []);
        // A key frame has the bits of a quarter of a second.
        assert!(worst <= 55 + 40 + 20 + 25_000 * 250 / kbps, "{worst}");
        assert!(world.skips.iter().all(|skip| skip.0 < CAME + 2000), "only to catch up: {:?}", world.skips);
    }
}

#[test]
fn stalling_link_keeps_the_full_variant() {
    for (camera, kbps) in [(800, PLENTY), (4000, PLENTY), (4000, 6000)] {
        for phase in 0..PHASES {
            let mut profile = LinkProfile::new(kbps, USUAL);
            for stop in 1..7 {
                let at = stop * 10_000 + phase * PHASE;
                profile = profile.then(at, 0).then(at + 700, kbps);
            }
            let world = World::new(SimulatedCamera::new(camera), profile, phase, true).run(CAME, 70);
            // Slow catching up cannot always be distinguished from a slow link.
            let most = if kbps == PLENTY { 0 } else { 4 };
            assert!(world.switches.len() <= most, "{camera} on {kbps} kbit/s, phase {phase}: {:?}", world.switches);
            let worst = world.worst_age(13_000, 19_900);
            assert!(worst <= 500, "{worst} ms where it should be over within two seconds");
        }
    }
}

#[test]
fn large_gop_on_a_slow_link_is_skipped() {
    for (camera, first) in [(4000, 2200), (25_000, 5500)] {
        let world = World::new(SimulatedCamera::new(camera), LinkProfile::new(2000, USUAL), 1, true).run(CAME, 60);
        let worst = world.worst_age(CAME + 6000, u64::MAX);
        println!("{camera} on 2000 kbit/s: {} ms first, {worst} ms then", world.worst_age(CAME, CAME + 6000));
        assert!(world.worst_age(CAME, CAME + 6000) <= first && worst <= 500);
        assert_eq!(world.levels(), [Low]);
    }
}

#[test]
fn key_frame_interval_of_ten_seconds_does_not_add_ten_seconds() {
    let camera = SimulatedCamera { gop: 250, key: 20, ..SimulatedCamera::new(800) };
    for phase in 0..PHASES {
        let from = 20_500 + phase * 2000;
        let profile = LinkProfile::new(PLENTY, USUAL).then(from, 480).then(from + 60_000, PLENTY);
        let world = World::new(camera, profile, phase, true).run(CAME, 110);
        let (worst, steady) = (world.worst_age(from, from + 60_000), world.worst_age(from + 6000, from + 60_000));
        println!("GOP of 10 s, 60 % from {from} ms on: {worst} ms, {steady} ms from 6 s on, {:?}", world.switches);
        assert!(worst <= 1900 && steady <= 600);
        assert_eq!(world.levels(), [Low, Full]);
    }
}

#[test]
fn longer_path_returns_to_the_full_variant() {
    // A growing delay looks like a queue at first.
    let world = World::new(SimulatedCamera::new(800), LinkProfile::new(PLENTY, NEAR).lengthened(20_000, 300), 1, true)
        .run(CAME, 60);
    println!("path of 300 ms more: {:?} skips {:?}", world.switches, world.skips);
    assert!(world.worst_age(50_000, u64::MAX) <= 400);
    assert_ne!(world.levels().last(), Some(&Low), "back to the full variant");
}

#[test]
fn longer_path_with_jitter_is_recognized_within_seconds() {
    for seed in 0..5 {
        let profile = LinkProfile::new(PLENTY, (0, 0)).restless(20_000, (200, 80));
        let world = World::new(SimulatedCamera::new(2000), profile, seed, true).run(CAME, 60);
        println!("200 ± 80 ms more from 20 s on: {:?} skips {:?}", world.switches, world.skips);
        assert!(world.worst_age(40_000, u64::MAX) <= 280 + 40 + 100, "{} ms", world.worst_age(40_000, u64::MAX));
        assert!(world.skips.iter().all(|skip| skip.0 < 35_000), "{:?}", world.skips);
        assert_ne!(world.levels().last(), Some(&Low), "back to the full variant");
    }
}
