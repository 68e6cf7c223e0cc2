//! Prints the records of the end-to-end tests: seconds per test, slowest first, a total per lane, and every test that did not
//! pass. `report FILE` exits with 1 if a test failed or was cut off, or if too many were inconclusive.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use sightline_tests::outcome::{Outcome, Record};
use sightline_tests::run::lane;

/// More inconclusive tests than this mean that the machine cannot run the timing lane.
const INCONCLUSIVE_AT_MOST: usize = 2;

fn main() -> ExitCode {
    let file = std::env::args().nth(1).expect("usage: report FILE");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let lines =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: {error}: {line}")));
    let report = Report::of(lines);
    print!("{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The last record of each test.
struct Report(BTreeMap<String, Record>);

impl Report {
    fn of(records: impl Iterator<Item = Record>) -> Self {
        Self(records.map(|record| (record.test.clone(), record)).collect())
    }

    fn count(&self, outcome: Option<Outcome>) -> usize {
        self.0.values().filter(|record| record.outcome == outcome).count()
    }

    fn is_good(&self) -> bool {
        self.count(None) == 0
            && self.count(Some(Outcome::Failed)) == 0
            && self.count(Some(Outcome::Inconclusive)) <= INCONCLUSIVE_AT_MOST
    }
}

/// A test's outcome as the table shows it.
fn end(record: &Record) -> String {
    record.outcome.map_or_else(|| "CUT OFF".to_owned(), |outcome| outcome.to_string())
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut tests: Vec<_> = self.0.values().collect();
        tests.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        let mut lanes: BTreeMap<_, (usize, f64)> = BTreeMap::new();
        for record in &tests {
            writeln!(f, "{:8.1} s  {:<12} {:<8} {}", record.seconds, end(record), lane(&record.test), record.test)?;
            let (count, seconds) = lanes.entry(lane(&record.test)).or_default();
            (*count, *seconds) = (*count + 1, *seconds + record.seconds);
        }
        for (lane, (count, seconds)) in lanes {
            writeln!(f, "lane {lane}: {count} tests, {seconds:.0} s of tests")?;
        }
        for record in tests.iter().filter(|record| record.outcome != Some(Outcome::Passed)) {
            let mut line = format!("{}: {}", end(record), record.test);
            // The log has the rest of a long failure.
            let why: String = record.why.lines().next().unwrap_or_default().chars().take(300).collect();
            let _ = write!(line, ": {why}");
            writeln!(f, "{line}")?;
        }
        if self.count(Some(Outcome::Inconclusive)) > INCONCLUSIVE_AT_MOST {
            writeln!(
                f,
                "FAILED: more than {INCONCLUSIVE_AT_MOST} tests were inconclusive: the machine is too busy to measure"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(test: &str, outcome: Option<Outcome>, seconds: f64) -> Record {
        Record { test: test.to_owned(), outcome, seconds, why: "why\nmore".to_owned() }
    }

    #[test]
    fn report_is_slowest_first_with_lane_totals() {
        let records = [
            record("wire::a", None, 0.0),
            record("wire::a", Some(Outcome::Passed), 1.5),
            record("browser::page::b", Some(Outcome::Known), 3.0),
            record("browser::page::timing::c", Some(Outcome::Passed), 2.0),
        ];
        let report = Report::of(records.into_iter());
        assert!(report.is_good());
        let expected = "     3.0 s  KNOWN        browser  browser::page::b\n     2.0 s  passed       timing   browser::page::timing::c\n     1.5 s  passed       protocol wire::a\nlane browser: 1 tests, 3 s of tests\nlane protocol: 1 tests, 2 s of tests\nlane timing: 1 tests, 2 s of tests\nKNOWN: browser::page::b: why\n";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn cut_off_failed_and_many_inconclusive_tests_are_bad() {
        let bad = |records: &[Record]| !Report::of(records.iter().cloned()).is_good();
        assert!(bad(&[record("a", None, 0.0)]));
        assert!(bad(&[record("a", Some(Outcome::Failed), 1.0)]));
        let inconclusive = ["a", "b", "c"].map(|test| record(test, Some(Outcome::Inconclusive), 1.0));
        assert!(!bad(&inconclusive[..2]) && bad(&inconclusive));
    }
}
