//! The proxies in docs/proxies.md with a complete documented configuration, which these tests run. nginx is tested in
//! `networks`.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::caddy::Caddy;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::within;

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const PICTURE: Duration = Duration::from_secs(20);
/// 5 of 25 frames per second prove moving video, on a busy machine.
const MOVING: Duration = Duration::from_secs(1);
const FRAMES: u64 = 5;

const DOCUMENTED: &str = include_str!("../../../../../docs/proxies.md");

/// The documented directives of the site, for this relay.
fn documented(relay: &Relay) -> String {
    let block =
        DOCUMENTED.split_once("```caddyfile\ncams.example.org {\n").and_then(|(_, rest)| rest.split_once("\n}\n"));
    let (block, _) = block.expect("docs/proxies.md has a site for Caddy");
    assert_eq!(block.matches("127.0.0.1:8080").count(), 1, "it names the relay once");
    block.replace("127.0.0.1:8080", &relay.address().to_string())
}

#[test]
fn every_protocol_passes_caddy_at_the_root_and_below_a_path() {
    within(Duration::from_secs(120), async || {
        let camera = Camera::shared(&[YARD]).await;
        let relay = Setup::config(camera.config()).start().await;
        let site = documented(&relay);
        let Some(caddy) = Caddy::start(&site).await else { return };
        shows_every_way(&caddy, "").await;
        let Some(caddy) = Caddy::start(&format!("handle_path /cams/* {{\n{site}\n}}")).await else { return };
        shows_every_way(&caddy, "/cams").await;
    });
}

async fn shows_every_way(caddy: &Caddy, path: &str) {
    for asked in ["/api/streams", "/hls/yard/index.m3u8"] {
        let answer = http::get(caddy.address(), &format!("{path}{asked}")).await.expect("Caddy answers");
        assert_eq!(answer.status, 200, "{path}{asked}: {}", answer.text());
    }
    let Some(browser) = Browser::start(Engine::Chromium).await else { return };
    for protocol in ["mse", "hls", "webrtc"] {
        browser.open(&caddy.url(&format!("{path}/?protocol={protocol}"))).await;
        let arrived = |tile: &Tile| tile.state == TileState::Live && tile.protocol.as_deref() == Some(protocol);
        browser.wait_for_tile(YARD.path, &format!("a picture by {protocol}"), PICTURE, arrived).await;
        browser.wait_moving(YARD.path, MOVING, FRAMES, PICTURE).await;
        let mark = browser.mark(YARD.path).await;
        assert!(mark.is_like(YARD.mark), "{protocol}: {mark} is shown");
    }
}
