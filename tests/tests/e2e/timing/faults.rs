//! Recovery from every fault within the time limits of [`FAULTS`](sightline_tests::faults::FAULTS).

use std::time::Duration;

use futures_util::future::join_all;
use sightline_tests::browser::Browser;
use sightline_tests::faults::strike_all;
use sightline_tests::run::{say, within};

#[test]
fn every_fault_recovers() {
    within(Duration::from_secs(600), async || {
        let browsers = Browser::start_all().await;
        // Concurrently: the browsers wait most of the time, and each has its own camera and relay.
        let all = join_all(browsers.iter().map(strike_all)).await;
        let mut failures = Vec::new();
        for (browser, outcomes) in browsers.iter().zip(all) {
            for outcome in outcomes {
                let outcome_of = format!("{}: {outcome:?}", browser.engine());
                say(&outcome_of);
                if outcome.healed.is_none() {
                    failures.push(outcome_of);
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    });
}
