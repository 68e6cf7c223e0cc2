//! WebRTC with a third-party client: `WHEPClient` of the npm package whip-whep, used as documented, in a page of another
//! origin.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{self, Browser, Engine, Rgb};
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::http::Server;
use sightline_tests::outcome::skip;
use sightline_tests::relay::Setup;
use sightline_tests::run::{until, within};

const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
/// The time limit from a cold source to a frame, with FFmpeg to be started on a busy machine.
const START: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(10);
const MOVING: Duration = Duration::from_secs(2);
/// The path to which `scripts/install.sh` installs it.
const CLIENT: &str = "../client/node_modules/whip-whep/whep.js";
/// The address of another host.
const PAGE: [u8; 4] = [127, 0, 0, 2];
/// No server listens there, and the test needs none: it only checks that the client uses the addresses.
const SERVERS: &str = "[[webrtc.ice_servers]]\nurl = \"stun:127.0.0.1:9\"\n\
    [[webrtc.ice_servers]]\nurl = \"turn:127.0.0.1:9?transport=udp\"\nusername = \"user\"\ncredential = \"pass\"\n";

/// The documentation's example, in a tile that the tests can read. A token makes each request require a preflight (Fetch
/// standard, section 4.8).
const HTML: &str = r#"<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>WHEP</title></head><body>
<article class="tile" data-stream="gate" data-state="starting"><video autoplay muted playsinline></video></article>
<script type="module">
import { WHEPClient } from "/whep.js";
window.view = async url => {
    const pc = window.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    pc.addTransceiver("audio");
    pc.addTransceiver("video");
    pc.ontrack = event => {
        if (event.track.kind == "video") document.querySelector("video").srcObject = event.streams[0];
    };
    window.whep = new WHEPClient();
    await window.whep.view(pc, url, "a token");
};
</script></body></html>"#;

/// Calls a method of the client while WebDriver waits. Returns the thrown error, if any, and all unhandled rejections.
const CALL: &str = "
    window.failed ??= [];
    window.onunhandledrejection = event => window.failed.push(String(event.reason));
    const [call, argument] = arguments;
    const calls = { view: () => window.view(argument), stop: () => window.whep.stop() };
    return calls[call]().then(() => window.failed, error => [String(error), ...window.failed]);
";
const KNOWN: &str = "return {
    servers: window.pc.getConfiguration().iceServers.map(({ urls, username }) => [String(urls), username ?? '']),
    session: String(window.whep.resourceURL),
    failed: window.failed,
}";

async fn call(browser: &Browser, name: &str, argument: &str) {
    let failed = browser.script(CALL, vec![json!(name), json!(argument)]).await;
    assert_eq!(failed, json!([]), "{name}");
}

#[test]
fn foreign_whep_client_plays_from_another_origin_and_stops() {
    within(Duration::from_secs(60), async || {
        let Ok(client) = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(CLIENT)) else {
            let missing = "whip-whep is not installed (scripts/install.sh test)";
            assert!(!browser::required(), "{missing}, and SIGHTLINE_REQUIRE_BROWSERS is set");
            return skip(missing);
        };
        // The only browser that uses ICE on 127.0.0.1.
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        let files = [("/", ("text/html", HTML.into())), ("/whep.js", ("text/javascript", client))];
        let site = Server::start_at(SocketAddr::from((PAGE, 0)), HashMap::from(files)).await;
        let origin = site.url("");
        let camera = Camera::shared(&[GATE]).await;
        let config = format!("allowed_origins = [\"{origin}\"]\n{}{SERVERS}", camera.config());
        let relay = Setup::config(config).start().await;

        browser.open(&site.url("/")).await;
        let ready = async || browser.script("return Boolean(window.view)", vec![]).await.as_bool().filter(|is| *is);
        until("the client's script", SOON, ready).await;
        call(&browser, "view", &relay.url("/whep/gate")).await;
        browser.wait_moving(GATE.path, MOVING, 40, START).await;
        let mark = browser.mark(GATE.path).await;
        assert!(mark.is_like(GATE.mark), "{mark} is shown");
        relay.wait_for_viewers(GATE.path, Variant::Copy, 1, SOON).await;
        assert!(relay.encoders().is_empty(), "the camera's own picture: {:?}", relay.encoders());

        let known: Value = browser.script(KNOWN, vec![]).await;
        let servers = json!([["stun:127.0.0.1:9", ""], ["turn:127.0.0.1:9?transport=udp", "user"]]);
        assert_eq!(known["servers"], servers, "the Link headers, through CORS");
        let session = known["session"].as_str().unwrap_or_default();
        assert!(session.starts_with(&relay.url("/whep/gate/")), "the Location, through CORS: {known}");
        assert_eq!(known["failed"], json!([]), "its candidates were taken");

        call(&browser, "stop", "").await;
        relay.wait_for_viewers(GATE.path, Variant::Copy, 0, SOON).await;
        relay.wait_for_ffmpegs(0, Duration::from_secs(LINGER_SECONDS + 6)).await;
    });
}
