//! The display of tiles, in windows of several sizes: only Chromium's window can be resized by a test.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sightline_tests::browser::Engine;
use sightline_tests::run::{say, within};

use super::*;

/// After this time, controls without focus are hidden.
const HIDDEN: Duration = Duration::from_millis(3800);
/// Typical camera names.
const CAMERAS: [&str; 16] = [
    "front-door",
    "yard",
    "gate",
    "garage",
    "hall",
    "loading-bay",
    "parking-north",
    "parking-south",
    "roof",
    "lobby",
    "stairs",
    "workshop",
    "store",
    "office",
    "kitchen",
    "reception",
];
/// Small, because sixteen streams are decoded at once.
const SMALL: Mount = Mount { path: "small", kind: Kind::Sized(320, 180), mark: Rgb(0x20, 0x40, 0xc0) };
/// A phone upright and on its side, a laptop, a control room's screen.
const WINDOWS: [(u32, u32); 4] = [(390, 844), (844, 390), (1400, 900), (1920, 1080)];
/// The share of a tile that may be covered at rest.
const COVERED_MAX: f64 = 0.02;

/// Whether all tiles in the window are live and the controls have hidden.
const AT_REST: &str = "
    const { tiles } = window.wall ??= { tiles: () => [...document.querySelectorAll('article.tile')].filter(tile => {
        const { width, top, bottom } = tile.getBoundingClientRect();
        return width > 0 && top < innerHeight && bottom > 0;
    }) };
    const hidden = [...document.querySelectorAll('.tile-bar, .tile-facts, .sidebar-open')]
        .every(element => getComputedStyle(element).opacity === '0');
    return hidden && tiles().length > 0 && tiles().every(tile => tile.dataset.state === 'live');
";

/// For each tile in the window, the covered share: the union of the boxes of all elements with a background, a border, text or
/// lines.
const COVERED: &str = r"
    const opaque = element => !element || getComputedStyle(element).opacity !== '0' && opaque(element.parentElement);
    const painted = element => {
        const { backgroundColor, backgroundImage, borderTopWidth } = getComputedStyle(element);
        return backgroundImage !== 'none' || !/, 0\)$/.test(backgroundColor) || parseFloat(borderTopWidth) > 0
            || element instanceof SVGElement
            || [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
    };
    const over = [...document.querySelectorAll('article.tile *, .sidebar-open, .sidebar-open *')]
        .filter(element => !element.matches('video, canvas') && element.checkVisibility() && opaque(element) && painted(element))
        .map(element => element.getBoundingClientRect());
    return window.wall.tiles().map(tile => {
        const { left, top, width, height } = tile.getBoundingClientRect();
        const size = [Math.round(width), Math.round(height)];
        const mask = new Uint8Array(size[0] * size[1]);
        const clip = (value, limit) => Math.max(0, Math.min(limit, Math.round(value)));
        for (const box of over)
            for (let y = clip(box.top - top, size[1]); y < clip(box.bottom - top, size[1]); y++)
                mask.fill(1, y * size[0] + clip(box.left - left, size[0]), y * size[0] + clip(box.right - left, size[0]));
        return mask.reduce((sum, one) => sum + one, 0) / mask.length;
    });
";

async fn at_rest(browser: &Browser, what: &str) {
    let rests = async || (browser.script(AT_REST, vec![]).await == true).then_some(());
    until(&format!("{what}: live tiles without controls"), LIVE, rests).await;
}

#[test]
fn tiles_at_rest_are_covered_by_less_than_two_percent() {
    within(Duration::from_secs(180), async || {
        let camera = Camera::shared(&[SMALL]).await;
        let streams =
            CAMERAS.map(|name| format!("[streams.{name}]\nsource = \"{}\"\n", camera.url(SMALL.path))).concat();
        let relay = Setup::config(format!("[ingest]\nlow = false\n{streams}")).start().await;
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        for count in [1, 9, 16] {
            let names: Vec<_> = CAMERAS[..count].iter().map(|name| format!("stream={name}")).collect();
            browser.open(&relay.url(&format!("/?protocol=mse&{}", names.join("&")))).await;
            for window in WINDOWS {
                let what = format!("{count} tiles at {window:?}");
                browser.emulate(window, "light").await;
                at_rest(&browser, &what).await;
                let covered: Vec<f64> =
                    serde_json::from_value(browser.script(COVERED, vec![]).await).expect("a share for each tile");
                let most = covered.iter().copied().fold(0.0, f64::max);
                say(&format!("{what}: {:.2} % of a tile is covered at most", most * 100.0));
                browser.screenshot(&format!("wall-{count}-{}x{}", window.0, window.1)).await;
                // The share is not 0 because a tile shows its name.
                assert!(covered.iter().all(|share| (1e-4..COVERED_MAX).contains(share)), "{what}: {covered:?}");
                let black = "return [document.querySelector('.multiview'), document.documentElement]
                    .every(element => getComputedStyle(element).backgroundColor === 'rgb(0, 0, 0)')";
                assert_eq!(browser.script(black, vec![]).await, true, "{what}: behind the wall it is black");
            }
        }
    });
}

/// The opacity of the controls, 0 to 1: those of the first tile, and the menu button.
async fn visible_controls(browser: &Browser) -> (String, String) {
    let script = "
        const opacity = selector => getComputedStyle(document.querySelector(selector)).opacity;
        return [opacity('article.tile .tile-bar'), opacity('.sidebar-open')];
    ";
    serde_json::from_value(browser.script(script, vec![]).await).expect("two numbers")
}

async fn controls_are(browser: &Browser, what: &str, tile: &str, menu: &str) {
    let wanted = (tile.to_owned(), menu.to_owned());
    until(what, SOON, async || (visible_controls(browser).await == wanted).then_some(())).await;
}

#[test]
fn controls_hide_without_input_and_stay_at_keyboard_focus() {
    within(Duration::from_secs(60), async || {
        let (_camera, relay) = scene(&[GATE]).await;
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        browser.open(&relay.url("/?stream=gate&protocol=mse")).await;
        browser.wait_live("gate", LIVE).await;
        at_rest(&browser, "after three seconds").await;
        let cursor = "return getComputedStyle(document.querySelector('article.tile')).cursor";
        assert_eq!(browser.script(cursor, vec![]).await, "none");
        browser.hover("article.tile").await;
        controls_are(&browser, "controls under the pointer", "1", "1").await;
        at_rest(&browser, "the pointer rests").await;
        // Keys work before an element has the focus.
        browser.key(&[], DOWN).await;
        controls_are(&browser, "a key to show the controls", "1", "1").await;
        assert_eq!(focus(&browser).await, ("gate".to_owned(), true));
        // A button with keyboard focus must be visible.
        browser.key(&[], TAB).await;
        tokio::time::sleep(HIDDEN).await;
        assert_eq!(focus(&browser).await, ("".to_owned(), true));
        controls_are(&browser, "controls with the focus", "1", "1").await;
    });
}

/// A tile's description of its fault.
#[derive(Debug, Deserialize)]
struct Fault {
    state: String,
    title: Option<String>,
    line: Option<String>,
    can_retry: bool,
}

async fn fault(browser: &Browser) -> Fault {
    let script = "
        const tile = document.querySelector('article.tile');
        const text = selector => tile?.querySelector(selector)?.textContent ?? null;
        // The page has no tile until its program has started.
        return {
            state: tile?.dataset.state ?? 'none',
            title: text('.tile-title'),
            line: text('.tile-fault .tile-age'),
            can_retry: !!tile?.querySelector('.tile-retry'),
        };
    ";
    serde_json::from_value(browser.script(script, vec![]).await).expect("a fault")
}

async fn fault_is(browser: &Browser, title: &str) -> Fault {
    until(title, LIVE, async || Some(fault(browser).await).filter(|fault| fault.title.as_deref() == Some(title))).await
}

#[test]
fn fault_keeps_its_reason_while_it_is_retried() {
    within(Duration::from_secs(120), async || {
        let mut relay = Setup::config("[streams.gone]\nsource = \"rtsp://127.0.0.1:9/x\"\n").start().await;
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        browser.open(&relay.url("/?stream=gone&protocol=mse")).await;
        let first = fault_is(&browser, "Camera not reachable").await;
        assert!(!first.can_retry, "the relay retries: {first:?}");
        // The relay retries every few seconds.
        let (begun, mut lines) = (Instant::now(), Vec::new());
        while begun.elapsed() < SOON {
            let Fault { state, title, line, .. } = fault(&browser).await;
            assert_eq!((state.as_str(), title.as_deref()), ("offline", Some("Camera not reachable")));
            lines.extend(line);
            lines.dedup();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(lines.iter().any(|line| line.contains("tries") && line.contains("next try in")), "{lines:?}");
        assert!(lines.len() >= 5, "it counts down: {lines:?}");

        let advice = async |visible: bool| {
            let script = "return document.querySelector('.tile-message').checkVisibility()";
            until("advice on demand", SOON, async || (browser.script(script, vec![]).await == visible).then_some(()))
                .await;
        };
        advice(false).await;
        browser.click(".tile-fault summary").await;
        advice(true).await;

        relay.end(Signal::TERM, SOON).await;
        fault_is(&browser, "Relay connection lost").await;
        relay.restart().await;
        // The tile may have recovered already.
        browser.script("document.querySelector('.tile-retry')?.click()", vec![]).await;
        let back = fault_is(&browser, "Camera not reachable").await;
        assert_eq!(back.state, "offline");
    });
}
