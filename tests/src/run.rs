//! Running one test: alone, and never longer than its limit.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tests run one after the other: three browsers and two encoders at once fill a small machine, and a test that
/// measures time would then measure its neighbours.
static ALONE: Mutex<()> = Mutex::new(());

/// How long dropping browsers, relay and camera may take after a test's limit, before the whole process is ended.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// How often [`until`] looks again: well below anything a test measures, and cheap.
const POLL: Duration = Duration::from_millis(40);

/// Runs `test` when no other test of this process runs, and fails it after `limit`. A test that fails because the system's
/// browser crashed, in the one way that is known not to be the page's fault, runs once more: see [`browser_crashed`].
///
/// # Panics
/// When the test does, or when it is not done after `limit`.
pub fn alone(limit: Duration, test: impl AsyncFn()) {
    let _turn = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // `scripts/test.sh` counts these lines.
    forgiving(|| once(limit, &test), || say("AGAIN: the system's browser crashed, not the page"));
}

/// Runs it, and once more when the browser's crash is why it fails.
fn forgiving(run: impl Fn(), tell: impl Fn()) {
    CRASHED.store(false, Ordering::Relaxed);
    let Err(failure) = catch_unwind(AssertUnwindSafe(&run)) else { return };
    if !CRASHED.swap(false, Ordering::Relaxed) {
        resume_unwind(failure);
    }
    tell();
    run();
}

/// Whether a browser has crashed in the test that runs.
static CRASHED: AtomicBool = AtomicBool::new(false);

/// Tells [`alone`] that a crash of the system's browser is why this test fails.
pub(crate) fn browser_crashed() {
    CRASHED.store(true, Ordering::Relaxed);
}

fn once(limit: Duration, test: &impl AsyncFn()) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let (done, watch) = channel::<()>();
    // A test that blocks its thread cannot be timed out from within. Ending the process ends its children too: see
    // `process::sweep_at_exit`.
    std::thread::spawn(move || {
        if watch.recv_timeout(limit + CLEAN_UP) == Err(RecvTimeoutError::Timeout) {
            say(&format!("a test hangs: neither done nor cleaned up {CLEAN_UP:?} after its limit of {limit:?}"));
            std::process::abort();
        }
    });
    let outcome = runtime.block_on(async { tokio::time::timeout(limit, test()).await });
    drop(done);
    assert!(outcome.is_ok(), "the test was not done within its limit of {limit:?}");
}

/// Looks again and again until `probe` has something, at most for `limit`.
///
/// # Panics
/// When `limit` is over; the text then says `what` was waited for.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Watches that `probe` stays true for `span`: for what must not happen, where no event can be waited for.
///
/// # Panics
/// As soon as `probe` is false; the text then says `what` did not hold.
pub async fn throughout(what: &str, span: Duration, mut probe: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(probe().await, "{what} did not hold: broken after {:?} of {span:?}", start.elapsed());
        tokio::time::sleep(POLL).await;
    }
}

/// Writes a line that the test runner does not capture, so that it is seen for tests that pass, too.
pub fn say(line: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn only_a_crash_of_the_browser_earns_a_test_a_second_run_and_only_one() {
        let runs = |crashes: usize, fails: usize| {
            let count = AtomicUsize::new(0);
            let run = || {
                let run = count.fetch_add(1, Ordering::Relaxed);
                if run < crashes {
                    browser_crashed();
                }
                assert!(run >= fails, "as planned");
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| forgiving(run, || {})));
            (count.into_inner(), outcome.is_ok())
        };
        assert_eq!(runs(0, 0), (1, true));
        assert_eq!(runs(0, 1), (1, false), "a failure is a failure");
        assert_eq!(runs(1, 1), (2, true));
        assert_eq!(runs(2, 2), (2, false), "twice is no accident");
    }
}
