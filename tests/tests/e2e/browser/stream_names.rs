//! Stream names with slashes, spaces and non-ASCII letters in browsers: by every protocol, by a link with a token, in file
//! names, in the embedded player and through proxies.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState, WALL};
use sightline_tests::caddy::Caddy;
use sightline_tests::camera::{Camera, Mount};
use sightline_tests::download::Media;
use sightline_tests::http::{self, Server};
use sightline_tests::nginx::Nginx;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};

use crate::stream_names::{GATE, KEY, LIVE, NAME, PATH, ROUTES, SITE, SOON, TEST, config, ffprobe, scene, token};

/// 5 of 25 frames in a second, on a machine with three browsers.
const MOVING: (Duration, u64) = (Duration::from_secs(1), 5);
const RECORDED: Duration = Duration::from_millis(2500);

/// Waits for moving video of the stream by that protocol.
async fn plays(browser: &Browser, name: &str, protocol: &str, mark: Rgb) {
    let arrived = |tile: &Tile| tile.state == TileState::Live && tile.protocol.as_deref() == Some(protocol);
    browser.wait_for_tile(name, &format!("{name} by {protocol}"), LIVE, arrived).await;
    browser.wait_moving(name, MOVING.0, MOVING.1, LIVE).await;
    let shown = browser.mark(name).await;
    assert!(shown.is_like(mark), "{}: {name} by {protocol} shows {shown}", browser.engine());
}

/// The protocols of that engine: this Firefox offers none of our codecs in WebRTC, and this WebKitGTK has no WebRTC.
fn protocols(engine: Engine) -> &'static [&'static str] {
    if engine == Engine::Chromium { &["webcodecs", "mse", "hls", "webrtc"] } else { &["mse", "hls"] }
}

#[test]
fn path_name_plays_by_every_protocol_and_names_the_recording() {
    within(Duration::from_secs(240), async || {
        let relay = scene().await;
        Browser::each(async |browser| {
            let engine = browser.engine();
            for protocol in protocols(engine) {
                browser.open(&relay.url(&format!("/?stream={PATH}&protocol={protocol}"))).await;
                plays(browser, NAME, protocol, SITE.mark).await;
                say(&format!("{engine}: {NAME} by {protocol}"));
            }
            // Decomposed (Unicode NFD), with encoded slashes: the same stream.
            browser.open(&relay.url("/?stream=site%2Fcam+1%2Fu%CC%88&protocol=mse")).await;
            plays(browser, NAME, "mse", SITE.mark).await;
            records(browser).await;
        })
        .await;
    });
}

/// Records the tile and saves a snapshot of it.
async fn records(browser: &Browser) {
    let engine = browser.engine();
    browser.catch_files().await;
    browser.press("article.tile", 'r').await;
    let script = "return document.querySelector('.tile-recording') !== null";
    let records = async || (browser.script(script, vec![]).await == true).then_some(());
    until(&format!("{engine}: the page to record"), SOON, records).await;
    tokio::time::sleep(RECORDED).await;
    browser.press("article.tile", 'r').await;
    let recording = browser.saved(0, SOON).await;
    browser.press("article.tile", 'c').await;
    let snapshot = browser.saved(1, SOON).await;
    for (file, extension) in [(&recording, "mp4"), (&snapshot, "png")] {
        let time =
            file.name.strip_prefix("site_cam 1_ü-").and_then(|rest| rest.strip_suffix(&format!("Z.{extension}")));
        let time = time.unwrap_or_else(|| panic!("{engine}: {}", file.name));
        assert!(time.len() == 19 && time.starts_with("20"), "{engine}: {}", file.name);
    }
    let (length, streams) = Media::new(&recording.bytes).probe();
    assert!(length > 1.0 && streams[0].codec == "h264", "{engine}: {length} s of {streams:?}");
    say(&format!("{engine}: {length:.1} s in {}", recording.name));
}

#[test]
fn path_name_plays_in_the_embedded_player() {
    within(TEST, async || {
        let relay = scene().await;
        // The name as an editor on macOS may write it (Unicode NFD).
        let html = format!(
            "<!doctype html><meta charset=utf-8><script type=module src=\"{}\"></script>\
             <sightline-player stream=\"site/cam 1/u\u{308}\"></sightline-player>",
            relay.url("/sightline-player.js")
        );
        let server = Server::start(HashMap::from([("/", ("text/html", html.into_bytes()))])).await;
        Browser::each(async |browser| {
            browser.open(&server.url("/")).await;
            let live = "return document.querySelector('sightline-player').state === 'live'";
            let live = async || (browser.script(live, vec![]).await == true).then_some(());
            until(&format!("{}: <sightline-player> to be live", browser.engine()), LIVE, live).await;
        })
        .await;
    });
}

#[test]
fn token_link_shows_only_its_stream() {
    within(TEST, async || {
        let camera = Camera::shared(&[SITE, GATE]).await;
        let setup = Setup::config(config(camera, &[NAME, "site", GATE.path])).env("SIGHTLINE_TOKEN_KEY", KEY);
        let relay = setup.start().await;
        let token = token(&[NAME]).expect("a token");
        Browser::each(async |browser| {
            browser.open(&relay.url(&format!("/?token={token}"))).await;
            plays(browser, NAME, browser.engine().auto(), SITE.mark).await;
            assert_eq!(browser.streams().await, [NAME], "{}", browser.engine());
        })
        .await;
    });
}

/// A proxy's directives in docs/proxies.md, for this relay.
fn documented(language: &str, relay: &Relay) -> String {
    const DOCUMENTED: &str = include_str!("../../../../docs/proxies.md");
    let block = DOCUMENTED.split_once(&format!("```{language}\n")).and_then(|(_, rest)| rest.split_once("\n```"));
    block.expect("docs/proxies.md has directives").0.replace("127.0.0.1:8080", &relay.address().to_string())
}

/// Asserts that the name passes a proxy with the relay at `url`.
async fn passes(browser: Option<&Browser>, url: &str, address: SocketAddr) {
    for name in [PATH, "site%2Fcam%201%2F%C3%BC"] {
        for file in ["index.m3u8", "copy/media.m3u8"] {
            let answer = http::get(address, &format!("/cams/hls/{name}/{file}")).await.expect("the proxy answers");
            assert_eq!(answer.status, 200, "{url} {name}/{file}: {}", answer.text());
        }
        let (frames, _) = ffprobe(format!("{url}/hls/{name}/index.m3u8")).await.expect("frames");
        assert_eq!(frames, 10, "{url} {name}");
    }
    // Either nginx or the relay rejects a name that nginx would change.
    for name in ["gate/../site%252Fcam", "a%252F..%252Fgate"] {
        let answer = http::get(address, &format!("/cams/hls/{name}/index.m3u8")).await.expect("the proxy answers");
        assert_eq!(answer.status, 400, "{url} {name}: {}", answer.text());
    }
    let Some(browser) = browser else { return };
    for protocol in protocols(browser.engine()) {
        browser.open(&format!("{url}/?stream={PATH}&protocol={protocol}")).await;
        plays(browser, NAME, protocol, SITE.mark).await;
        say(&format!("{protocol} through {url}"));
    }
}

mod one_browser {
    use super::*;

    #[test]
    fn names_that_look_like_routes_show_their_own_cameras() {
        within(TEST, async || {
            let camera = Camera::shared(&ROUTES).await;
            let relay = Setup::config(config(camera, &ROUTES.map(|mount| mount.path))).start().await;
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            for protocol in protocols(Engine::Chromium) {
                browser.resize(WALL).await;
                browser.open(&relay.url(&format!("/?protocol={protocol}"))).await;
                for Mount { path: name, mark, .. } in ROUTES {
                    plays(&browser, name, protocol, mark).await;
                }
            }
        });
    }

    #[test]
    fn refused_name_is_shown_in_the_tile() {
        within(TEST, async || {
            let relay = Setup::config("[streams.a]\nsource = \"x\"\n").start().await;
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            browser.open(&relay.url("/?stream=a//b")).await;
            let told = |tile: &Tile| tile.state == TileState::Error && tile.message.contains("contains //");
            browser.wait_for_tile("Not a stream", "the page to say so", SOON, told).await;
        });
    }

    #[test]
    fn path_names_pass_documented_proxies() {
        within(TEST, async || {
            let relay = scene().await;
            let browser = Browser::start(Engine::Chromium).await;
            // nginx decodes and encodes paths (a path in proxy_pass).
            if let Some(nginx) = Nginx::start(&documented("nginx", &relay)).await {
                passes(browser.as_ref(), &nginx.url("/cams"), nginx.address()).await;
            }
            // Caddy forwards paths unchanged.
            let site = documented("caddyfile", &relay);
            let site = site.lines().find(|line| line.contains("reverse_proxy")).expect("a site");
            if let Some(caddy) = Caddy::start(&format!("handle_path /cams/* {{\n{site}\n}}")).await {
                passes(browser.as_ref(), &caddy.url("/cams"), caddy.address()).await;
            }
        });
    }
}
