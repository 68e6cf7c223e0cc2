//! Caches the provider's keys. It refreshes them periodically, and earlier for a token with an unknown key, which is how a
//! provider rotates its keys. Clients are untrusted, so early refreshes are limited to one per half minute. All requests that
//! need a refresh wait for the same one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jsonwebtoken::Header;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::keys::{self, Key};
use super::source::{self, KeysError};
use crate::config::KeySource;
use crate::net::escaped::Escaped;

/// Interval of periodic refreshes, and so the longest time that a revoked key stays valid while refreshes succeed.
const PERIOD: Duration = Duration::from_secs(3600);
/// Minimum interval of early refreshes, and the retry interval after an error.
const PAUSE: Duration = Duration::from_secs(30);
/// Both intervals for a file, which is cheap to read.
const FILE: Duration = Duration::from_secs(5);

/// See the [module](self).
pub(super) struct JwksCache {
    state: watch::Receiver<State>,
    ask: Arc<Notify>,
}

#[derive(Default)]
struct State {
    keys: Vec<Key>,
    /// No early refresh before this time.
    quiet: Option<Instant>,
}

impl JwksCache {
    /// Follows `source` until `shutdown`. Has no keys until the first successful refresh.
    pub(super) fn follow(source: KeySource, shutdown: CancellationToken) -> Self {
        let (period, pause) = match &source {
            KeySource::File(_) => (FILE, FILE),
            KeySource::Url(_) => (PERIOD, PAUSE),
        };
        let load = move || {
            let source = source.clone();
            async move { source::load(&source).await }
        };
        Self::renewed_by(load, period, pause, shutdown)
    }

    fn renewed_by<F, L>(load: L, period: Duration, pause: Duration, shutdown: CancellationToken) -> Self
    where
        L: Fn() -> F + Send + 'static,
        F: Future<Output = Result<Vec<Key>, KeysError>> + Send,
    {
        let (sender, state) = watch::channel(State::default());
        let ask = Arc::new(Notify::new());
        let mut refresher = JwksRefresher { state: sender, ask: ask.clone(), period, pause, last_logged: None };
        tokio::spawn(async move { shutdown.run_until_cancelled(refresher.refresh_loop(load)).await });
        Self { state, ask }
    }

    /// The key that signed a token with this header. Waits for a refresh if the key is unknown.
    pub(super) async fn find(&self, header: &Header) -> Option<Key> {
        let mut state = self.state.clone();
        {
            let known = state.borrow_and_update();
            let found = keys::find(&known.keys, header);
            let quiet = known.quiet.is_some_and(|until| until > Instant::now());
            if found.is_some() || quiet || !keys::may_be_new(&known.keys, header) {
                return found.cloned();
            }
        }
        self.ask.notify_one();
        // A fetch has its own time limit, and an earlier one may be in progress.
        let _ = timeout(source::LIMIT * 2, state.changed()).await;
        keys::find(&state.borrow().keys, header).cloned()
    }
}

/// The task that refreshes the keys.
struct JwksRefresher {
    state: watch::Sender<State>,
    ask: Arc<Notify>,
    period: Duration,
    pause: Duration,
    /// The last logged message.
    last_logged: Option<String>,
}

impl JwksRefresher {
    async fn refresh_loop<F>(&mut self, load: impl Fn() -> F)
    where
        F: Future<Output = Result<Vec<Key>, KeysError>>,
    {
        let (mut asked, mut quiet) = (false, None);
        loop {
            let found = load().await;
            self.tell(&found);
            let next = Instant::now() + if found.is_ok() { self.period } else { self.pause };
            if asked {
                quiet = Some(Instant::now() + self.pause);
            }
            // Requests until now are answered by this refresh.
            let _ = self.ask.notified().now_or_never();
            self.state.send_modify(|state| {
                state.quiet = quiet;
                if let Ok(keys) = found {
                    state.keys = keys;
                }
            });
            let wanted = async {
                if let Some(until) = quiet {
                    sleep_until(until).await;
                }
                self.ask.notified().await;
            };
            asked = tokio::select! {
                () = sleep_until(next) => false,
                () = wanted => true,
            };
        }
    }

    /// Logs the result of a refresh if it differs from the previous one.
    fn tell(&mut self, found: &Result<Vec<Key>, KeysError>) {
        let news = match found {
            Ok(keys) => {
                keys.iter().map(|key| key.id.as_deref().unwrap_or("one without kid")).collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        };
        if self.last_logged.as_ref() == Some(&news) {
            return;
        }
        if found.is_ok() {
            info!(kid = %Escaped(&news), "identity provider keys");
        } else {
            error!("the identity provider's keys could not be read; keeping the earlier ones: {}", Escaped(&news));
        }
        self.last_logged = Some(news);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::super::tests::Signer;
    use super::*;

    /// A provider's keys, and the number of fetches.
    #[derive(Default)]
    struct Provider {
        keys: Mutex<Vec<Key>>,
        looks: AtomicU32,
    }

    impl Provider {
        fn known(self: &Arc<Self>) -> JwksCache {
            let provider = self.clone();
            let load = move || {
                let provider = provider.clone();
                async move {
                    provider.looks.fetch_add(1, Ordering::Relaxed);
                    // The longest time that a response may take.
                    sleep(source::LIMIT).await;
                    let keys = provider.keys.lock().unwrap().clone();
                    if keys.is_empty() { Err(KeysError::NoSet("nowhere".to_owned())) } else { Ok(keys) }
                }
            };
            JwksCache::renewed_by(load, PERIOD, PAUSE, CancellationToken::new())
        }

        fn looks(&self) -> u32 {
            self.looks.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_keys_cause_one_fetch_in_half_a_minute_whose_key_all_waiting_tokens_get() {
        let [old, new] = ["old", "new"].map(Signer::es256);
        let provider = Arc::new(Provider::default());
        provider.keys.lock().unwrap().push(old.key());
        let known = Arc::new(provider.known());
        // Before the first fetch has ended, requests wait.
        assert!(known.find(&old.header()).await.is_some());
        assert_eq!(provider.looks(), 1);
        *provider.keys.lock().unwrap() = vec![new.key()];
        assert!(known.find(&old.header()).await.is_some(), "nobody has asked yet");
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let (known, header) = (known.clone(), new.header());
                tokio::spawn(async move { known.find(&header).await.is_some() })
            })
            .collect();
        for found in waiting {
            assert!(found.await.unwrap());
        }
        assert_eq!(provider.looks(), 2);
        assert!(known.find(&old.header()).await.is_none(), "it was taken back");
        let strange = Signer::es256("strange");
        let begun = Instant::now();
        for _ in 0..1000 {
            assert!(known.find(&strange.header()).await.is_none());
        }
        assert_eq!((provider.looks(), begun.elapsed()), (2, Duration::ZERO), "and nobody waits in vain");
        sleep(PAUSE).await;
        assert!(known.find(&strange.header()).await.is_none());
        assert_eq!(provider.looks(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_looked_at_now_and_then_and_stay_when_there_are_none_to_be_had() {
        let signer = Signer::es256("a");
        let provider = Arc::new(Provider::default());
        let known = provider.known();
        assert!(known.find(&signer.header()).await.is_none(), "the first fetch fails");
        provider.keys.lock().unwrap().push(signer.key());
        sleep(PAUSE + source::LIMIT * 2).await;
        assert!(known.state.borrow().keys.len() == 1, "it was tried again");
        provider.keys.lock().unwrap().clear();
        let before = provider.looks();
        sleep(PERIOD + source::LIMIT).await;
        assert!(provider.looks() > before);
        assert!(known.find(&signer.header()).await.is_some(), "they stay");
    }
}
