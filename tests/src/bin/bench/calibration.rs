//! Measures the error of the latency probe with frames of known age. See `known_delay`.

use sightline_tests::browser::Browser;
use sightline_tests::browser::Engine;
use sightline_tests::known_delay::{FRAME, KnownDelay};

use crate::{Row, in_each};

/// Ages, in ms.
const DELAYS: [u32; 3] = [0, 150, 1000];

pub(crate) async fn measure(engines: &[Engine]) -> Vec<Row> {
    let page = KnownDelay::start().await;
    in_each("calibration", engines, async |browser: &Browser| {
        let engine = browser.engine();
        eprintln!("calibration: {engine} …");
        let mut errors = Vec::new();
        for delay in DELAYS {
            errors.push(format!("{:+.0}", page.read(browser, delay).await - f64::from(delay)));
        }
        let what = format!("{engine}: read of frames {DELAYS:?} ms old, beside that");
        vec![Row::new(what, format!("{} ms", errors.join(", ")), format!("5 + {} ms", FRAME.as_millis()))]
    })
    .await
}
