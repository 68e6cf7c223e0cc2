//! Third-party HLS players: npm packages in a page of another origin, each set up as in its documentation, with a token in the
//! URL. `docs/players.md` has the table of all tested players.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sightline_tests::browser::{self, Browser, Engine, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{File, Server};
use sightline_tests::outcome::skip;
use sightline_tests::playlist::Playlist;
use sightline_tests::process::Owned;
use sightline_tests::relay::{self, Setup};
use sightline_tests::run::{say, until, within};

const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
/// The address of another host.
const SITE: [u8; 4] = [127, 0, 0, 2];
const SOON: Duration = Duration::from_secs(10);
const KEY: &str = "a key of thirty-two bytes or more, for tests";
const PAGE: &str = include_str!("../../../../fixtures/hls_players.html");

/// The folder to which `scripts/install.sh` installs the packages. The page loads these files from it.
const PACKAGES: &str = "../client/node_modules";
const FILES: [&str; 19] = [
    "/hls.js/dist/hls.min.js",
    "/hls.js/dist/hls.mjs",
    "/video.js/dist/video.min.js",
    "/shaka-player/dist/shaka-player.compiled.js",
    "/hls-video-element/dist/hls-video-element.js",
    "/custom-media-element/dist/custom-media-element.js",
    "/media-tracks/dist/audio-rendition-list.js",
    "/media-tracks/dist/audio-rendition.js",
    "/media-tracks/dist/audio-track-list.js",
    "/media-tracks/dist/audio-track.js",
    "/media-tracks/dist/change-event.js",
    "/media-tracks/dist/index.js",
    "/media-tracks/dist/mixin.js",
    "/media-tracks/dist/rendition-event.js",
    "/media-tracks/dist/utils.js",
    "/media-tracks/dist/video-rendition-list.js",
    "/media-tracks/dist/video-rendition.js",
    "/media-tracks/dist/video-track-list.js",
    "/media-tracks/dist/video-track.js",
];
const PLAYERS: [&str; 5] = ["hls.js", "video.js", "shaka", "hls-video", "native"];

/// The time limit until all players show a frame, all in one page on a busy machine. `docs/players.md` has the time of each.
const START: Duration = Duration::from_secs(20);
/// The number of listed segments from which a player can start: more than three target durations before the playlist's end.
const LISTED: usize = 7;
/// A player may seek to its live edge once.
const SETTLE: Duration = Duration::from_secs(3);
const WATCH: Duration = Duration::from_secs(15);
/// Frames per second in that time, of 25: all players decode in software at once, beside other tests.
const FRAMES: f64 = 8.0;
/// The time limit from the camera's return to a frame in every player. Some retry after a failed request.
const RETURN: Duration = Duration::from_secs(30);

/// The page's record of a player, in milliseconds.
#[derive(Debug, Clone, Deserialize)]
struct Seen {
    /// The time from its start to its first frame.
    first: Option<f64>,
    frames: u64,
    /// The longest interval between two frames.
    longest: f64,
    /// Each interval of more than a second: its time and its duration.
    stalls: Vec<(f64, f64)>,
    error: Option<String>,
}

/// The site's files. None if the packages are neither installed nor required.
fn files() -> Option<HashMap<&'static str, File>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(PACKAGES);
    let read = |path: &'static str| Some((path, ("text/javascript", std::fs::read(folder.join(&path[1..])).ok()?)));
    let Some(mut files) = FILES.into_iter().map(read).collect::<Option<HashMap<_, _>>>() else {
        let missing = "the HLS players are not installed (scripts/install.sh test)";
        assert!(!browser::required(), "{missing}, and SIGHTLINE_REQUIRE_BROWSERS is set");
        skip(missing);
        return None;
    };
    files.insert("/", ("text/html", PAGE.into()));
    Some(files)
}

/// A token for the stream, as `sightline token` prints it.
async fn token() -> String {
    let mut command = Command::new(relay::binary());
    command.args(["token", "--stream", GATE.path, "--for", "1h"]).env("SIGHTLINE_TOKEN_KEY", KEY);
    let mut process = Owned::start("sightline token", &mut command).expect("the relay is built");
    assert!(process.wait(SOON).await.success(), "{}", process.stderr.text());
    process.stdout.text().trim().to_owned()
}

/// A page of players on another site.
struct Players<'a> {
    browser: &'a Browser,
    names: &'static [&'static str],
}

impl<'a> Players<'a> {
    async fn start(browser: &'a Browser, site: &Server, names: &'static [&'static str], url: &str) -> Self {
        browser.open(&site.url("/")).await;
        let ready = async || browser.script("return Boolean(window.ready)", vec![]).await.as_bool().filter(|is| *is);
        until("the players' scripts", SOON, ready).await;
        for name in names {
            browser.script("window.show(...arguments)", vec![json!(name), json!(url)]).await;
        }
        Self { browser, names }
    }

    async fn look(&self) -> HashMap<String, Seen> {
        let seen = self.browser.script("return window.look()", vec![]).await;
        serde_json::from_value(seen.clone()).unwrap_or_else(|e| panic!("{e} in {seen}"))
    }

    /// Waits until every player has shown this many more frames than `before`.
    async fn all_show(&self, what: &str, limit: Duration, before: &HashMap<String, Seen>, more: u64) {
        let lags = async || {
            let seen = self.look().await;
            let shows = |name: &&&str| seen[**name].frames >= before.get(**name).map_or(0, |seen| seen.frames) + more;
            self.names.iter().find(|name| !shows(name)).map(|name| (*name, seen[*name].clone()))
        };
        let all = async || lags().await.is_none().then_some(());
        if tokio::time::timeout(limit, until(what, limit * 2, all)).await.is_err() {
            panic!("{}: {what}: still {:?}", self.browser.engine(), lags().await);
        }
    }

    fn tell(&self, seen: &HashMap<String, Seen>) {
        for name in self.names {
            let Seen { first, longest, stalls, frames, error, .. } = &seen[*name];
            let first = first.unwrap_or(f64::NAN);
            say(&format!(
                "{} {name}: picture after {first:.0} ms, {frames} frames, {longest:.0} ms between two at most, stalls {stalls:?}, error {error:?}",
                self.browser.engine()
            ));
        }
    }
}

#[test]
fn foreign_players_play_from_another_origin_with_a_token_and_after_a_camera_restart() {
    within(Duration::from_secs(150), async || {
        let Some(files) = files() else { return };
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        let site = Server::start_at(SocketAddr::from((SITE, 0)), files).await;
        let mut camera = Camera::start(&[GATE]).await;
        let config = format!("allowed_origins = [\"{}\"]\n{}", site.url(""), camera.config_with_low());
        let relay = Setup::config(config).env("SIGHTLINE_TOKEN_KEY", KEY).start().await;
        // Two HLS viewers request different variants. The second starts later, yet its playlist is aligned with the first.
        let token = token().await;
        for variant in ["copy", "low"] {
            let path = format!("/hls/gate/{variant}/media.m3u8?token={token}");
            let listed = async || {
                let segments = Playlist::read(&relay.get(&path).await.text()).segments.len();
                (segments >= LISTED).then_some(())
            };
            until("a list of segments", START, listed).await;
        }
        let url = relay.url(&format!("/hls/gate/index.m3u8?token={token}"));
        let players = Players::start(&browser, &site, &PLAYERS, &url).await;
        players.all_show("every player's first picture", START, &HashMap::new(), 1).await;
        tokio::time::sleep(SETTLE).await;
        let before = players.look().await;
        tokio::time::sleep(WATCH).await;
        let after = players.look().await;
        players.tell(&after);
        for name in PLAYERS {
            let rate = (after[name].frames - before[name].frames) as f64 / WATCH.as_secs_f64();
            assert!(rate >= FRAMES, "{name} shows {rate:.1} frames a second: {:?}", after[name]);
        }
        let mark = browser.mark("hls.js").await;
        assert!(mark.is_like(GATE.mark), "{mark} is shown");

        let before = players.look().await;
        camera.restart().await;
        players.all_show("a picture after the camera's return", RETURN, &before, 150).await;
    });
}
