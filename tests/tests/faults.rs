//! Everything that happens to a viewer heals by itself, within the time that [`FAULTS`](sightline_tests::faults::FAULTS)
//! states.

use std::time::Duration;

use sightline_tests::browser::Browser;
use sightline_tests::faults::strike_all;
use sightline_tests::run::{alone, say};

#[test]
fn every_fault_heals_by_itself() {
    alone(Duration::from_secs(600), async || {
        let mut failures = Vec::new();
        for browser in Browser::start_all().await {
            let engine = browser.engine();
            for outcome in strike_all(&browser).await {
                say(&format!("{engine}: {outcome:?}"));
                if outcome.healed.is_none() {
                    failures.push(format!("{engine}: {outcome:?}"));
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    });
}
