//! The page's functions beside playback.

use std::time::Duration;

use serde::Deserialize;
use sightline_tests::browser::{Browser, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::until;

mod one_browser;
mod saved;
mod settings;

const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const DOOR: Mount = Mount { path: "door", kind: Kind::H264, mark: Rgb(0x20, 0xc0, 0x40) };
const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: Rgb(0xa0, 0x20, 0xa0) };

const LIVE: Duration = Duration::from_secs(40);
/// The time limit of the page's own actions.
const SOON: Duration = Duration::from_secs(8);
/// 20 of 50 frames, on a busy machine.
const MOVING: (Duration, u64) = (Duration::from_secs(2), 20);

// Code points of keys in WebDriver (section 17.4.2).
const TAB: char = '\u{E004}';
const ENTER: char = '\u{E007}';
const SHIFT: char = '\u{E008}';
const ESCAPE: char = '\u{E00C}';
const LEFT: char = '\u{E012}';
const RIGHT: char = '\u{E014}';
const DOWN: char = '\u{E015}';

/// The page's state besides video.
#[derive(Debug, Deserialize, PartialEq)]
struct Shown {
    /// The visible tiles, in order.
    tiles: Vec<String>,
    /// The number of visible statistics.
    statistics: usize,
    sidebar: bool,
    /// The settings in the sidebar.
    protocol: Option<String>,
    layout: Option<String>,
    /// The settings of single streams, by name.
    own: Vec<(String, String)>,
}

const SHOWN: &str = "
    const chosen = name => document.querySelector(`.sidebar input[name=${name}]:checked`)?.value ?? null;
    const seen = [...document.querySelectorAll('article.tile')].filter(tile => tile.checkVisibility());
    const own = [...document.querySelectorAll('.streams select')];
    return {
        tiles: seen.map(tile => tile.dataset.stream),
        statistics: document.querySelectorAll('.tile-statistics').length,
        sidebar: document.querySelector('.sidebar') !== null,
        protocol: chosen('protocol'),
        layout: chosen('layout'),
        own: own.filter(select => select.value).map(select => [select.getAttribute('aria-label').split(' ').at(-1), select.value]),
    };
";

async fn shown(browser: &Browser) -> Shown {
    serde_json::from_value(browser.script(SHOWN, vec![]).await).expect("what is shown")
}

async fn shows(browser: &Browser, what: &str, wanted: impl Fn(&Shown) -> bool) {
    let what = format!("{}: {what}", browser.engine());
    until(&what, SOON, async || wanted(&shown(browser).await).then_some(())).await;
}

async fn moves(browser: &Browser, stream: &str) {
    browser.wait_live(stream, LIVE).await;
    browser.wait_moving(stream, MOVING.0, MOVING.1, LIVE).await;
}

async fn scene(mounts: &[Mount]) -> (&'static Camera, Relay) {
    let camera = Camera::shared(mounts).await;
    let relay = Setup::config(camera.config()).start().await;
    (camera, relay)
}

/// The focused element, by its tile's name or its own value, and whether its focus is visible.
async fn focus(browser: &Browser) -> (String, bool) {
    let script = "
        const focused = document.activeElement;
        const style = getComputedStyle(focused);
        const name = focused.matches('article.tile') ? focused.dataset.stream : focused.value ?? focused.tagName;
        const ring = style => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
        const label = focused.nextElementSibling;
        return [name, focused.matches(':focus-visible') && (ring(style) || label !== null && ring(getComputedStyle(label)))];
    ";
    serde_json::from_value(browser.script(script, vec![]).await).expect("a name and whether it is seen")
}

/// Presses Tab until the element of that name has the focus. Every element on the path must show its focus.
async fn tab_to(browser: &Browser, name: &str) {
    let engine = browser.engine();
    let mut passed = Vec::new();
    for _ in 0..40 {
        browser.key(&[], TAB).await;
        let (focused, seen) = focus(browser).await;
        // After the last element, browsers focus their own buttons.
        assert!(seen || focused == "BODY", "{engine}: nothing shows that {focused} has the focus");
        passed.push(focused);
        if passed.last().is_some_and(|last| last == name) {
            return;
        }
    }
    panic!("{engine}: Tab does not lead to {name}, but through {passed:?}");
}
