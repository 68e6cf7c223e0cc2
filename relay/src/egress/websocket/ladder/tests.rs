use super::*;

const RATES: Rates = Rates { full: 100_000.0, light: 28_000.0 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A ladder and a clock that goes on by an acknowledgement every 50 ms.
struct Climber {
    ladder: Ladder,
    now: u64,
    /// What a train takes, in milliseconds for each of its kilobytes.
    train_ms: f64,
}

impl Climber {
    fn new() -> Self {
        let mut ladder = Ladder::default();
        ladder.set_free(true, ms(0));
        let mut climber = Self { ladder, now: 0, train_ms: 1.0 };
        climber.late_by(0, 6000);
        climber
    }

    /// Everything comes late by `delay` for so many milliseconds; returns when the rung changed.
    fn late_by(&mut self, delay: u64, span: u64) -> Option<u64> {
        let (before, until) = (self.ladder.rung(), self.now + span);
        while self.now < until {
            self.now += 50;
            if let Some(Padding::Train(bytes)) = self.ladder.padding(RATES, ms(self.now)) {
                self.ladder.train_arrived(bytes as f64 / 1e3 * self.train_ms, RATES, ms(self.now));
            }
            self.ladder.feedback(ms(delay), ms(delay), ms(self.now));
            if self.ladder.rung() != before {
                return Some(self.now);
            }
        }
        None
    }
}

#[test]
fn down_after_a_moment_of_strain_and_up_when_the_link_has_been_tried() {
    let mut climber = Climber::new();
    assert_eq!(climber.ladder.light_wanted_for(ms(6000)), None);
    assert_eq!(climber.late_by(300, 1000), Some(6300));
    assert!(climber.ladder.light_wanted_for(ms(6300)) > Some(ms(100)), "it was made ready before it was certain");
    let up = climber.late_by(20, 20_000).expect("the link carries it");
    assert!((6300 + 4000..6300 + 5000).contains(&up), "{up}: three seconds of calm, one of load");
    assert_eq!(climber.ladder.light_wanted_for(ms(up)), None);
}

#[test]
fn a_link_that_carries_the_light_picture_only_is_tried_again_and_again() {
    let mut climber = Climber::new();
    climber.late_by(300, 1000);
    climber.train_ms = 20.0;
    assert_eq!(climber.late_by(20, 120_000), None);
    climber.train_ms = 1.0;
    assert!(climber.late_by(20, 3500).is_some(), "no try is more than two seconds away, and it takes one");
}

#[test]
fn a_full_picture_that_is_given_up_at_once_is_long_in_coming_again() {
    let mut climber = Climber::new();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let down = climber.late_by(400, 2000).expect("strain");
        waits.push(climber.late_by(20, 200_000).expect("calm") - down);
        climber.late_by(20, 2000);
    }
    let seconds: Vec<_> = waits.iter().map(|wait| wait / 1000).collect();
    assert_eq!(seconds, [4, 11, 21, 41, 81]);
    climber.late_by(20, 20_000);
    let down = climber.late_by(400, 2000).expect("strain");
    assert!(climber.late_by(20, 200_000).expect("calm") - down < 5000, "one that lasted is forgiven");
}

#[test]
fn without_a_choice_it_is_the_full_picture() {
    let mut climber = Climber::new();
    climber.ladder.set_free(false, ms(6000));
    assert_eq!(climber.late_by(900, 10_000), None);
    assert_eq!(climber.ladder.light_wanted_for(ms(climber.now)), None);
    climber.ladder.set_free(true, ms(climber.now));
    assert!(climber.late_by(900, 10_000).is_some());
    climber.ladder.set_free(false, ms(climber.now));
    assert_eq!(climber.ladder.rung(), Rung::Full);
}

#[test]
fn a_light_picture_that_cannot_be_had_is_not_asked_for_again_soon() {
    let mut climber = Climber::new();
    climber.late_by(300, 1000);
    climber.ladder.unavailable(ms(climber.now));
    assert_eq!(climber.ladder.rung(), Rung::Full);
    assert_eq!(climber.late_by(300, 59_000), None);
    assert!(climber.late_by(300, 2000).is_some());
}

#[test]
fn a_first_picture_that_takes_seconds_is_enough() {
    let mut ladder = Ladder::default();
    ladder.set_free(true, ms(0));
    ladder.feedback(ms(3000), ms(3000), ms(3100));
    assert_eq!(ladder.rung(), Rung::Light);
    let mut later = Climber::new();
    later.ladder.feedback(ms(3000), ms(3000), ms(9100));
    assert_eq!(later.ladder.rung(), Rung::Full, "then it may have stood still");
}
