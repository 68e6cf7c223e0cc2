//! The three browsers, driven by WebDriver, each with its own driver (and display) that ends with it.
//!
//! Programs are looked up in PATH, and where Debian and this project put those that are not in it; `CHROMIUM`,
//! `CHROMEDRIVER`, `FIREFOX`, `GECKODRIVER`, `MINIBROWSER`, `WEBKITWEBDRIVER` and `XVFB` override them. A browser that is
//! not there is reported on a line that begins with `SKIPPED:`, or, with `SIGHTLINE_REQUIRE_BROWSERS=1`, fails the test.

mod devtools;
mod downloads;
mod eye;
mod opening;
mod page;

use std::env;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use downloads::Saved;
pub use eye::{STALL, Sample, Summary, Watch};
pub use opening::{LOOK_ON, Opening};
pub use page::{MARK_POINTS, Rgb, Tile, TileState};

use crate::http;
use crate::process::Owned;
use crate::run::{say, until};
use crate::sound_card::SoundCard;

/// A driver is up within a second or two; a cold disk and a busy machine take longer.
const START: Duration = Duration::from_secs(30);

/// Width and height of a window, where a browser can be told.
const WINDOW: (u32, u32) = (1280, 900);

/// A browser engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Chromium: on Linux without a GPU it has no H.265, so the relay must fall back to H.264 for it.
    Chromium,
    /// Firefox: plays H.265 as it comes.
    Firefox,
    /// WebKitGTK's MiniBrowser: plays H.265 as it comes, has ManagedMediaSource.
    WebKit,
}

impl Engine {
    /// Every engine there is a driver for.
    pub const ALL: [Self; 3] = [Self::Chromium, Self::Firefox, Self::WebKit];

    /// Whether it plays H.265 on Linux in software.
    pub fn plays_h265(self) -> bool {
        self != Self::Chromium
    }

    fn browser(self) -> Option<PathBuf> {
        match self {
            Self::Chromium => installed("CHROMIUM", &["chromium", "google-chrome"]),
            Self::Firefox => installed("FIREFOX", &["firefox-esr", "firefox"]),
            Self::WebKit => {
                let arch = env::consts::ARCH;
                let place = |api: &str| format!("/usr/lib/{arch}-linux-gnu/webkit2gtk-{api}/MiniBrowser");
                installed("MINIBROWSER", &[&place("4.1"), &place("4.0")])
            }
        }
    }

    fn driver(self) -> Option<PathBuf> {
        match self {
            Self::Chromium => installed("CHROMEDRIVER", &["chromedriver"]),
            Self::Firefox => {
                let home = env::var("HOME").unwrap_or_default();
                let ours = format!("{home}/.cache/sightline/tools/bin/geckodriver");
                installed("GECKODRIVER", &[&ours, "geckodriver"])
            }
            Self::WebKit => installed("WEBKITWEBDRIVER", &["WebKitWebDriver"]),
        }
    }

    fn capabilities(self, browser: &Path, autoplay: Autoplay) -> Value {
        match self {
            Self::Chromium => json!({
                "goog:chromeOptions": {
                    "binary": browser,
                    "args": [
                        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        // So that a page's memory can be told from its garbage.
                        "--js-flags=--expose-gc", "--enable-precise-memory-info",
                        "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required",
                        format!("--window-size={},{}", WINDOW.0, WINDOW.1),
                    ]
                },
                "goog:loggingPrefs": { "browser": "ALL" },
            }),
            Self::Firefox => json!({
                "moz:firefoxOptions": {
                    "binary": browser,
                    "args": ["-headless"],
                    // Beside the first, they keep Firefox from calling home.
                    "prefs": {
                        "media.autoplay.default": autoplay as u8,
                        "app.normandy.enabled": false,
                        "browser.safebrowsing.malware.enabled": false,
                        "browser.safebrowsing.phishing.enabled": false,
                        "media.gmp-manager.updateEnabled": false,
                        "network.captive-portal-service.enabled": false,
                        "network.connectivity-service.enabled": false,
                        "nimbus.rollouts.enabled": false,
                        "services.settings.server": "data:,",
                    },
                }
            }),
            Self::WebKit => json!({ "webkitgtk:browserOptions": { "binary": browser, "args": ["--automation"] } }),
        }
    }

    fn driver_arguments(self, port: u16) -> Vec<String> {
        match self {
            Self::Chromium => vec![format!("--port={port}")],
            // Marionette and BiDi have fixed default ports, which a second Firefox would not get.
            Self::Firefox => ["--port", &port.to_string(), "--marionette-port", "0", "--websocket-port", "0"]
                .map(str::to_owned)
                .to_vec(),
            Self::WebKit => vec![format!("--port={port}")],
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chromium => "Chromium",
            Self::Firefox => "Firefox",
            Self::WebKit => "WebKitGTK",
        })
    }
}

/// The program that the variable names, or the first of `places` that is there: a path, or a name to look up in PATH.
fn installed(variable: &str, places: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let find = |place: &&str| {
        let folders = if place.contains('/') { vec![PathBuf::new()] } else { env::split_paths(&path).collect() };
        folders.into_iter().map(|folder| folder.join(place)).find(|program| program.is_file())
    };
    env::var_os(variable).map(PathBuf::from).or_else(|| places.iter().find_map(find))
}

/// Whether videos play without a tap, as Firefox's `media.autoplay.default` has it. The other engines refuse only sound.
#[derive(Debug, Clone, Copy)]
enum Autoplay {
    /// All.
    Allowed = 0,
    /// None, whether they can be heard or not.
    Refused = 5,
}

/// A browser with one window. It, its driver and its display end with this.
#[derive(Debug)]
pub struct Browser {
    engine: Engine,
    client: Client,
    driver: SocketAddr,
    // Dropped in this order: the display must outlive what draws on it.
    _driver_process: Owned,
    _display: Option<Owned>,
    _files: TempDir,
}

impl Browser {
    /// Starts a browser on a machine without sound; `None`, said loudly, where it is not installed and not required.
    ///
    /// # Panics
    /// When it does not start, or is required and not installed.
    pub async fn start(engine: Engine) -> Option<Self> {
        Self::start_with(engine, &[("PULSE_SERVER", "unix:/nonexistent")], Autoplay::Allowed).await
    }

    /// The same of Firefox, which its user has told to play nothing without a tap.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_without_autoplay() -> Option<Self> {
        Self::start_with(Engine::Firefox, &[("PULSE_SERVER", "unix:/nonexistent")], Autoplay::Refused).await
    }

    /// The same, to be heard by that card.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_with_sound(engine: Engine, card: &SoundCard) -> Option<Self> {
        Self::start_with(engine, &[("PULSE_SERVER", &card.address())], Autoplay::Allowed).await
    }

    async fn start_with(engine: Engine, environment: &[(&str, &str)], autoplay: Autoplay) -> Option<Self> {
        let (Some(browser), Some(driver)) = (engine.browser(), engine.driver()) else {
            let missing = format!("{engine} or its driver is not installed");
            assert!(!required(), "{missing}, and SIGHTLINE_REQUIRE_BROWSERS is set");
            say(&format!("SKIPPED: {missing}"));
            return None;
        };
        let files = tempfile::tempdir().expect("a temporary directory");
        let display = match engine {
            Engine::WebKit => Some(start_display().await),
            Engine::Chromium | Engine::Firefox => None,
        };
        let (driver, address) = start_driver(engine, &driver, display.as_ref(), environment, files.path()).await;
        let client = start_session(engine, engine.capabilities(&browser, autoplay), &format!("http://{address}")).await;
        Some(Self {
            engine,
            client,
            driver: address,
            _driver_process: driver,
            _display: display.map(|(owned, _)| owned),
            _files: files,
        })
    }

    /// Starts every engine that is installed.
    pub async fn start_all() -> Vec<Self> {
        let mut browsers = Vec::new();
        for engine in Engine::ALL {
            browsers.extend(Self::start(engine).await);
        }
        browsers
    }

    /// Which engine it is.
    pub fn engine(&self) -> Engine {
        self.engine
    }
}

/// Whether what is missing on this machine fails a test rather than skips it: `SIGHTLINE_REQUIRE_BROWSERS=1`.
pub fn required() -> bool {
    env::var("SIGHTLINE_REQUIRE_BROWSERS").is_ok_and(|value| value == "1")
}

/// An X server of its own, and the name of its display.
async fn start_display() -> (Owned, String) {
    let xvfb = env::var("XVFB").unwrap_or_else(|_| "Xvfb".to_owned());
    let mut command = Command::new(xvfb);
    command.args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]);
    let display = Owned::start("Xvfb", &mut command).expect("Xvfb is installed");
    let number = |line: &str| line.trim().parse::<u32>().ok();
    let number = display.stdout.wait_for("Xvfb's display number", START, number).await;
    (display, format!(":{number}"))
}

/// The driver and its address, once it answers.
async fn start_driver(
    engine: Engine,
    program: &Path,
    display: Option<&(Owned, String)>,
    environment: &[(&str, &str)],
    files: &Path,
) -> (Owned, SocketAddr) {
    let port = free_port();
    let mut command = Command::new(program);
    command.args(engine.driver_arguments(port)).env("TMPDIR", files).envs(environment.iter().copied());
    command.envs([("MOZ_HEADLESS_WIDTH", WINDOW.0.to_string()), ("MOZ_HEADLESS_HEIGHT", WINDOW.1.to_string())]);
    if let Some((_, name)) = display {
        command.env("DISPLAY", name).env_remove("WAYLAND_DISPLAY");
        // Without an address GLib starts a program to find one, for every player.
        command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
        if rustix::process::geteuid().is_root() {
            // Its sandbox needs user namespaces that root in a container does not have.
            command.env("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1");
        }
    }
    let driver = Owned::start(&format!("driver of {engine}"), &mut command).expect("the driver starts");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let what = format!("the driver of {engine} to answer");
    until(&what, START, async || http::get(address, "/status").await.ok()).await;
    (driver, address)
}

async fn start_session(engine: Engine, capabilities: Value, driver: &str) -> Client {
    let mut capabilities: Capabilities = match capabilities {
        Value::Object(capabilities) => capabilities,
        other => unreachable!("capabilities are an object, not {other}"),
    };
    // Certificates are those that tests have made.
    capabilities.insert("acceptInsecureCerts".to_owned(), true.into());
    let mut builder = ClientBuilder::new(HttpConnector::new());
    let connecting = builder.capabilities(capabilities).connect(driver);
    let client = tokio::time::timeout(START, connecting).await;
    client
        .unwrap_or_else(|_| panic!("{engine} did not start within {START:?}"))
        .unwrap_or_else(|e| panic!("{engine}: {e}"))
}

/// A port that was free a moment ago: not every driver can choose one and say which.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
