//! Measures the recovery time after each fault.

use sightline_tests::browser::Engine;
use sightline_tests::faults::strike_all;

use crate::{Row, in_each};

pub(crate) async fn measure(engines: &[Engine]) -> Vec<Row> {
    in_each("faults", engines, async |browser| {
        let engine = browser.engine();
        eprintln!("faults: {engine} …");
        let outcomes = strike_all(browser).await;
        let row = outcomes.iter().map(|outcome| {
            let healed = outcome.healed.map_or("not healed".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
            Row::new(
                format!("{engine}: {:?} heals in", outcome.fault),
                healed,
                format!("{} s", outcome.limit.as_secs()),
            )
        });
        row.collect()
    })
    .await
}
