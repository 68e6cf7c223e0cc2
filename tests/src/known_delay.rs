//! How far the eye itself is from the truth: a page draws the clock at this moment, as one that is older by so much, and
//! shows it in a video. Nothing is encoded or sent, so what is read is that age, and what the browser takes from a canvas to
//! the screen: a frame at most.

use std::collections::HashMap;
use std::time::Duration;

use crate::browser::Browser;
use crate::figures::median;
use crate::http::Server;
use crate::run::until;

/// The page draws one so often.
pub const FRAME: Duration = Duration::from_millis(40);
/// From the page's address to its first picture.
const SHOWN: Duration = Duration::from_secs(10);
/// What is measured over.
const SPAN: Duration = Duration::from_secs(3);

/// The page that shows pictures of a known age.
#[derive(Debug)]
pub struct KnownDelay {
    server: Server,
}

impl KnownDelay {
    /// Serves it.
    pub async fn start() -> Self {
        let page = include_bytes!("known_delay.html").to_vec();
        Self { server: Server::start(HashMap::from([("/", ("text/html", page))])).await }
    }

    /// The age that the eye finds in the median, in ms, where it is `delay_ms`.
    ///
    /// # Panics
    /// When the page shows no clock.
    pub async fn read(&self, browser: &Browser, delay_ms: u32) -> f64 {
        browser.open(&self.server.url(&format!("/?ms={delay_ms}"))).await;
        let shown = "return document.querySelector('video').videoWidth > 0";
        let what = format!("{}: pictures of a known age", browser.engine());
        until(&what, SHOWN, async || browser.script(shown, vec![]).await.as_bool().filter(|&shown| shown)).await;
        let mut watch = browser.open_eye_on_page().await;
        browser.collect_for(&mut watch, SPAN).await;
        let ages: Vec<f64> = watch.samples.iter().map(|sample| sample.truth_ms).collect();
        assert!(ages.len() > 25, "{what}: {watch:?}");
        median(ages)
    }
}
