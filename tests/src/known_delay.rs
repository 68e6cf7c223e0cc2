//! Measures the error of the latency probe. A page draws a clock that is wrong by a known delay and shows it in a video.
//! Nothing is encoded or sent, so the probe reads that delay plus the browser's time from canvas to screen, at most one frame.

use std::collections::HashMap;
use std::time::Duration;

use crate::browser::Browser;
use crate::http::Server;
use crate::run::until;
use crate::stats::median;

/// The page's frame interval.
pub const FRAME: Duration = Duration::from_millis(40);
/// The time limit from navigation to first frame.
const SHOWN: Duration = Duration::from_secs(10);
/// The duration of the measurement.
const SPAN: Duration = Duration::from_secs(2);

/// The page that shows frames of a known age.
#[derive(Debug)]
pub struct KnownDelay {
    server: Server,
}

impl KnownDelay {
    /// Serves the page.
    pub async fn start() -> Self {
        let page = include_bytes!("known_delay.html").to_vec();
        Self { server: Server::start(HashMap::from([("/", ("text/html", page))])).await }
    }

    /// The median of the ages that the probe reads, in ms, for frames that are `delay_ms` old.
    ///
    /// # Panics
    /// When the page shows no clock.
    pub async fn read(&self, browser: &Browser, delay_ms: u32) -> f64 {
        browser.open(&self.server.url(&format!("/?ms={delay_ms}"))).await;
        let shown = "return document.querySelector('video').videoWidth > 0";
        let what = format!("{}: pictures of a known age", browser.engine());
        until(&what, SHOWN, async || browser.script(shown, vec![]).await.as_bool().filter(|&shown| shown)).await;
        let mut watch = browser.open_latency_probe_on_page().await;
        browser.collect_for(&mut watch, SPAN).await;
        let ages: Vec<f64> = watch.samples.iter().map(|sample| sample.truth_ms).collect();
        assert!(ages.len() > 25, "{what}: {watch:?}");
        median(ages)
    }
}
