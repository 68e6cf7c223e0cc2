//! The outcome of a test, and its record, which `bin/report` turns into a table.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine_load::Load;
use crate::quarantine;
use crate::run::say;

/// The environment variable with the file to which every test appends a [`Record`] as one line of JSON.
pub(crate) const RECORDS: &str = "SIGHTLINE_TESTS_RECORDS";

/// The message with which GLib 2.74 aborts WebKitGTK's web process about once in a hundred page loads. Its `g_check_setuid`
/// mistakes an `errno` left by a signal handler for the failure of a call that cannot fail.
const GLIB_ABORT: &str = "getauxval () failed: Interrupted system call";

thread_local! {
    /// Events in the test of this thread that may excuse its failure.
    static NOTES: RefCell<Notes> = const { RefCell::new(Notes { skipped: None, glib_aborted: false }) };
}

#[derive(Debug, Default)]
struct Notes {
    skipped: Option<String>,
    glib_aborted: bool,
}

/// The outcome of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All expectations held.
    Passed,
    /// An expectation failed. Fails the run.
    Failed,
    /// The machine lacks something that a part of the test needs.
    Skipped,
    /// A timing test failed while the machine was too busy to measure.
    Inconclusive,
    /// The test failed because GLib aborted WebKitGTK's web process.
    Known,
    /// The test failed, and is in [`quarantine`].
    Quarantined,
}

impl Outcome {
    /// Determines the outcome from this thread's notes.
    fn of(failed: bool, test: &str, load: Option<Load>, notes: &Notes) -> Self {
        match (failed, notes) {
            (true, Notes { glib_aborted: true, .. }) => Self::Known,
            (true, _) if quarantine::entry(test).is_some_and(|entry| !entry.is_expired()) => Self::Quarantined,
            (true, _) if load.is_some_and(|load| load.is_too_high()) => Self::Inconclusive,
            (true, _) => Self::Failed,
            (false, Notes { skipped: Some(_), .. }) => Self::Skipped,
            (false, _) => Self::Passed,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Known => "KNOWN",
            Self::Quarantined => "QUARANTINED",
        })
    }
}

/// A test's entry in the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The test's path.
    pub test: String,
    /// Its outcome. None while it runs.
    pub outcome: Option<Outcome>,
    /// Its duration.
    pub seconds: f64,
    /// The cause, if it did not pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Records that the machine lacks something that a part of this test needs, and prints it.
pub fn skip(why: &str) {
    say(&format!("SKIPPED: {why}"));
    NOTES.with_borrow_mut(|notes| notes.skipped = Some(why.to_owned()));
}

/// Records a process's output if it explains a failure of the test.
pub(crate) fn note_output(text: &str) {
    if text.contains(GLIB_ABORT) {
        NOTES.with_borrow_mut(|notes| notes.glib_aborted = true);
    }
}

/// Records the beginning of a test. A test with a beginning and no end in the records was cut off.
pub(crate) fn begin(test: &str) {
    NOTES.take();
    record(&Record { test: test.to_owned(), outcome: None, seconds: 0.0, why: String::new() });
}

/// Determines and records the outcome of a test that has ended.
pub(crate) fn end(test: &str, failure: Option<&(dyn Any + Send)>, took: Duration, load: Option<Load>) -> Outcome {
    let notes = NOTES.take();
    let outcome = Outcome::of(failure.is_some(), test, load, &notes);
    let text = failure.map(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("it failed without a message").to_owned()
    });
    let mut why = text.or(notes.skipped).unwrap_or_default();
    if let Some(load) = load {
        say(&format!("{test}: {load}"));
        why = format!("{why} ({load})");
    }
    if let Some(entry) = quarantine::entry(test).filter(|_| outcome == Outcome::Quarantined) {
        why = format!("{} ({why})", entry.cause);
    }
    let why = if outcome == Outcome::Passed { String::new() } else { why };
    if !matches!(outcome, Outcome::Passed | Outcome::Skipped) {
        say(&format!("{outcome}: {test}: {why}"));
    }
    record(&Record { test: test.to_owned(), outcome: Some(outcome), seconds: took.as_secs_f64(), why });
    outcome
}

/// Appends to the file that the environment names, if any.
fn record(record: &Record) {
    let Some(file) = std::env::var_os(RECORDS) else { return };
    let line = serde_json::to_string(record).expect("a record is JSON") + "\n";
    let file = std::fs::OpenOptions::new().append(true).create(true).open(&file);
    // A single short write to a file opened for appending does not interleave with those of other processes.
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| say(&format!("the record of {} is lost: {error}", record.test)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Load = Load { p95_ms: 0.2, max_ms: 3.0, pressure: Some(0.3) };
    const BUSY: Load = Load { p95_ms: 40.0, max_ms: 300.0, pressure: None };

    #[test]
    fn failure_is_excused_by_a_cause_only() {
        let nothing = Notes::default;
        let aborted = Notes { glib_aborted: true, ..Notes::default() };
        let skipped = Notes { skipped: Some("no browser".to_owned()), ..Notes::default() };
        assert_eq!(Outcome::of(false, "a::b", Some(BUSY), &nothing()), Outcome::Passed);
        assert_eq!(Outcome::of(true, "a::b", None, &nothing()), Outcome::Failed);
        assert_eq!(Outcome::of(true, "a::b", Some(IDLE), &nothing()), Outcome::Failed);
        assert_eq!(Outcome::of(true, "a::b", Some(BUSY), &nothing()), Outcome::Inconclusive);
        assert_eq!(Outcome::of(true, "a::b", None, &aborted), Outcome::Known);
        assert_eq!(Outcome::of(false, "a::b", None, &skipped), Outcome::Skipped);
        assert_eq!(Outcome::of(true, "a::b", None, &skipped), Outcome::Failed);
    }

    #[test]
    fn only_the_message_of_glib_is_known() {
        begin("a::b");
        note_output("WebKitWebProcess: segmentation fault");
        assert_eq!(end("a::b", Some(&"the page crashed"), Duration::ZERO, None), Outcome::Failed);
        note_output("(WebKitWebProcess:77): GLib-ERROR **: getauxval () failed: Interrupted system call");
        assert_eq!(end("a::b", Some(&"the page crashed"), Duration::ZERO, None), Outcome::Known);
        assert_eq!(end("a::b", Some(&"again"), Duration::ZERO, None), Outcome::Failed, "a note is of one test");
    }
}
