//! Restricted networks. A frame appears within 8 s if any protocol gets through, a plain message otherwise, and a frame again
//! within 8 s after a protocol gets through again.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{self, Injector};
use sightline_tests::impaired_link::ImpairedLink;
use sightline_tests::namespace::{self, Wall};
use sightline_tests::nginx::Nginx;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, throughout, until, within};

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
/// The time limit that these tests verify.
const PICTURE: Duration = Duration::from_secs(8);
const LIVE: Duration = Duration::from_secs(30);
/// 5 of 25 frames per second prove moving video, on a machine on which three browsers decode in software.
const MOVING: Duration = Duration::from_secs(1);
const FRAMES: u64 = 5;
/// The time limit from a broken connection to the message on the page.
const NOTICED: Duration = Duration::from_secs(10);
/// Long enough for Auto to leave the current protocol and for retry delays to grow.
const OUTAGE: Duration = Duration::from_secs(16);
/// nginx's idle limit, slightly longer than the relay's keep-alive interval of 5 s.
const IDLE_SECONDS: u64 = 6;

const DOCUMENTED: &str = include_str!("../../../../docs/proxies.md");

/// Records the page's WebRTC connections for their statistics.
const KEEP_PEERS: &str = "
    window.peers = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...given) { super(...given); window.peers.push(this); }
    };
";
/// The transport protocol of the newest connection.
const PROTOCOL: &str = "return (async () => {
    const stats = await window.peers.at(-1).getStats();
    const used = [...stats.values()].find(entry => entry.type === 'transport')?.selectedCandidatePairId;
    return stats.get(stats.get(used)?.localCandidateId)?.protocol ?? null;
})()";
/// Counts the WebSockets opened from now on.
const COUNT_SOCKETS: &str = "
    window.sockets = 0;
    window.WebSocket = class extends WebSocket { constructor(...given) { super(...given); window.sockets += 1; } };
";

async fn choose(browser: &Browser, protocol: &str) {
    browser.click(&format!("[name=protocol][value={protocol}]")).await;
}

/// Waits for a frame by `protocol`, or by any, and returns the time from `since`. Asserts that the video moves and has the
/// right mark.
async fn comes(browser: &Browser, protocol: Option<&str>, since: Instant) -> Duration {
    let arrived = |tile: &Tile| {
        let way = protocol.is_none_or(|protocol| tile.protocol.as_deref() == Some(protocol));
        tile.state == TileState::Live && tile.frames > 0 && way
    };
    let what = format!("a picture by {}", protocol.unwrap_or("any way"));
    let tile = browser.wait_for_tile(YARD.path, &what, LIVE, arrived).await;
    let took = since.elapsed();
    browser.wait_moving(YARD.path, MOVING, FRAMES, LIVE).await;
    let mark = browser.mark(YARD.path).await;
    assert!(mark.is_like(YARD.mark), "{}: {mark} is shown", browser.engine());
    say(&format!("{}: {what} after {took:.1?}, by {}", browser.engine(), tile.protocol.unwrap_or_default()));
    took
}

/// The same within [`PICTURE`].
async fn comes_in_time(browser: &Browser, protocol: Option<&str>, since: Instant) {
    let took = comes(browser, protocol, since).await;
    assert!(took <= PICTURE, "{}: a picture after {took:?}", browser.engine());
}

/// Asserts that the page describes the fault in a plain sentence.
async fn is_told(browser: &Browser) {
    let told = |tile: &Tile| tile.state != TileState::Live && !tile.message.is_empty();
    let tile = browser.wait_for_tile(YARD.path, "to be told what is wrong", NOTICED, told).await;
    assert!(is_plain(&tile), "{}: {:?}", browser.engine(), tile.message);
}

fn is_plain(tile: &Tile) -> bool {
    tile.message.is_empty() || tile.message.ends_with(['.', '…']) && !tile.message.contains(['<', '\n'])
}

/// For a relay that other machines may reach.
fn open(camera: &Camera) -> String {
    format!("{}\n[access]\nopen = true\n", camera.config())
}

/// On a local network, WebRTC is the second choice if the browser supports it and one of our codecs. From a public address,
/// Auto does not try it.
#[test]
fn auto_selects_the_next_protocol_and_learns_it() {
    namespace::within_network(Duration::from_secs(180), async || {
        let camera = Camera::shared(&[YARD]).await;
        let everywhere = Ipv4Addr::UNSPECIFIED;
        let relay = Setup::config(open(camera)).listen((everywhere, 8080).into()).start().await;
        let proxied = "location / { proxy_pass http://127.0.0.1:8080; proxy_set_header Host $host; }";
        let Some(nginx) = Nginx::start_at(everywhere, proxied).await else { return };
        Browser::each(async |browser| {
            let engine = browser.engine();
            let at = |ip: IpAddr, port: u16| format!("http://{ip}:{port}/");
            let says = async |words: &[&str]| {
                let text = browser.text().await;
                let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
                assert!(missing.is_empty(), "{engine} does not say {missing:?}: {text}");
            };
            let with_webrtc = engine == Engine::Chromium;
            for (ip, way) in
                [(namespace::PUBLIC_ADDRESS, "hls"), (namespace::ADDRESS, if with_webrtc { "webrtc" } else { "hls" })]
            {
                browser.open(&at(ip, nginx.address().port())).await;
                comes_in_time(browser, Some(way), Instant::now()).await;
                browser.press("article.tile", 'b').await;
                says(&["MSE was left because its connection does not get through"]).await;
                // Firefox without its plugin offers none of our codecs. This WebKitGTK has no WebRTC.
                if ip == namespace::ADDRESS && engine == Engine::Firefox {
                    says(&["WebRTC because"]).await;
                }
                browser.reload().await;
                comes_in_time(browser, Some(way), Instant::now()).await;
                says(&["it worked on this network before"]).await;

                // Auto learns per origin, and another port is another origin.
                browser.open(&at(ip, relay.address().port())).await;
                comes_in_time(browser, Some("mse"), Instant::now()).await;
            }
        })
        .await;
    });
}

async fn stays_plain(browsers: &[Browser]) {
    let plain = async |browser: &Browser| browser.tile(YARD.path).await.is_some_and(|tile| is_plain(&tile));
    let all_plain = async || join_all(browsers.iter().map(plain)).await.into_iter().all(|plain| plain);
    throughout("every message is a sentence", OUTAGE, all_plain).await;
}

#[test]
fn blocked_network_is_reported_until_it_recovers() {
    within(Duration::from_secs(150), async || {
        let camera = Camera::shared(&[YARD]).await;
        let relay = Setup::config(camera.config()).start().await;
        let link = ImpairedLink::to(relay.address()).await;
        let browsers = Browser::start_all().await;
        for browser in &browsers {
            browser.open(&link.url("/")).await;
        }
        join_all(browsers.iter().map(|browser| comes(browser, Some(browser.engine().auto()), Instant::now()))).await;
        link.refuse(true);
        link.cut();
        join_all(browsers.iter().map(is_told)).await;
        stays_plain(&browsers).await;
        link.refuse(false);
        let since = Instant::now();
        join_all(browsers.iter().map(|browser| comes_in_time(browser, None, since))).await;
    });
}

/// nginx with default settings: it forwards no WebSocket and buffers responses.
fn plain(relay: &Relay) -> String {
    format!("location / {{ proxy_pass http://{}; }}", relay.address())
}

#[test]
fn blocked_websockets_select_hls_which_survives_a_relay_restart() {
    within(Duration::from_secs(240), async || {
        let camera = Camera::shared(&[YARD]).await;
        let config = |webrtc: bool| format!("{}\n[webrtc]\nenabled = {webrtc}\n", camera.config());
        let mut relay = Setup::config(config(false)).start().await;
        let Some(nginx) = Nginx::start(&plain(&relay)).await else { return };
        let mut browsers = Browser::start_all().await;
        join_all(browsers.iter().map(|browser| async {
            let since = Instant::now();
            browser.open(&nginx.url("/")).await;
            comes_in_time(browser, Some("hls"), since).await;
            browser.press("article.tile", 'b').await;
            let text = browser.text().await;
            assert!(text.contains("HLS") && text.contains("does not get through"), "{}: {text}", browser.engine());
        }))
        .await;
        restart(&mut relay, &browsers).await;

        say("Through a proxy that passes no answer on before it has all of it:");
        let holding = Injector::start(relay.address(), "").await;
        join_all(browsers.iter().map(|browser| async {
            let since = Instant::now();
            browser.open(&holding.url("/?protocol=hls")).await;
            comes_in_time(browser, Some("hls"), since).await;
            browser.leave().await;
        }))
        .await;

        browsers.retain(|browser| browser.engine() == Engine::Chromium);
        relay.configure(config(true));
        relay.end(Signal::TERM, PICTURE).await;
        relay.restart().await;
        for browser in &browsers {
            // A browser without stored settings.
            browser.open(&nginx.url("/")).await;
            browser.script("localStorage.clear()", vec![]).await;
            let since = Instant::now();
            browser.reload().await;
            comes_in_time(browser, Some("webrtc"), since).await;
        }
        restart(&mut relay, &browsers).await;
    });
}

/// Kills the relay and starts it again once every page has reported the fault. All pages are live again in time.
async fn restart(relay: &mut Relay, browsers: &[Browser]) {
    relay.end(Signal::KILL, PICTURE).await;
    join_all(browsers.iter().map(is_told)).await;
    relay.restart().await;
    let since = Instant::now();
    join_all(browsers.iter().map(|browser| comes_in_time(browser, None, since))).await;
}

/// The documented directives, for this relay.
fn documented(relay: &Relay) -> String {
    let block = DOCUMENTED.split_once("```nginx\n").and_then(|(_, rest)| rest.split_once("```"));
    let (block, _) = block.expect("docs/proxies.md has directives for nginx");
    let (from, to) = ("http://127.0.0.1:8080/", format!("{}/", relay.url("")));
    assert_eq!(block.matches(from).count(), 1, "they name the relay once");
    block.replace(from, &to)
}

/// Embeds the player of the page's own relay, by the script that the relay serves.
const PLAYER: &str = "
    const script = Object.assign(document.createElement('script'), { type: 'module', src: 'sightline-player.js' });
    window.player = document.createElement('sightline-player');
    window.player.setAttribute('stream', 'yard');
    document.body.replaceChildren(script, window.player);
";

/// While the tile is scrolled away, the relay sends it only keep-alives for more than twice the limit. The connection stays the
/// same.
async fn outlives_the_limit(browser: &Browser, relay: &Relay) {
    browser.script(COUNT_SOCKETS, vec![]).await;
    browser.script("document.querySelector('main').style.marginTop = '4000px'", vec![]).await;
    let paused = |tile: &Tile| tile.state == TileState::Paused;
    browser.wait_for_tile(YARD.path, "a tile out of sight to pause", NOTICED, paused).await;
    // After a switch from HLS, a viewer counts there until its requests have stopped for a while.
    relay.wait_for_viewers(YARD.path, Variant::Copy, 1, LIVE).await;
    let holds = async || {
        let sockets = browser.script("return window.sockets", vec![]).await;
        sockets == json!(0) && relay.variant(YARD.path, Variant::Copy).await.viewers == 1
    };
    throughout("the connection", Duration::from_secs(2 * IDLE_SECONDS + 2), holds).await;
    browser.script("document.querySelector('main').style.marginTop = ''", vec![]).await;
    comes_in_time(browser, Some("mse"), Instant::now()).await;
    assert_eq!(browser.script("return window.sockets", vec![]).await, 0, "no other connection was needed");
}

mod one_browser {
    use super::*;

    #[test]
    fn blocked_udp_uses_ice_tcp() {
        namespace::within_network(Duration::from_secs(180), async || {
            let camera = Camera::shared(&[YARD]).await;
            let relay = Setup::config(open(camera)).listen((namespace::ADDRESS, 8080).into()).start().await;
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            browser.open(&relay.url("/")).await;
            comes(&browser, Some("mse"), Instant::now()).await;
            browser.script(KEEP_PEERS, vec![]).await;
            browser.press("article.tile", 'b').await;
            let protocol = async || browser.script(PROTOCOL, vec![]).await;

            choose(&browser, "webrtc").await;
            comes_in_time(&browser, Some("webrtc"), Instant::now()).await;
            assert_eq!(protocol().await, "udp", "nothing is blocked");

            let wall = Wall::against_udp();
            let (blocked, by_tcp) = (Instant::now(), async || (protocol().await == "tcp").then_some(()));
            until("ICE-TCP to take over", LIVE, by_tcp).await;
            comes_in_time(&browser, Some("webrtc"), blocked).await;
            choose(&browser, "mse").await;
            comes(&browser, Some("mse"), Instant::now()).await;
            choose(&browser, "webrtc").await;
            comes_in_time(&browser, Some("webrtc"), Instant::now()).await;
            assert_eq!(protocol().await, "tcp");
            assert!(wall.stopped() > 0, "it was tried by UDP");
            drop(wall);

            // The network drops all packets silently.
            choose(&browser, "auto").await;
            comes(&browser, Some("mse"), Instant::now()).await;
            let wall = Wall::against_all();
            is_told(&browser).await;
            stays_plain(std::slice::from_ref(&browser)).await;
            drop(wall);
            comes_in_time(&browser, None, Instant::now()).await;
        });
    }

    #[test]
    fn nginx_subpath_works_and_pause_survives_its_idle_timeout() {
        within(Duration::from_secs(120), async || {
            let camera = Camera::shared(&[YARD]).await;
            let relay = Setup::config(camera.config()).start().await;
            let limits = format!("proxy_read_timeout {IDLE_SECONDS}s;\nproxy_send_timeout {IDLE_SECONDS}s;\n");
            let Some(nginx) = Nginx::start(&format!("{limits}{}", documented(&relay))).await else { return };
            for (path, status) in
                [("/cams", 301), ("/cams/api/streams", 200), ("/cams/hls/yard/index.m3u8", 200), ("/", 404)]
            {
                let answer = http::get(nginx.address(), path).await.expect("nginx answers");
                assert_eq!(answer.status, status, "{path}: {}", answer.text());
            }
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            browser.open(&nginx.url("/cams/")).await;
            comes_in_time(&browser, Some(browser.engine().auto()), Instant::now()).await;
            browser.press("article.tile", 'b').await;
            for protocol in ["hls", "webrtc", "mse"] {
                choose(&browser, protocol).await;
                comes_in_time(&browser, Some(protocol), Instant::now()).await;
            }
            outlives_the_limit(&browser, &relay).await;

            browser.open(&nginx.url("/cams/test?stream=yard")).await;
            browser.click("button[name=start]").await;
            comes_in_time(&browser, Some(browser.engine().auto()), Instant::now()).await;
            browser.script(PLAYER, vec![]).await;
            let live =
                async || (browser.script("return window.player.state ?? null", vec![]).await == "live").then_some(());
            until("<sightline-player> to be live", PICTURE, live).await;
        });
    }
}
