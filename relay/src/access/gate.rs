//! Guessing is slow: a wrong password holds one of few places for a second. Whoever has logged in does not come by here.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Semaphore;

use super::Verdict;
use crate::config::Password;

/// How many may be trying at a time, whoever they are: behind a tunnel all have one address.
const PLACES: usize = 4;
const WRONG: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(PLACES))
    }
}

impl Gate {
    pub(super) async fn try_password(&self, password: &Password, guess: &str) -> Verdict {
        let Ok(_place) = self.0.try_acquire() else { return Verdict::Busy };
        // Digests are of one length, and their comparison takes one time.
        let [right, guess] = [password.reveal(), guess].map(|text| digest(&SHA256, text.as_bytes()));
        if verify_slices_are_equal(right.as_ref(), guess.as_ref()).is_ok() {
            return Verdict::Yes;
        }
        tokio::time::sleep(WRONG).await;
        Verdict::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_many_guesses_a_second_are_looked_at() {
        let (gate, password) = (Gate::default(), Password::new("right".to_owned()));
        let begun = tokio::time::Instant::now();
        assert_eq!(gate.try_password(&password, "right").await, Verdict::Yes);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let guess = || gate.try_password(&password, "wrong");
        let verdicts = tokio::join!(guess(), guess(), guess(), guess(), guess(), gate.try_password(&password, "right"));
        use Verdict::{Busy, No};
        assert_eq!(verdicts, (No, No, No, No, Busy, Busy));
        assert_eq!(begun.elapsed(), WRONG);
        assert_eq!(gate.try_password(&password, "right").await, Verdict::Yes);
    }
}
