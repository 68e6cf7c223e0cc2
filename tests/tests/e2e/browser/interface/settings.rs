//! Persistent settings, keyboard operation, and a wall page without controls.

use std::time::Duration;

use serde_json::{Value, json};
use sightline_tests::browser::WALL;
use sightline_tests::run::within;

use super::*;

#[test]
fn settings_survive_a_reload_and_invalid_ones_are_ignored() {
    within(Duration::from_secs(240), async || {
        let (_camera, relay) = scene(&[GATE, YARD, DOOR]).await;
        Browser::each(async |browser| {
            let engine = browser.engine();
            browser.resize(WALL).await;
            browser.open(&relay.url("/")).await;
            browser.wait_live("gate", LIVE).await;
            browser.key(&[], 'b').await;
            shows(browser, "the sidebar", |shown| shown.sidebar && shown.tiles.len() == 3).await;
            browser.click(".option:has([name=protocol][value=mse])").await;
            browser.click(".chip:has([name=layout][value='2'])").await;
            browser.click(".streams select[aria-label$=yard] option[value=hls]").await;
            browser.script("document.querySelector('article[data-stream=gate]').focus()", vec![]).await;
            // The focus must follow the moved tile.
            for (key, order) in [
                (RIGHT, ["yard", "gate", "door"]),
                (RIGHT, ["yard", "door", "gate"]),
                (LEFT, ["yard", "gate", "door"]),
                (LEFT, ["gate", "yard", "door"]),
                (RIGHT, ["yard", "gate", "door"]),
            ] {
                assert_eq!(focus(browser).await.0, "gate", "{engine}");
                browser.key(&[SHIFT], key).await;
                shows(browser, &format!("{order:?}"), |shown| shown.tiles == order).await;
            }
            assert_eq!(focus(browser).await.0, "gate", "{engine}");
            // A moved video continues to play.
            moves(browser, "gate").await;
            let chosen = shown(browser).await;
            assert_eq!((chosen.protocol.as_deref(), chosen.layout.as_deref()), (Some("mse"), Some("2")), "{engine}");
            assert_eq!(chosen.own, [("yard".to_owned(), "hls".to_owned())], "{engine}");

            browser.reload().await;
            browser.wait_live("gate", LIVE).await;
            assert_eq!(shown(browser).await, chosen, "{engine}: after a reload");

            nonsense(browser).await;
        })
        .await;
    });
}

/// Corrupt stored settings: the page starts, applies the parts that it understands, and overwrites the rest.
async fn nonsense(browser: &Browser) {
    let engine = browser.engine();
    let foreign =
        r#"{"protocol":"carrier-pigeon","layout":"focus","sidebar":true,"streams":[7],"order":{"a":1},"v":9}"#;
    for (kept, layout) in [("{{{ \u{0} nonsense", None), (foreign, Some("focus")), ("null", None)] {
        browser.script("localStorage.sightline = arguments[0]", vec![json!(kept)]).await;
        browser.reload().await;
        browser.wait_live("door", LIVE).await;
        let now = shown(browser).await;
        assert_eq!((now.tiles.len(), now.layout.as_deref()), (3, layout), "{engine}: {kept}");
        assert_eq!(now.protocol.as_deref(), layout.map(|_| "auto"), "{engine}: {kept}");
        browser.key(&[], 's').await;
        shows(browser, "statistics", |shown| shown.statistics == 3).await;
        let text = browser.script("return localStorage.sightline", vec![]).await;
        let written: Value = serde_json::from_str(text.as_str().expect("a text")).expect("JSON");
        assert_eq!((&written["statistics"], &written["protocol"]), (&json!(true), &json!("auto")), "{engine}");
    }
}

#[test]
fn keyboard_controls_everything_and_a_kiosk_needs_no_input() {
    within(Duration::from_secs(240), async || {
        let (_camera, relay) = scene(&[GATE, YARD]).await;
        Browser::each(async |browser| {
            let engine = browser.engine();
            browser.open(&relay.url("/")).await;
            browser.wait_live("yard", LIVE).await;
            tab_to(browser, "gate").await;
            browser.key(&[], RIGHT).await;
            let moved = async || (focus(browser).await == ("yard".to_owned(), true)).then_some(());
            until(&format!("{engine}: the focus on the next tile"), SOON, moved).await;
            browser.key(&[], ENTER).await;
            shows(browser, "one picture", |shown| shown.tiles == ["yard"]).await;
            browser.key(&[], LEFT).await;
            shows(browser, "the camera before", |shown| shown.tiles == ["gate"]).await;
            browser.key(&[], RIGHT).await;
            shows(browser, "the next camera", |shown| shown.tiles == ["yard"]).await;
            browser.key(&[], ESCAPE).await;
            shows(browser, "all pictures", |shown| shown.tiles == ["gate", "yard"]).await;
            assert_eq!(focus(browser).await.0, "yard", "{engine}: the focus stays");
            for statistics in [2, 0] {
                browser.key(&[], 's').await;
                shows(browser, "statistics or none", |shown| shown.statistics == statistics).await;
            }
            browser.key(&[], 'b').await;
            shows(browser, "the sidebar", |shown| shown.sidebar).await;

            // Starts from the top of the page, where the sidebar is, which the reload kept open.
            browser.reload().await;
            browser.wait_live("yard", LIVE).await;
            tab_to(browser, "auto").await;
            browser.key(&[], DOWN).await;
            shows(browser, "the next protocol", |shown| shown.protocol.as_deref() == Some("mse")).await;
            // Radio buttons ignore letters.
            browser.key(&[], 's').await;
            shows(browser, "statistics", |shown| shown.statistics == 2).await;
            browser.key(&[], 's').await;
            tab_to(browser, "gate").await;

            wall(browser, &relay).await;
        })
        .await;
    });
}

/// The page shows only video and the options in the URL, regardless of the stored settings.
async fn wall(browser: &Browser, relay: &Relay) {
    let engine = browser.engine();
    let look = async || -> (usize, usize, f64, String) {
        let script = "
            const other = document.querySelectorAll('button, input, select, aside, footer, a').length;
            const statistics = document.querySelectorAll('.tile-statistics').length;
            const widths = [...document.querySelectorAll('article.tile')].map(tile => tile.offsetWidth / innerWidth);
            return [other, statistics, Math.min(...widths), localStorage.sightline];
        ";
        serde_json::from_value(browser.script(script, vec![]).await).expect("three numbers and a text")
    };
    let kept = look().await.3;
    assert!(kept.contains("\"sidebar\":true"), "{engine}: {kept}");
    browser.open(&relay.url("/?stream=gate&controls=none&layout=1")).await;
    browser.wait_live("gate", LIVE).await;
    let (other, statistics, ..) = look().await;
    assert_eq!((other, statistics), (0, 0), "{engine}");
    // In one column, each of two tiles is as wide as the window except for a scroll bar.
    browser.open(&relay.url("/?stream=gate&stream=yard&controls=none&layout=1&statistics")).await;
    moves(browser, "gate").await;
    let (other, statistics, width, still) = look().await;
    assert_eq!((other, statistics), (0, 2), "{engine}");
    assert!(width > 0.95, "{engine}: {width}");
    assert_eq!(still, kept, "{engine}: what an address asks for is not kept");
}
