//! Checks both pages with axe-core, which implements the machine-checkable rules of the WCAG. No finding is serious or
//! critical, in dark and in light. Lesser findings are printed.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use sightline_tests::browser::{self, Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::outcome::skip;
use sightline_tests::relay::Setup;
use sightline_tests::run::{say, until, within};

const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const WINDOW: (u32, u32) = (1280, 900);
const LIVE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(5);
/// The path to which `scripts/install.sh` installs it.
const AXE: &str = "../client/node_modules/axe-core/axe.min.js";

/// A rule that a page breaks.
#[derive(Debug, Deserialize)]
struct Violation {
    id: String,
    impact: Option<String>,
    help: String,
    /// The elements that break it, each as HTML and a description of the fault.
    elements: Vec<(String, String)>,
}

impl Violation {
    fn is_grave(&self) -> bool {
        matches!(self.impact.as_deref(), Some("serious" | "critical"))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, impact, help, elements } = self;
        write!(f, "{id} ({}): {help}", impact.as_deref().unwrap_or("no impact"))?;
        elements
            .iter()
            .try_for_each(|(html, why)| write!(f, "\n    {html}\n        {}", why.replace('\n', "\n        ")))
    }
}

/// axe-core's findings on a page.
#[derive(Debug, Deserialize)]
struct Findings {
    /// The number of rules that the page keeps.
    kept: usize,
    violations: Vec<Violation>,
}

/// axe-core's script. `None`, with a `SKIPPED:` line, if it is neither installed nor required.
fn axe() -> Option<String> {
    let script = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE)).ok();
    if script.is_none() {
        let missing = "axe-core is not installed (scripts/install.sh test)";
        assert!(!browser::required(), "{missing}, and SIGHTLINE_REQUIRE_BROWSERS is set");
        skip(missing);
    }
    script
}

/// Checks the page in its current state.
async fn check(browser: &Browser, axe: &str) -> Findings {
    browser.script(axe, vec![]).await;
    // WebDriver waits for the promise. Without `preload` axe does not wait for videos that never load.
    let script = "
        return axe.run({ resultTypes: ['violations'], preload: false }).then(found => ({
            kept: found.passes.length,
            violations: found.violations.map(({ id, impact, help, nodes }) =>
                ({ id, impact, help, elements: nodes.map(node => [node.html, node.failureSummary]) })),
        }));
    ";
    serde_json::from_value(browser.script(script, vec![]).await).expect("axe-core's findings")
}

/// Checks the page and prints the lesser findings. Returns the serious and critical ones, with the page's name.
async fn grave(browser: &Browser, axe: &str, page: &str) -> Vec<String> {
    let Findings { kept, violations } = check(browser, axe).await;
    assert!(kept > 10, "{page}: axe-core found {kept} rules to be kept");
    let (grave, other): (Vec<_>, Vec<_>) = violations.into_iter().partition(Violation::is_grave);
    say(&format!("{page}: {kept} rules kept, {} broken, {} of them gravely", other.len() + grave.len(), grave.len()));
    other.iter().for_each(|violation| say(&format!("{page}: {violation}")));
    grave.iter().map(|violation| format!("{page}: {violation}")).collect()
}

/// Makes all video white: text over it must stay readable, and axe-core does not check the contrast of text above a video.
async fn whiten(browser: &Browser) {
    let style = "<style>.tile :is(video, canvas) { visibility: hidden } .tile { background: #fff !important }</style>";
    browser.script("document.head.insertAdjacentHTML('beforeend', arguments[0])", vec![style.into()]).await;
}

async fn wait_for(browser: &Browser, selector: &str) {
    let script = "return document.querySelector(arguments[0]) !== null";
    let there = async || browser.script(script, vec![selector.into()]).await.as_bool().filter(|there| *there);
    until(&format!("{selector} in the page"), SOON, there).await;
}

#[test]
fn pages_have_no_serious_accessibility_finding() {
    within(Duration::from_secs(150), async || {
        let Some(axe) = axe() else { return };
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        let camera = Camera::shared(&[GATE, YARD]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut found = Vec::new();
        for scheme in ["dark", "light"] {
            let mut look = async |page: &str| found.extend(grave(&browser, &axe, &format!("{page}, {scheme}")).await);
            browser.emulate(WINDOW, scheme).await;

            browser.open(&relay.url("/")).await;
            browser.script("localStorage.clear()", vec![]).await;
            browser.reload().await;
            browser.wait_live("gate", LIVE).await;
            browser.wait_live("yard", LIVE).await;
            look("multiview").await;
            browser.press("article.tile", 'b').await;
            browser.press("article.tile", 's').await;
            wait_for(&browser, ".sidebar").await;
            wait_for(&browser, ".tile-statistics .line[d^=M]").await;
            look("multiview with sidebar and statistics").await;
            whiten(&browser).await;
            look("multiview with sidebar and statistics, over white pictures").await;

            browser.open(&relay.url("/?stream=nowhere")).await;
            let refused = |tile: &Tile| tile.state == TileState::Error;
            browser.wait_for_tile("nowhere", "an unknown stream to be refused", LIVE, refused).await;
            whiten(&browser).await;
            look("a stream that does not exist").await;

            browser.open(&relay.url("/test?stream=gate")).await;
            wait_for(&browser, "[name=start]:enabled").await;
            look("test page").await;
            browser.click("[name=start]").await;
            browser.wait_live("gate", LIVE).await;
            wait_for(&browser, ".test-curve .line[d^=M]").await;
            look("test page with a stream").await;
        }
        assert!(found.is_empty(), "axe-core found:\n{}", found.join("\n"));
    });
}

#[test]
fn accessibility_check_finds_a_planted_fault() {
    within(Duration::from_secs(90), async || {
        let Some(axe) = axe() else { return };
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        browser.open("data:text/html,<img src=data:,><p style='color:%23ccc;background:white'>pale</p>").await;
        let violations = check(&browser, &axe).await.violations;
        let grave: Vec<_> =
            violations.iter().filter(|violation| violation.is_grave()).map(ToString::to_string).collect();
        for wrong in ["image-alt (critical)", "color-contrast (serious)"] {
            assert!(grave.iter().any(|violation| violation.starts_with(wrong)), "{wrong} is not among {grave:#?}");
        }
    });
}
