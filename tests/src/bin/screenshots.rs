//! `make screenshots`: captures both pages with the built-in cameras, in light and dark, at the sizes of a phone, a laptop and
//! a wall screen. The files in `target/screenshots/` are for review by latency_probe.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine};
use sightline_tests::relay::Setup;

const SIZES: [(&str, (u32, u32)); 3] = [("phone", (390, 844)), ("laptop", (1440, 900)), ("wall", (3840, 2160))];
const STREAMS: [&str; 5] = ["cam0", "cam1", "cam2", "cam3", "mixer_program"];
const LIVE: Duration = Duration::from_secs(40);
/// Video has reached its steady latency by then, and the statistics' curves have data.
const LATER: Duration = Duration::from_secs(6);

#[tokio::main]
async fn main() {
    let relay = Setup::demo().start().await;
    let Some(browser) = Browser::start(Engine::Chromium).await else { return };
    for scheme in ["dark", "light"] {
        for (size_name, size) in SIZES {
            browser.emulate(size, scheme).await;
            browser.open(&relay.url("/")).await;
            browser.script("localStorage.clear()", vec![]).await;
            browser.reload().await;
            everything_live(&browser).await;
            tokio::time::sleep(LATER).await;
            keep(&browser, &format!("multiview-{size_name}-{scheme}")).await;
            browser.press("article.tile", 'b').await;
            browser.press("article.tile", 's').await;
            tokio::time::sleep(LATER).await;
            keep(&browser, &format!("settings-{size_name}-{scheme}")).await;
            browser.open(&relay.url("/test?stream=cam0")).await;
            browser.script("localStorage.clear()", vec![]).await;
            browser.click("[name=start]").await;
            browser.wait_live("cam0", LIVE).await;
            tokio::time::sleep(LATER).await;
            keep(&browser, &format!("test-{size_name}-{scheme}")).await;
        }
    }
}

async fn everything_live(browser: &Browser) {
    for stream in STREAMS {
        browser.wait_live(stream, LIVE).await;
    }
}

async fn keep(browser: &Browser, name: &str) {
    println!("{}", browser.screenshot(name).await.display());
}
