//! Runs a test in a new thread, within a time limit, and records its outcome.

use std::any::type_name_of_val;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::http::ANSWER;
use crate::machine_load::Probe;
use crate::outcome::{self, Outcome};

/// The time limit for dropping browsers, relay and camera after a test's own limit. After it the test is given up.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// The interval of [`throughout`], and the first of [`until`].
const POLL: Duration = Duration::from_millis(40);
/// The longest interval of [`until`]: each probe of a browser's page slows the video that it waits for.
const LONGEST_POLL: Duration = Duration::from_millis(200);

/// Runs `test` once, and fails it after `limit`.
///
/// # Panics
/// When the test panics without an excuse (see [`Outcome`]), or exceeds `limit`.
pub fn within(limit: Duration, test: impl AsyncFn() + Send + 'static) {
    let name = name_of(&test);
    let begun = Instant::now();
    let probe = (lane(&name) == "timing").then(Probe::start);
    let (sender, receiver) = channel();
    // A test that blocks its thread cannot be timed out from inside. The thread is abandoned, and its child processes end with
    // this process (see `process::sweep_at_exit`).
    let thread = {
        let name = name.clone();
        std::thread::Builder::new().name(name.clone()).spawn(move || {
            outcome::begin(&name);
            let result = catch_unwind(AssertUnwindSafe(|| on_runtime(limit, &test)));
            let load = probe.map(Probe::read);
            let failure = result.as_ref().err().map(AsRef::as_ref);
            let outcome = outcome::end(&name, failure, begun.elapsed(), load);
            let _ = sender.send((outcome, result));
        })
    };
    thread.expect("a thread");
    match receiver.recv_timeout(limit + CLEAN_UP) {
        Ok((Outcome::Failed, Err(failure))) => resume_unwind(failure),
        Ok(_) => {}
        Err(RecvTimeoutError::Timeout) => {
            let hangs = format!("{name} hangs: neither done nor cleaned up {CLEAN_UP:?} after its limit of {limit:?}");
            outcome::end(&name, Some(&hangs), begun.elapsed(), None);
            panic!("{hangs}");
        }
        Err(RecvTimeoutError::Disconnected) => panic!("{name} ended without an outcome"),
    }
}

/// The lane that a test's path declares. `scripts/test.sh` selects tests by the same rule.
pub fn lane(test: &str) -> &'static str {
    match test {
        test if test.contains("timing::") => "timing",
        test if test.contains("browser::") => "browser",
        _ => "protocol",
    }
}

/// The path of a test: libtest names its threads so, except when it runs tests on the main thread.
pub(crate) fn name_of(test: &impl AsyncFn()) -> String {
    let thread = std::thread::current();
    let of_type = || type_name_of_val(test).trim_end_matches("::{{closure}}").to_owned();
    match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        // Removes the crate's name.
        _ => of_type().split_once("::").map_or_else(of_type, |(_, path)| path.to_owned()),
    }
}

fn on_runtime(limit: Duration, test: &impl AsyncFn()) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        // Pinned here, so that its waits go on until they are named.
        let mut running = pin!(test());
        tokio::select! {
            biased;
            () = &mut running => {}
            () = tokio::time::sleep(limit) => {
                let waits = WAITS.with_borrow(|waits| waits.values().cloned().collect::<Vec<_>>().join("; "));
                panic!("the test was not done within its limit of {limit:?}; it waits for: {waits}");
            }
        }
    });
}

thread_local! {
    /// What the test of this thread waits for, in order of beginning.
    static WAITS: RefCell<BTreeMap<u64, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Names what the test waits for while this value lives, for the message of a test that exceeds its limit.
#[derive(Debug)]
#[must_use = "the wait ends when this is dropped"]
pub struct Wait(u64);

impl Wait {
    /// A wait for `what`.
    pub fn begin(what: impl Into<String>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        WAITS.with_borrow_mut(|waits| waits.insert(number, what.into()));
        Self(number)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // A task may end on another thread than it began on, or after the thread's values.
        let _ = WAITS.try_with(|waits| waits.borrow_mut().remove(&self.0));
    }
}

/// Calls `probe` until it returns something, at most for `limit`. The interval grows with the elapsed time. A call may exceed
/// `limit` by [`ANSWER`].
///
/// # Panics
/// After `limit`, with `what` in the message.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let (start, _wait) = (Instant::now(), Wait::begin(what));
    loop {
        let rest = limit.saturating_sub(start.elapsed()) + ANSWER;
        let found = tokio::time::timeout(rest, probe()).await;
        let found = found.unwrap_or_else(|_| panic!("waited {limit:?} for {what}: the last probe has no answer"));
        if let Some(found) = found {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep((start.elapsed() / 10).clamp(POLL, LONGEST_POLL)).await;
    }
}

/// Checks that `probe` stays true for `span`: for events that must not occur.
///
/// # Panics
/// As soon as `probe` is false, with `what` in the message.
pub async fn throughout(what: &str, span: Duration, mut probe: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(probe().await, "{what} did not hold: broken after {:?} of {span:?}", start.elapsed());
        tokio::time::sleep(POLL).await;
    }
}

/// Writes a line that the test runner does not capture, so that passing tests show it as well.
pub fn say(line: &str) {
    // Ignores a closed standard error.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_test_has_no_second_try() {
        use std::sync::Arc;
        use std::sync::atomic::AtomicUsize;
        let runs = Arc::new(AtomicUsize::new(0));
        let count = runs.clone();
        let failing = move || {
            within(Duration::from_secs(5), async move || {
                let run = count.fetch_add(1, Ordering::Relaxed);
                panic!("failure {run}");
            });
        };
        assert!(catch_unwind(AssertUnwindSafe(failing)).is_err());
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn limit_ends_a_test_that_waits_for_ever() {
        let waiting = || {
            within(Duration::from_millis(50), async || {
                drop(Wait::begin("another answer"));
                let _wait = Wait::begin("an answer");
                std::future::pending::<()>().await;
            });
        };
        let failure = catch_unwind(waiting).expect_err("it cannot pass");
        let text = failure.downcast_ref::<String>().expect("a text");
        assert!(text.ends_with("within its limit of 50ms; it waits for: an answer"), "{text}");
    }
}
