//! An operator's use of the page: enlarging a tile and going back, by mouse and keyboard, and streams that appear and
//! disappear.

use std::time::Duration;

use rustix::process::Signal;
use sightline_tests::browser::{Browser, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::run::{until, within};

const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const LIVE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(3);
/// A tile pauses after two seconds out of sight. The rest is a reserve for a busy machine.
const PAUSED: Duration = Duration::from_secs(8);
/// The page requests the catalogue every ten seconds.
const CATALOGUE: Duration = Duration::from_secs(20);
const ENTER: char = '\u{E007}';
const ESCAPE: char = '\u{E00C}';

/// The visible tiles, and the first one's share of the window's width.
async fn visible(browser: &Browser) -> (Vec<String>, f64) {
    let script = "
        const seen = [...document.querySelectorAll('article.tile')].filter(tile => tile.checkVisibility());
        return [seen.map(tile => tile.dataset.stream), seen.length ? seen[0].offsetWidth / innerWidth : 0];
    ";
    serde_json::from_value(browser.script(script, vec![]).await).expect("names and a number")
}

async fn sees(browser: &Browser, names: &[&str]) {
    let what = format!("{}: {names:?} to be seen alone, not {:?}", browser.engine(), visible(browser).await.0);
    until(&what, SOON, async || (visible(browser).await.0 == names).then_some(())).await;
}

#[test]
fn tile_goes_solo_and_back_by_mouse_and_keyboard() {
    within(Duration::from_secs(240), async || {
        let camera = Camera::shared(&[GATE, YARD]).await;
        let relay = Setup::config(camera.config()).start().await;
        Browser::each(async |browser| {
            browser.open(&relay.url("/")).await;
            browser.wait_live("gate", LIVE).await;
            browser.wait_live("yard", LIVE).await;

            browser.double_click("article[data-stream=yard]").await;
            sees(browser, &["yard"]).await;
            // The transition takes a fifth of a second.
            let what = format!("{}: it to have nearly all of the window's width", browser.engine());
            until(&what, SOON, async || (visible(browser).await.1 > 0.9).then_some(())).await;
            browser.wait_moving("yard", SOON, 30, LIVE).await;
            let paused = |tile: &Tile| tile.state == TileState::Paused;
            browser.wait_for_tile("gate", "the tile that is out of sight to pause", PAUSED, paused).await;
            browser.press("article[data-stream=yard]", ESCAPE).await;
            sees(browser, &["gate", "yard"]).await;
            browser.wait_live("gate", LIVE).await;

            browser.press("article[data-stream=gate]", ENTER).await;
            sees(browser, &["gate"]).await;
            browser.press("article[data-stream=gate]", ENTER).await;
            sees(browser, &["gate", "yard"]).await;
        })
        .await;
    });
}

#[test]
fn stream_list_updates_without_a_reload() {
    within(Duration::from_secs(180), async || {
        let camera = Camera::shared(&[GATE, YARD]).await;
        let mut relay = Setup::config(camera.config_of(["gate"])).start().await;
        let browsers = Browser::start_all().await;
        for browser in &browsers {
            browser.open(&relay.url("/")).await;
            browser.script("window.kept = true", vec![]).await;
            browser.wait_live("gate", LIVE).await;
        }
        for streams in [&["gate", "yard"][..], &["yard"]] {
            relay.configure(camera.config_of(streams.iter().copied()));
            relay.end(Signal::TERM, SOON * 2).await;
            relay.restart().await;
            for browser in &browsers {
                let engine = browser.engine();
                let there = async || (browser.streams().await == streams).then_some(());
                until(&format!("{engine}: {streams:?}"), CATALOGUE, there).await;
                browser.wait_live("yard", LIVE).await;
                assert_eq!(browser.script("return window.kept", vec![]).await, true, "{engine}");
            }
        }
    });
}
