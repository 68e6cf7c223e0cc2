//! Running one test: alone, and never longer than its limit.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
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

/// Set by `scripts/test.sh`: a test that fails runs once more. The first failure is told in a line that begins with `AGAIN:`,
/// and the script counts those: one of hundreds must not hide what all the others say, and some are a fault to be found.
const AGAIN: &str = "SIGHTLINE_TESTS_AGAIN";

/// Runs `test` when no other test of this process runs, and fails it after `limit`.
///
/// # Panics
/// When the test does, or when it is not done after `limit`.
pub fn alone(limit: Duration, test: impl AsyncFn()) {
    let _turn = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let run = || once(limit, &test);
    if std::env::var_os(AGAIN).is_some() { twice(run, |why| say(&format!("AGAIN: {why}"))) } else { run() }
}

/// Keeps a process that the test starts from running its part of it twice.
pub(crate) fn not_again(command: &mut Command) {
    command.env_remove(AGAIN);
}

/// Runs it, and once more when it fails, having told why.
fn twice(run: impl Fn(), tell: impl Fn(&str)) {
    let Err(failure) = catch_unwind(AssertUnwindSafe(&run)) else { return };
    let text = failure.downcast_ref::<String>().map(String::as_str).or(failure.downcast_ref::<&str>().copied());
    tell(text.unwrap_or("it failed and does not say why"));
    run();
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
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_test_has_a_second_try_and_no_third() {
        let runs = |failures: usize| {
            let (count, told) = (AtomicUsize::new(0), RefCell::new(Vec::new()));
            let run = || {
                let run = count.fetch_add(1, Ordering::Relaxed);
                assert!(run >= failures, "failure {run}");
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| twice(run, |why| told.borrow_mut().push(why.to_owned()))));
            (count.into_inner(), outcome.is_ok(), told.into_inner())
        };
        assert_eq!(runs(0), (1, true, vec![]));
        assert_eq!(runs(1), (2, true, vec!["failure 0".to_owned()]));
        assert_eq!(runs(2), (2, false, vec!["failure 0".to_owned()]));
    }
}
