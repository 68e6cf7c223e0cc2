//! Guessing is slow: a wrong password holds one of few places for a second, also when whoever gave it does not wait for the
//! answer. Whoever has logged in does not come by here.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Verdict;
use crate::config::Password;

/// How many may be trying at a time, whoever they are: behind a tunnel all have one address.
const PLACES: usize = 4;
const WRONG: Duration = Duration::from_secs(1);
/// How long to wait for a place: a player that still has an old password must not keep others out.
const QUEUE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl Gate {
    pub(super) async fn try_password(&self, password: &Password, guess: &str) -> Verdict {
        let Ok(Ok(place)) = timeout(QUEUE, self.0.clone().acquire_owned()).await else { return Verdict::Busy };
        // Digests are of one length, and their comparison takes one time.
        let [right, guess] = [password.reveal(), guess].map(|text| digest(&SHA256, text.as_bytes()));
        if verify_slices_are_equal(right.as_ref(), guess.as_ref()).is_ok() {
            return Verdict::Yes;
        }
        let kept = tokio::spawn(async move {
            sleep(WRONG).await;
            drop(place);
        });
        // It ends by itself.
        let _ = kept.await;
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
        let guess = |_| {
            let (gate, password) = (Gate(gate.0.clone()), password.clone());
            tokio::spawn(async move { gate.try_password(&password, "wrong").await })
        };
        let guesses: Vec<_> = (0..40).map(guess).collect();
        let mut verdicts = Vec::new();
        for guess in guesses {
            verdicts.push(guess.await.unwrap());
        }
        let looked_at = verdicts.iter().filter(|&&verdict| verdict == Verdict::No).count();
        assert_eq!(begun.elapsed().as_secs() as usize * PLACES, looked_at, "{verdicts:?}");
        assert!(verdicts.contains(&Verdict::Busy));
        assert_eq!(gate.try_password(&password, "right").await, Verdict::Yes);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_wait_for_the_answer_has_guessed_all_the_same() {
        let (gate, password) = (Gate::default(), Password::new("right".to_owned()));
        for _ in 0..PLACES {
            let hasty = timeout(Duration::from_millis(1), gate.try_password(&password, "wrong"));
            assert!(hasty.await.is_err());
        }
        let begun = tokio::time::Instant::now();
        assert_eq!(gate.try_password(&password, "right").await, Verdict::Yes);
        assert!(begun.elapsed() > WRONG / 2, "{:?}", begun.elapsed());
    }
}
