//! Throttles password guesses, per client and for all clients together.
//!
//! - A wrong password holds one of a few permits of its client, and one of all clients, even if the client does not wait for
//!   the response. A client's permits are held longer the more it has guessed.
//! - One client can therefore not use up the permits of all. The form and the header have separate permits: a player with an
//!   old password does not lock out the browser beside it.
//! - A client that has sent the right password bypasses the throttle for [`ADMITTED`], so that its next requests do not wait.
//!   A client that guesses beside it, behind the same address, ends that after [`MISSES`] wrong passwords.
//! - The same wrong password again is no new guess: it waits, and takes no permit.
//!
//! A request with a session cookie does not come here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::secret::{Digest, Secret};
use crate::net::client::client_prefix;
use crate::net::rejections::LoginMethod;

/// Concurrent attempts of all clients together.
const PERMITS: usize = 16;
/// Concurrent attempts of one client by the form, and as many by headers.
const CLIENT_PERMITS: usize = 2;
/// The same for the clients without an address, behind a proxy that does not name them.
const UNKNOWN_PERMITS: usize = 4;
/// The shortest time that a wrong password holds its permits.
const WRONG: Duration = Duration::from_secs(1);
/// Wrong passwords after which the time doubles, and the most doublings.
const PATIENCE: u32 = 4;
const DOUBLINGS: u32 = 4;
/// Time after which a client's wrong passwords are forgotten.
const FORGET: Duration = Duration::from_secs(15 * 60);
/// Time limit to wait for a permit.
const QUEUE: Duration = Duration::from_secs(5);
/// Time that a client bypasses the throttle after the right password.
const ADMITTED: Duration = Duration::from_secs(60);
/// Wrong passwords that end it earlier: each is compared at once, which tells a guesser behind the same address whether it is right.
const MISSES: u32 = 64;
/// Maximum number of remembered clients. Further ones share the permits of the clients without an address.
const CLIENTS: usize = 4096;

/// The result of a password attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuessVerdict {
    Yes,
    No,
    /// This client's previous wrong password.
    Repeated,
    /// The throttle is full.
    Busy,
}

/// See the [module](self). Clones share the permits and the clients.
#[derive(Clone)]
pub(super) struct LoginThrottle {
    all: Arc<Semaphore>,
    clients: Arc<Mutex<HashMap<ThrottleKey, ThrottledClient>>>,
}

/// A client and whether it uses the form.
type ThrottleKey = (Option<IpAddr>, bool);

struct ThrottledClient {
    permits: Arc<Semaphore>,
    failures: u32,
    /// The digest of its last wrong password.
    last_wrong: Option<Digest>,
    /// Until when the right password is accepted at once.
    admitted: Option<Instant>,
    misses: u32,
    seen: Instant,
}

impl Default for LoginThrottle {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(PERMITS)), clients: Arc::default() }
    }
}

impl LoginThrottle {
    /// Compares `guess` with `secret`. `client` is absent behind a proxy that does not name its clients.
    pub(super) async fn try_password(
        &self,
        secret: &Arc<Secret>,
        guess: &str,
        method: LoginMethod,
        client: Option<IpAddr>,
    ) -> GuessVerdict {
        let digest = Digest::of(guess);
        let now = Instant::now();
        let key = self.key((client.map(client_prefix), method == LoginMethod::Form), now);
        let permits = {
            let mut clients = self.lock();
            let client = clients.entry(key).or_insert_with(|| ThrottledClient::new(key, now));
            if now >= client.seen + FORGET {
                client.failures = 0;
            }
            client.seen = now;
            if client.admitted.is_some_and(|until| now < until) {
                if secret.knows(digest) {
                    return GuessVerdict::Yes;
                }
                client.missed();
            }
            (client.last_wrong != Some(digest)).then(|| client.permits.clone())
        };
        let Some(permits) = permits else {
            sleep(WRONG).await;
            return GuessVerdict::Repeated;
        };
        let both = async { Some((permits.acquire_owned().await.ok()?, self.all.clone().acquire_owned().await.ok()?)) };
        let Ok(Some(both)) = timeout(QUEUE, both).await else { return GuessVerdict::Busy };
        // A task of its own: a client that disconnects must not get its permits back.
        let judged = tokio::spawn(self.clone().judge(secret.clone(), (guess.to_owned(), digest), key, both));
        judged.await.unwrap_or(GuessVerdict::Busy)
    }

    /// Compares `guess` with `secret`, and holds the permits of the client and of all for a wrong one.
    async fn judge(
        self,
        secret: Arc<Secret>,
        (guess, digest): (String, Digest),
        key: ThrottleKey,
        (of_client, of_all): (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) -> GuessVerdict {
        if secret.is(&guess).await {
            self.with(key, |client| {
                (client.admitted, client.misses, client.failures) = (Some(Instant::now() + ADMITTED), 0, 0);
            });
            return GuessVerdict::Yes;
        }
        let held = self.with(key, |client| client.failed(key, digest)).unwrap_or(WRONG);
        tokio::spawn(async move {
            sleep(held).await;
            drop(of_client);
        });
        sleep(WRONG).await;
        drop(of_all);
        GuessVerdict::No
    }

    /// The key under which a client is remembered. Forgets clients when there are too many.
    fn key(&self, key: ThrottleKey, now: Instant) -> ThrottleKey {
        let mut clients = self.lock();
        if clients.len() >= CLIENTS && !clients.contains_key(&key) {
            clients.retain(|&key, client| !client.is_idle(key, now));
            if clients.len() >= CLIENTS {
                return (None, key.1);
            }
        }
        key
    }

    fn with<T>(&self, key: ThrottleKey, change: impl FnOnce(&mut ThrottledClient) -> T) -> Option<T> {
        self.lock().get_mut(&key).map(change)
    }

    // A panic while the lock was held leaves at worst one guess uncounted.
    fn lock(&self) -> MutexGuard<'_, HashMap<ThrottleKey, ThrottledClient>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn permits(key: ThrottleKey) -> usize {
    if key.0.is_some() { CLIENT_PERMITS } else { UNKNOWN_PERMITS }
}

impl ThrottledClient {
    fn new(key: ThrottleKey, now: Instant) -> Self {
        let permits = Arc::new(Semaphore::new(permits(key)));
        Self { permits, failures: 0, last_wrong: None, admitted: None, misses: 0, seen: now }
    }

    /// Counts a wrong password while the client bypasses the throttle.
    fn missed(&mut self) {
        self.misses += 1;
        if self.misses >= MISSES {
            self.admitted = None;
        }
    }

    /// Counts a wrong password and returns the time that it holds the client's permit. It does not grow for clients without an
    /// address: one of them would lock out the others.
    fn failed(&mut self, key: ThrottleKey, guess: Digest) -> Duration {
        self.last_wrong = Some(guess);
        self.failures = self.failures.saturating_add(1);
        let doublings = if key.0.is_some() { (self.failures / PATIENCE).min(DOUBLINGS) } else { 0 };
        WRONG * (1 << doublings)
    }

    fn is_idle(&self, key: ThrottleKey, now: Instant) -> bool {
        self.permits.available_permits() == permits(key) && now >= self.seen + FORGET
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::access::secret::FOREIGN;
    use crate::config::Password;
    use LoginMethod::{Basic, Form};

    fn secret() -> Arc<Secret> {
        Arc::new(Secret::new(&Password::new("right".to_owned())))
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    /// Starts `count` wrong guesses, no two of them equal.
    async fn flood(throttle: &Arc<LoginThrottle>, client: Option<IpAddr>, method: LoginMethod, count: usize) {
        for n in 0..count {
            let throttle = throttle.clone();
            tokio::spawn(async move { throttle.try_password(&secret(), &format!("wrong {n}"), method, client).await });
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_of_one_client_are_limited_and_slow_down() {
        let throttle = LoginThrottle::default();
        let mut judged = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            let guesses = (0..20).map(|n| format!("{n} at {:?}", begun.elapsed()));
            let secret = secret();
            let verdicts = guesses.map(|guess| {
                let (throttle, secret) = (&throttle, &secret);
                async move { throttle.try_password(secret, &guess, Basic, address(1)).await }
            });
            judged.extend(join_all(verdicts).await);
        }
        let guessed = judged.iter().filter(|&&verdict| verdict == GuessVerdict::No).count();
        assert!((16..=32).contains(&guessed), "{guessed} of {} in a minute", judged.len());
        assert!(judged.contains(&GuessVerdict::Busy));
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_client_delays_no_other_client_and_not_its_own_form() {
        let throttle = Arc::new(LoginThrottle::default());
        flood(&throttle, address(1), Basic, 200).await;
        for (client, method) in [(address(2), Basic), (address(2), Form), (address(1), Form), (None, Basic)] {
            let begun = Instant::now();
            assert_eq!(throttle.try_password(&secret(), "right", method, client).await, GuessVerdict::Yes);
            assert_eq!(begun.elapsed(), Duration::ZERO, "{client:?} {method:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn admitted_client_does_not_wait_behind_guesses_from_its_own_address() {
        let throttle = Arc::new(LoginThrottle::default());
        let secret = secret();
        let right = || throttle.try_password(&secret, "right", Basic, address(1));
        assert_eq!(right().await, GuessVerdict::Yes);
        flood(&throttle, address(1), Basic, MISSES as usize - 1).await;
        let begun = Instant::now();
        assert_eq!((right().await, begun.elapsed()), (GuessVerdict::Yes, Duration::ZERO));
        flood(&throttle, address(1), Basic, 1).await;
        assert_eq!(right().await, GuessVerdict::Busy, "guesses beside an admitted client are limited too");
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_wrong_password_takes_no_permit() {
        let throttle = LoginThrottle::default();
        let (secret, begun) = (secret(), Instant::now());
        let guess = |text| throttle.try_password(&secret, text, Basic, address(1));
        assert_eq!(guess("old").await, GuessVerdict::No);
        for verdict in join_all((0..50).map(|_| guess("old"))).await {
            assert_eq!(verdict, GuessVerdict::Repeated);
        }
        assert_eq!(begun.elapsed(), WRONG * 2);
        assert_eq!((guess("right").await, begun.elapsed()), (GuessVerdict::Yes, WRONG * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_guess_holds_its_permit() {
        let (throttle, secret) = (LoginThrottle::default(), secret());
        for n in 0..CLIENT_PERMITS {
            let guess = format!("wrong {n}");
            let hasty = throttle.try_password(&secret, &guess, Form, address(1));
            assert!(timeout(Duration::from_millis(1), hasty).await.is_err());
        }
        let begun = Instant::now();
        let right = throttle.try_password(&secret, "right", Form, address(1));
        assert_eq!(right.await, GuessVerdict::Yes);
        assert!(begun.elapsed() > WRONG / 2, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn guess_at_a_hash_holds_its_permit_although_its_client_has_left() {
        let secret = Arc::new(Secret::new(&Password::new(FOREIGN.to_owned())));
        let throttle = LoginThrottle::default();
        for n in 0..CLIENT_PERMITS {
            let guess = format!("wrong {n}");
            let hasty = throttle.try_password(&secret, &guess, Form, address(1));
            assert!(timeout(Duration::ZERO, hasty).await.is_err(), "the hash takes a while");
        }
        let begun = Instant::now();
        assert_eq!(throttle.try_password(&secret, "password", Form, address(1)).await, GuessVerdict::Yes);
        assert!(begun.elapsed() > WRONG / 2, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn remembered_clients_are_bounded() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for n in 0..CLIENTS as u32 {
            let key = (Some(IpAddr::V4(n.into())), false);
            assert_eq!(throttle.key(key, now), key);
            throttle.lock().insert(key, ThrottledClient::new(key, now));
        }
        let next = (address(1), false);
        assert_eq!(throttle.key(next, now), (None, false), "shares the permits of unknown clients");
        assert_eq!(throttle.key(next, now + FORGET), next);
        assert!(throttle.lock().is_empty());
    }
}
