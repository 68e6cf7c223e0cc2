//! The three browsers, driven by WebDriver. Each has its own driver (and display), which ends with it.
//!
//! Programs are looked up in PATH and in the places where Debian and this project install them. `CHROMIUM`, `CHROMEDRIVER`,
//! `FIREFOX`, `GECKODRIVER`, `MINIBROWSER`, `WEBKITWEBDRIVER` and `XVFB` override them. A missing browser is reported on a line
//! that begins with `SKIPPED:`. With `SIGHTLINE_REQUIRE_BROWSERS=1` it fails the test.

mod devtools;
mod downloads;
mod latency_probe;
mod opening;
mod page;
mod pool;

use std::env;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder};
use futures_util::future::join_all;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use downloads::Saved;
pub use latency_probe::{STALL, Sample, Summary, Watch};
pub use opening::{LOOK_ON, Opening};
pub use page::{FrameCounter, MARK_POINTS, Rgb, Tile, TileState};

use crate::http;
use crate::outcome::{self, skip};
use crate::process::{Owned, Process, run_folder};
use crate::run::{Wait, until};
use crate::sound_card::SoundCard;

/// The time limit of a driver's start. It takes a second or two, and longer on a cold disk or busy machine.
const START: Duration = Duration::from_secs(30);

/// Width and height of a window. Without a GPU, compositing takes more of the CPU than decoding, in proportion to the area.
const WINDOW: (u32, u32) = (800, 600);
/// A window that shows up to nine tiles at once. Within 500 pixels, the browser's own bars subtracted, the page scrolls as on a
/// phone, and pauses tiles out of sight.
pub const WALL: (u32, u32) = (1280, 900);

/// A browser engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Chromium. On Linux without a GPU it has no H.265, so the relay must send it H.264.
    Chromium,
    /// Firefox. Plays H.265.
    Firefox,
    /// WebKitGTK's MiniBrowser. Plays H.265 and has ManagedMediaSource.
    WebKit,
}

impl Engine {
    /// All engines.
    pub const ALL: [Self; 3] = [Self::Chromium, Self::Firefox, Self::WebKit];

    /// Whether the engine plays H.265 on Linux in software.
    pub fn plays_h265(self) -> bool {
        self != Self::Chromium
    }

    /// The protocol that Auto prefers in a secure context, such as a page of this machine.
    pub fn auto(self) -> &'static str {
        if self == Self::Chromium { "webcodecs" } else { "mse" }
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
                        // A renderer in reserve for each new window.
                        "--disable-features=SpareRendererForSitePerProcess", "--disable-extensions",
                        // Allows a test to collect garbage before it reads a page's memory.
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
                    // The preferences after the first one stop Firefox's own network requests.
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
            // Marionette and BiDi have fixed default ports, which fail for a second Firefox.
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

/// The program that the variable names, or the first of `places` that exists: a path, or a name to look up in PATH.
fn installed(variable: &str, places: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let find = |place: &&str| {
        let folders = if place.contains('/') { vec![PathBuf::new()] } else { env::split_paths(&path).collect() };
        folders.into_iter().map(|folder| folder.join(place)).find(|program| program.is_file())
    };
    env::var_os(variable).map(PathBuf::from).or_else(|| places.iter().find_map(find))
}

/// Whether videos play without a user gesture: the values of Firefox's `media.autoplay.default`. The other engines block only
/// audible video.
#[derive(Debug, Clone, Copy)]
enum Autoplay {
    /// All videos.
    Allowed = 0,
    /// No videos, audible or muted.
    Refused = 5,
}

/// A browser with one window. A drop ends a browser of this test alone, with its driver and display, and returns a shared one
/// to the [pool].
#[derive(Debug)]
pub struct Browser {
    engine: Engine,
    client: Client,
    /// Present until the drop.
    session: Option<Session>,
    shared: bool,
}

/// A running browser: its driver and what the driver needs.
#[derive(Debug)]
struct Session {
    driver: SocketAddr,
    // Fields drop in this order: the display must outlive the browser.
    process: Owned,
    _display: Option<Owned>,
    _files: TempDir,
}

/// A machine without sound.
const NO_SOUND: (&str, &str) = ("PULSE_SERVER", "unix:/nonexistent");

impl Browser {
    /// The shared browser, on a machine without sound. `None`, with a `SKIPPED:` line, if it is neither installed nor required.
    ///
    /// # Panics
    /// When it does not start, or is required and not installed.
    pub async fn start(engine: Engine) -> Option<Self> {
        let programs = programs(engine)?;
        let _wait = Wait::begin(format!("{engine} to start"));
        if let Some(browser) = pool::take(engine).await {
            // The last test may have resized it.
            browser.resize(WINDOW).await;
            return Some(browser);
        }
        if !pool::claim(engine) {
            return Some(Self::launch(engine, programs, NO_SOUND, Autoplay::Allowed, false).await);
        }
        let launch = async move || Self::launch(engine, programs, NO_SOUND, Autoplay::Allowed, true).await;
        Some(pool::on_shared_runtime(launch).await)
    }

    /// A browser for this test alone, for tests of a browser's start.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_own(engine: Engine) -> Option<Self> {
        Some(Self::launch(engine, programs(engine)?, NO_SOUND, Autoplay::Allowed, false).await)
    }

    /// Firefox with a user setting that blocks all playback without a user gesture.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_without_autoplay() -> Option<Self> {
        let engine = Engine::Firefox;
        Some(Self::launch(engine, programs(engine)?, NO_SOUND, Autoplay::Refused, false).await)
    }

    /// A browser that plays to this sound card.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_with_sound(engine: Engine, card: &SoundCard) -> Option<Self> {
        let sound = ("PULSE_SERVER", &*card.address());
        Some(Self::launch(engine, programs(engine)?, sound, Autoplay::Allowed, false).await)
    }

    async fn launch(
        engine: Engine,
        (browser, driver): (PathBuf, PathBuf),
        sound: (&str, &str),
        autoplay: Autoplay,
        shared: bool,
    ) -> Self {
        let files = tempfile::tempdir_in(run_folder()).expect("a temporary directory");
        let display = match engine {
            Engine::WebKit => Some(start_display().await),
            Engine::Chromium | Engine::Firefox => None,
        };
        let (process, driver) = start_driver(engine, &driver, display.as_ref(), &[sound], files.path()).await;
        let client = start_session(engine, engine.capabilities(&browser, autoplay), &format!("http://{driver}")).await;
        let session = Session { driver, process, _display: display.map(|(owned, _)| owned), _files: files };
        let browser = Self { engine, client, session: Some(session), shared };
        if engine != Engine::Chromium {
            // Chromium takes the size at its start.
            browser.resize(WINDOW).await;
        }
        browser
    }

    /// All installed engines, started concurrently.
    pub async fn start_all() -> Vec<Self> {
        join_all(Engine::ALL.map(Self::start)).await.into_iter().flatten().collect()
    }

    /// Runs a scene in all installed engines concurrently. They share the machine, the camera and the relay. A browser leaves its
    /// page at the end of its scene, and its share of the processor to the others.
    pub async fn each(scene: impl AsyncFn(&Self)) {
        Self::each_of(&Engine::ALL, scene).await;
    }

    /// The same in some engines.
    pub async fn each_of(engines: &[Engine], scene: impl AsyncFn(&Self)) {
        let browsers: Vec<_> = join_all(engines.iter().copied().map(Self::start)).await.into_iter().flatten().collect();
        let scene = &scene;
        join_all(browsers.into_iter().map(async |browser| {
            scene(&browser).await;
            // The end of a browser that is not shared blocks its thread.
            let _ = tokio::task::spawn_blocking(move || drop(browser)).await;
        }))
        .await;
    }

    fn driver(&self) -> SocketAddr {
        self.session.as_ref().expect("present until the drop").driver
    }

    /// Resizes the window.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn resize(&self, (width, height): (u32, u32)) {
        self.client.set_window_rect(0, 0, width, height).await.expect("the browser accepts a size");
    }

    /// The process of the browser's driver, the ancestor of the browser's processes.
    pub fn pid(&self) -> i32 {
        self.session.as_ref().expect("present until the drop").process.pid()
    }

    /// The browser's processes, each with its state: `R` computes, `S` waits (proc(5)).
    fn process_states(&self) -> Vec<String> {
        let processes = self.session.iter().flat_map(|session| session.process.descendants());
        let state = |process: Process| {
            let name = process.command.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
            format!("{name} {}", process.state)
        };
        processes.map(state).collect()
    }

    /// The browser's engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let failed = std::thread::panicking();
        outcome::note_output(&session.process.stderr.text());
        if self.shared {
            pool::give_back(self.engine, self.client.clone(), session, failed);
        }
    }
}

/// Paths of an engine's browser and driver. `None`, with a `SKIPPED:` line, if they are neither installed nor required.
fn programs(engine: Engine) -> Option<(PathBuf, PathBuf)> {
    let programs = engine.browser().zip(engine.driver());
    if programs.is_none() {
        let missing = format!("{engine} or its driver is not installed");
        assert!(!required(), "{missing}, and SIGHTLINE_REQUIRE_BROWSERS is set");
        skip(&missing);
    }
    programs
}

/// Whether a missing program fails a test instead of skipping it: `SIGHTLINE_REQUIRE_BROWSERS=1`.
pub fn required() -> bool {
    env::var("SIGHTLINE_REQUIRE_BROWSERS").is_ok_and(|value| value == "1")
}

/// A new X server, and the name of its display.
async fn start_display() -> (Owned, String) {
    let xvfb = env::var("XVFB").unwrap_or_else(|_| "Xvfb".to_owned());
    let mut command = Command::new(xvfb);
    command.args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]);
    let display = Owned::start("Xvfb", &mut command).expect("Xvfb is installed");
    let number = |line: &str| line.trim().parse::<u32>().ok();
    let number = display.stdout.wait_for("Xvfb's display number", START, number).await;
    (display, format!(":{number}"))
}

/// Starts the driver and returns its address once it answers.
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
            // WebKit's sandbox needs user namespaces, which root in a container lacks.
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
    // The tests' certificates are self-signed.
    capabilities.insert("acceptInsecureCerts".to_owned(), true.into());
    let mut builder = ClientBuilder::new(HttpConnector::new());
    let connecting = builder.capabilities(capabilities).connect(driver);
    let client = tokio::time::timeout(START, connecting).await;
    client
        .unwrap_or_else(|_| panic!("{engine} did not start within {START:?}"))
        .unwrap_or_else(|e| panic!("{engine}: {e}"))
}

/// A port that is free at this moment: not every driver can choose one and report it.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
