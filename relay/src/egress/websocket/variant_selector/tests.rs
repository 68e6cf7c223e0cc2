use super::*;

const RATES: Rates = Rates { full: 100_000.0, low: 28_000.0 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A selector and a clock that advances by an acknowledgement every 50 ms.
struct Climber {
    selector: VariantSelector,
    now: u64,
    /// Duration of a train, in milliseconds per kilobyte.
    train_ms: f64,
}

impl Climber {
    fn new() -> Self {
        let mut selector = VariantSelector::default();
        selector.set_may_use_low(true, ms(0));
        let mut climber = Self { selector, now: 0, train_ms: 1.0 };
        climber.late_by(0, 6000);
        climber
    }

    /// Acknowledges with `delay` for `span` milliseconds. Returns the time at which the level changed.
    fn late_by(&mut self, delay: u64, span: u64) -> Option<u64> {
        let (before, until) = (self.selector.level(), self.now + span);
        while self.now < until {
            self.now += 50;
            if let Some(Padding::Train(bytes)) = self.selector.padding(RATES, ms(self.now)) {
                self.selector.train_arrived(bytes as f64 / 1e3 * self.train_ms, RATES, ms(self.now));
            }
            self.selector.feedback(ms(delay), ms(delay), ms(self.now));
            if self.selector.level() != before {
                return Some(self.now);
            }
        }
        None
    }
}

#[test]
fn congestion_steps_down_and_successful_probe_steps_up() {
    let mut climber = Climber::new();
    assert_eq!(climber.selector.low_wanted_for(ms(6000)), None);
    assert_eq!(climber.late_by(300, 1000), Some(6300));
    assert!(climber.selector.low_wanted_for(ms(6300)) > Some(ms(100)), "standby starts before the step down");
    let up = climber.late_by(20, 20_000).expect("the link carries it");
    assert!((6300 + 4000..6300 + 5000).contains(&up), "{up}: three seconds of calm, one of load");
    assert_eq!(climber.selector.low_wanted_for(ms(up)), None);
}

#[test]
fn failed_probes_are_repeated() {
    let mut climber = Climber::new();
    climber.late_by(300, 1000);
    climber.train_ms = 20.0;
    assert_eq!(climber.late_by(20, 120_000), None);
    climber.train_ms = 1.0;
    assert!(climber.late_by(20, 3500).is_some(), "no try is more than two seconds away, and it takes one");
}

#[test]
fn failed_step_up_delays_the_next() {
    let mut climber = Climber::new();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let down = climber.late_by(400, 2000).expect("congestion");
        waits.push(climber.late_by(20, 200_000).expect("calm") - down);
        climber.late_by(20, 2000);
    }
    let seconds: Vec<_> = waits.iter().map(|wait| wait / 1000).collect();
    assert_eq!(seconds, [4, 11, 21, 41, 81]);
    climber.late_by(20, 20_000);
    let down = climber.late_by(400, 2000).expect("congestion");
    assert!(climber.late_by(20, 200_000).expect("calm") - down < 5000, "one that lasted is forgiven");
}

#[test]
fn no_choice_selects_full() {
    let mut climber = Climber::new();
    climber.selector.set_may_use_low(false, ms(6000));
    assert_eq!(climber.late_by(900, 10_000), None);
    assert_eq!(climber.selector.low_wanted_for(ms(climber.now)), None);
    climber.selector.set_may_use_low(true, ms(climber.now));
    assert!(climber.late_by(900, 10_000).is_some());
    climber.selector.set_may_use_low(false, ms(climber.now));
    assert_eq!(climber.selector.level(), Level::Full);
}

#[test]
fn unavailable_low_is_not_retried_soon() {
    let mut climber = Climber::new();
    climber.late_by(300, 1000);
    climber.selector.unavailable(ms(climber.now));
    assert_eq!(climber.selector.level(), Level::Full);
    assert_eq!(climber.late_by(300, 59_000), None);
    assert!(climber.late_by(300, 2000).is_some());
}

#[test]
fn slow_first_frame_selects_low() {
    let mut selector = VariantSelector::default();
    selector.set_may_use_low(true, ms(0));
    selector.feedback(ms(3000), ms(3000), ms(3100));
    assert_eq!(selector.level(), Level::Low);
    let mut later = Climber::new();
    later.selector.feedback(ms(3000), ms(3000), ms(9100));
    assert_eq!(later.selector.level(), Level::Full, "then it may have stood still");
}
