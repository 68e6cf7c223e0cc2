//! `<sightline-player>` in a page of another origin: the documentation's example, used as documented.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Engine, FrameCounter, MARK_POINTS, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::Server;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };

const EXAMPLE: &str = include_str!("../../../../docs/embedding-example.html");
/// The placeholder for a relay's address in the example.
const PLACEHOLDER: &str = "https://relay.example/";
/// Addresses of other hosts. The relay accepts other ports only of its own host.
const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

const KEY: &str = "a key of thirty-two bytes or more";
/// `yard` until 2100.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsInN0cmVhbXMiOlsieWFyZCJdfQ.epRar-WkCTdlQwYkP1x4-Ls_SdHep3XbofKbw9IZeCU";

const LIVE: Duration = Duration::from_secs(40);
const SOON: Duration = Duration::from_secs(8);
/// The number of frames that proves moving video, at 25 per second.
const FRAMES: u64 = 30;

/// Serves the example from a host, with this relay's address, under the documented Content Security Policy. The nonce is for
/// the example's own script and style.
async fn page(machine: Ipv4Addr, relay: &Relay) -> Server {
    assert_eq!(EXAMPLE.matches(PLACEHOLDER).count(), 1, "the example names the relay once");
    let (http, ws) = (relay.url(""), relay.url("").replace("http:", "ws:"));
    let policy = format!(
        "default-src 'none'; script-src {http} 'wasm-unsafe-eval' 'nonce-own'; style-src {http} 'nonce-own'; \
         connect-src {http} {ws}; media-src blob:"
    );
    let html = EXAMPLE
        .replace(PLACEHOLDER, &relay.url("/"))
        .replace("<style>", "<style nonce=\"own\">")
        .replace("<script type=\"module\">", "<script type=\"module\" nonce=\"own\">")
        .replace("<head>", &format!("<head><meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"));
    assert_eq!(html.matches("own\"").count(), 2, "one script and one style of its own");
    Server::start_at(SocketAddr::from((machine, 0)), HashMap::from([("/", ("text/html", html.into_bytes()))])).await
}

/// The player's state, as visible to the page's scripts and to a user.
#[derive(Debug, Deserialize)]
struct Player {
    state: Option<String>,
    message: Option<String>,
    frames: u64,
    /// Pixels of the video at the mark's points. None without video.
    pixels: Option<Vec<[u8; 3]>>,
    /// The example's text below the video.
    said: String,
    /// Width and height of the element, and of the video in it.
    size: [f64; 4],
    /// Numbers of buttons and statistics in it.
    buttons: usize,
    statistics: usize,
}

const READ: &str = "
    const player = document.querySelector('sightline-player') ?? window.removed;
    const [video, root] = [player.video, player.shadowRoot];
    const quality = video?.getVideoPlaybackQuality();
    let pixels = null;
    if (video && video.videoWidth && video.readyState >= 2) {
        const canvas = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
        const context = canvas.getContext('2d', { willReadFrequently: true });
        context.drawImage(video, 0, 0);
        pixels = arguments[0].map(([x, y]) =>
            [...context.getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data].slice(0, 3));
    }
    return {
        state: player.state ?? null,
        message: player.detail?.message ?? null,
        frames: quality ? Math.max(0, quality.totalVideoFrames - quality.droppedVideoFrames) : 0,
        pixels,
        said: document.getElementById('state').textContent,
        size: [player.offsetWidth, player.offsetHeight, video?.offsetWidth ?? 0, video?.offsetHeight ?? 0],
        buttons: root?.querySelectorAll('button').length ?? 0,
        statistics: root?.querySelectorAll('.tile-statistics').length ?? 0,
    };
";

async fn player(browser: &Browser) -> Player {
    let points = json!(MARK_POINTS.map(|(x, y)| [x, y]));
    serde_json::from_value(browser.script(READ, vec![points]).await).expect("a player")
}

async fn wait(browser: &Browser, what: &str, limit: Duration, mut wanted: impl FnMut(&Player) -> bool) -> Player {
    let mut last = None;
    let look = async || {
        last = Some(player(browser).await);
        last.take_if(|now| wanted(now))
    };
    let what = format!("{}: {what}", browser.engine());
    match tokio::time::timeout(limit, until(&what, limit * 2, look)).await {
        Ok(player) => player,
        Err(_) => panic!("waited {limit:?} for {what}; the player is {last:?}"),
    }
}

/// Waits for moving video of this stream.
async fn plays(browser: &Browser, mount: Mount) {
    let shown = |player: &Player| player.pixels.as_ref().is_some_and(|pixels| Rgb::median(pixels).is_like(mount.mark));
    let live = |player: &Player| player.state.as_deref() == Some("live") && shown(player);
    wait(browser, &format!("{} to be live", mount.path), LIVE, live).await;
    let mut frames = FrameCounter::default();
    wait(browser, "it to move", LIVE, |player: &Player| frames.add(player.frames) > FRAMES && shown(player)).await;
}

async fn viewers(relay: &Relay, mount: Mount, count: usize) {
    relay.wait_for_viewers(mount.path, Variant::Copy, count, SOON).await;
}

#[test]
fn embed_example_behaves_as_documented() {
    within(Duration::from_secs(240), async || {
        let camera = Camera::shared(&[YARD, GATE]).await;
        Browser::each(async |browser| {
            // A relay for each engine, since the test counts its viewers.
            let mut relay = Setup::config(camera.config()).start().await;
            let (listed, stranger) = (page(LISTED, &relay).await, page(STRANGER, &relay).await);
            let origin = listed.url("");
            relay.configure(format!("allowed_origins = [\"{origin}\"]\n{}", camera.config()));
            relay.end(Signal::TERM, SOON).await;
            relay.restart().await;
            browser.open(&listed.url("/")).await;
            plays(browser, YARD).await;
            its_place(browser).await;
            snapshot(browser).await;
            stop_and_start(browser, &relay).await;
            change(browser, &relay).await;
            remove(browser, &relay).await;
            refused(browser, &stranger).await;
        })
        .await;
    });
}

#[test]
fn embedded_token_plays_by_every_protocol() {
    within(Duration::from_secs(240), async || {
        let camera = Camera::shared(&[YARD, GATE]).await;
        let mut relay = Setup::config(camera.config()).env("SIGHTLINE_TOKEN_KEY", KEY).start().await;
        let listed = page(LISTED, &relay).await;
        relay.configure(format!("allowed_origins = [\"{}\"]\n{}", listed.url(""), camera.config()));
        relay.end(Signal::TERM, SOON).await;
        relay.restart().await;
        Browser::each(async |browser| {
            let engine = browser.engine();
            let set = async |name: &str, value: &str| {
                let script = "document.querySelector('sightline-player').setAttribute(arguments[0], arguments[1])";
                browser.script(script, vec![json!(name), json!(value)]).await;
            };
            let told = |sentence: &'static str| {
                move |player: &Player| player.message.as_ref().is_some_and(|message| message.contains(sentence))
            };
            browser.open(&listed.url("/")).await;
            set("protocol", "mse").await;
            wait(browser, "to be asked for a token", LIVE, told("asks for an access token")).await;
            set("token", TOKEN).await;
            // WebKitGTK of Debian 12 shows no video by WebRTC.
            let ways = if engine == Engine::Chromium { &["mse", "hls", "webrtc"][..] } else { &["mse", "hls"] };
            for way in ways {
                set("protocol", way).await;
                let script = "return document.querySelector('sightline-player').detail.protocol";
                let goes = async || (browser.script(script, vec![]).await == *way).then_some(());
                until(&format!("{engine}: {way}"), LIVE, goes).await;
                plays(browser, YARD).await;
            }
            set("protocol", "mse").await;
            set("stream", "gate").await;
            wait(browser, "another stream to be refused", LIVE, told("is not for this")).await;
        })
        .await;
        assert!(!relay.log().contains(TOKEN), "{}", relay.log());
    });
}

/// The element has its documented size, the video fills it, and it has buttons.
async fn its_place(browser: &Browser) {
    let Player { size: [width, height, video_width, video_height], buttons, statistics, .. } = player(browser).await;
    let engine = browser.engine();
    assert!(width > 300.0 && (width / height - 16.0 / 9.0).abs() < 0.02, "{engine}: {width} x {height}");
    let fills = (width - video_width).abs() < 2.0 && (height - video_height).abs() < 2.0;
    assert!(fills, "{engine}: {video_width} x {video_height} in {width} x {height}");
    assert!(buttons >= 3 && statistics == 0, "{engine}: {buttons} buttons");
}

async fn snapshot(browser: &Browser) {
    let script = "
        window.picture = null;
        document.querySelector('sightline-player').snapshot().then(async blob => {
            const image = await createImageBitmap(blob);
            const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
            canvas.getContext('2d').drawImage(image, 0, 0);
            const pixel = canvas.getContext('2d').getImageData(image.width / 10, image.height / 10, 1, 1).data;
            window.picture = [blob.type, image.width, image.height, [...pixel].slice(0, 3)];
        });
    ";
    browser.script(script, vec![]).await;
    let decoded = async || serde_json::from_value(browser.script("return picture", vec![]).await).expect("a picture");
    let (mime, width, height, [r, g, b]): (String, u32, u32, [u8; 3]) = until("a snapshot", SOON, decoded).await;
    assert_eq!((&*mime, width, height), ("image/png", 640, 360), "{}", browser.engine());
    assert!(Rgb(r, g, b).is_like(YARD.mark), "{}: {r} {g} {b}", browser.engine());
}

/// Uses the example's button.
async fn stop_and_start(browser: &Browser, relay: &Relay) {
    let engine = browser.engine();
    let script = "
        window.events = [];
        const note = ({ type, detail }) => window.events.push([type, detail]);
        for (const type of ['statechange', 'statistics']) document.addEventListener(type, note);
    ";
    browser.script(script, vec![]).await;
    viewers(relay, YARD, 1).await;
    browser.click("#play").await;
    viewers(relay, YARD, 0).await;
    let stopped = player(browser).await;
    assert_eq!(
        (stopped.state.as_deref(), &*stopped.said, stopped.pixels),
        (Some("stopped"), "stopped", None),
        "{engine}"
    );
    browser.click("#play").await;
    plays(browser, YARD).await;
    viewers(relay, YARD, 1).await;

    let counted = async || {
        let events: Vec<(String, Value)> =
            serde_json::from_value(browser.script("return events", vec![]).await).expect("events");
        events.iter().any(|(name, detail)| name == "statistics" && detail["latencyMs"].is_number()).then_some(events)
    };
    let events = until(&format!("{engine}: statistics"), SOON, counted).await;
    let mut states: Vec<&str> = Vec::new();
    for (_, detail) in events.iter().filter(|(name, _)| name == "statechange") {
        states.push(detail["state"].as_str().expect("a state"));
    }
    assert_eq!(states.first(), Some(&"stopped"), "{engine}: {states:?}");
    assert!(states.contains(&"connecting") && states.contains(&"starting"), "{engine}: {states:?}");
    let is_live = |(_, detail): &&(String, Value)| detail["state"] == "live";
    let (_, live) = events.iter().find(is_live).unwrap_or_else(|| panic!("{engine}: {states:?}"));
    let expected = json!({ "message": null, "variant": "copy", "width": 640, "height": 360, "muted": true });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&live[name], value, "{engine}: {name} in {live}");
    }
    assert!(live["codec"].as_str().is_some_and(|codec| codec.starts_with("avc1.")), "{engine}: {live}");
}

/// Changes attributes during playback.
async fn change(browser: &Browser, relay: &Relay) {
    let set = async |name: &str, value: &str| {
        let script = "document.querySelector('sightline-player').setAttribute(arguments[0], arguments[1])";
        browser.script(script, vec![json!(name), json!(value)]).await;
    };
    set("controls", "none").await;
    set("stats", "").await;
    wait(browser, "statistics alone", SOON, |player| (player.buttons, player.statistics) == (0, 1)).await;
    viewers(relay, YARD, 1).await;
    set("stream", "gate").await;
    plays(browser, GATE).await;
    viewers(relay, YARD, 0).await;
    set("stream", "no/name").await;
    let error = |player: &Player| player.state.as_deref() == Some("error") && player.message.is_some();
    wait(browser, "what is no name to be an error", SOON, error).await;
    viewers(relay, GATE, 0).await;
    set("stream", "gate").await;
    plays(browser, GATE).await;
}

/// Removes the element from the page and inserts it again.
async fn remove(browser: &Browser, relay: &Relay) {
    let script = "window.removed = document.querySelector('sightline-player'); removed.remove()";
    viewers(relay, GATE, 1).await;
    browser.script(script, vec![]).await;
    viewers(relay, GATE, 0).await;
    assert_eq!(player(browser).await.state.as_deref(), Some("stopped"), "{}", browser.engine());
    browser.script("document.body.prepend(removed)", vec![]).await;
    plays(browser, GATE).await;
}

/// A page of an origin that the relay's configuration does not name shows the reason.
async fn refused(browser: &Browser, stranger: &Server) {
    browser.open(&stranger.url("/")).await;
    let error = |player: &Player| player.state.as_deref() == Some("error");
    let Player { message, said, frames, .. } = wait(browser, "the stranger's page to be refused", LIVE, error).await;
    let message = message.expect("a sentence");
    for word in [&stranger.url(""), "allowed_origins"] {
        assert!(message.contains(word) && said.contains(word), "{}: {message:?} {said:?}", browser.engine());
    }
    assert_eq!(frames, 0);
    // A retry shows its own message for a moment.
    let script = "
        const sentence = document.querySelector('sightline-player').shadowRoot.querySelector('.tile-message');
        const details = sentence?.closest('details');
        if (details) details.open = true;
        return sentence?.checkVisibility() ? sentence.textContent : '';
    ";
    let read = async || {
        browser.script(script, vec![]).await.as_str().filter(|read| read.contains("allowed_origins")).map(drop)
    };
    until(&format!("{}: the reason in the player", browser.engine()), LIVE, read).await;
}

mod one_browser {
    use super::*;

    #[test]
    fn embed_reports_a_load_failure() {
        within(Duration::from_secs(60), async || {
            let relay = Setup::demo().start().await;
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            // All files of the page except the module.
            let script = relay.get("/sightline-player.js").await;
            let mut files = HashMap::from([("/", ("text/html", EXAMPLE.replace(PLACEHOLDER, "/").into_bytes()))]);
            for path in
                script.text().split('"').filter_map(|word| word.strip_prefix('.')).filter(|word| word.ends_with(".js"))
            {
                files.insert(path.to_owned().leak(), ("text/javascript", relay.get(path).await.body));
            }
            assert_eq!(files.len(), 2, "the page and one file of the player's: {:?}", files.keys());
            files.insert("/sightline-player.js", ("text/javascript", script.body));
            let server = Server::start_at(SocketAddr::from((LISTED, 0)), files).await;
            browser.open(&server.url("/")).await;
            let error = |player: &Player| player.state.as_deref() == Some("error");
            let Player { said, .. } = wait(&browser, "an error", LIVE, error).await;
            let script = "return document.querySelector('sightline-player').shadowRoot.textContent";
            let read = browser.script(script, vec![]).await;
            for text in [said.as_str(), read.as_str().unwrap_or_default()] {
                assert!(text.contains("could not be loaded"), "{said:?} {read}");
            }
        });
    }
}
