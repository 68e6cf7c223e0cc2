//! WHEP players written for other servers, in pages of another origin, each set up as in its documentation.
//!
//! `whep_client.rs` tests whip-whep. `docs/players.md` has the table of all tested players.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{self, Browser, Engine, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{File, Server};
use sightline_tests::outcome::skip;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};

const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const TEST: Duration = Duration::from_secs(60);
/// The time limit from a cold source to a frame, with FFmpeg to be started on a busy machine.
const START: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(10);
const MOVING: Duration = Duration::from_secs(2);
/// Of the 50 frames that a camera sends in that time.
const FRAMES: u64 = 40;
/// The tracks of the first viewer of a source. That for sound gets no packet, because the camera has none.
const SILENT: &[&str] = &["audio", "video"];
/// The folder to which `scripts/install.sh` installs npm packages.
const PACKAGES: &str = "../client/node_modules";
/// The address of another host.
const PAGE: [u8; 4] = [127, 0, 0, 2];

/// The page of every player: a tile that the tests can read, and `play(url)`, which each player's script defines.
/// `window.tracks` lists the player's tracks, `window.failed` its errors.
fn html(script: &str) -> String {
    format!(
        r#"<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>WHEP</title></head><body>
<article class="tile" data-stream="gate" data-state="starting"><video autoplay muted playsinline></video></article>
<script>
window.tracks = [];
window.failed = [];
window.onunhandledrejection = event => window.failed.push(String(event.reason));
window.video = document.querySelector("video");
window.note = event => window.tracks.push([event.track.kind, event.streams.length]);
</script>
{script}</body></html>"#
    )
}

/// The player of most samples, which shows the stream of the last track. A section is a kind, a direction and a codec.
const SIMPLEST: &str = r#"<script>
window.play = async (url, sections) => {
    const pc = window.pc = new RTCPeerConnection();
    pc.addEventListener("track", window.note);
    pc.ontrack = event => window.video.srcObject = event.streams[0];
    for (const section of sections) {
        const [kind, direction = "recvonly", codec] = section.split(" ");
        if (kind === "data") {
            pc.createDataChannel("");
            continue;
        }
        const transceiver = pc.addTransceiver(kind, { direction });
        const codecs = RTCRtpReceiver.getCapabilities(kind).codecs;
        if (codec) transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === `${kind}/${codec}`));
    }
    await pc.setLocalDescription();
    const headers = { "Content-Type": "application/sdp" };
    const answer = await fetch(url, { method: "POST", headers, body: pc.localDescription.sdp });
    const text = await answer.text();
    if (answer.status !== 201) return { status: answer.status, text };
    window.session = new URL(answer.headers.get("Location"), url).href;
    await pc.setRemoteDescription({ type: "answer", sdp: text });
    return { status: 201, variant: answer.headers.get("Sightline-Variant") };
};
</script>"#;

/// The first example of mediamtx-webrtc-react, which is MediaMTX's `reader.js` in TypeScript. The same file contains unused
/// React components, for which the import map provides empty modules.
const MEDIAMTX: &str = r#"<script type="importmap">{ "imports": {
    "react": "data:text/javascript,export default {}; export const useEffect = null, useRef = null, useState = null, useCallback = null;",
    "react/jsx-runtime": "data:text/javascript,export const jsx = null, jsxs = null;"
} }</script>
<script type="module">
import { MediaMTXWebRTCReader } from "/player.js";
window.play = async url => {
    window.player = new MediaMTXWebRTCReader({
        url,
        onError: error => window.failed.push(error),
        onTrack: event => {
            window.note(event);
            window.video.srcObject = event.streams[0];
        },
    });
};
window.stop = async () => window.player.close();
</script>"#;

/// The example of @eyevinn/webrtc-player. The package is CommonJS, which a bundler would resolve. Its other dependencies serve
/// advertisements and another protocol.
const EYEVINN: &str = r#"<script type="module">
const Native = RTCPeerConnection;
window.RTCPeerConnection = class extends Native {
    constructor(...options) {
        super(...options);
        this.addEventListener("track", window.note);
    }
};
const load = async (path, require) => {
    const [module, text] = [{ exports: {} }, await (await fetch(path)).text()];
    new Function("module", "exports", "require", text)(module, module.exports, require);
    return module.exports;
};
const events = await load("/events.js");
const { WebRTCPlayer } = await load("/player.js", name => (name === "events" ? events : {}));
window.play = async url => {
    window.player = new WebRTCPlayer({ video: window.video, type: "whep", statsTypeFilter: "^candidate-*|^inbound-rtp" });
    for (const name of ["peer-connection-failed", "initial-connection-failed", "connect-error"]) {
        window.player.on(name, () => window.failed.push(name));
    }
    await window.player.load(new URL(url));
};
window.stop = () => window.player.unload();
</script>"#;

const READY: &str = "return Boolean(window.play)";
const PLAY: &str = "return window.play(...arguments).then(
    answer => answer ?? null,
    error => { window.failed.push(String(error)); return null; },
)";
const STOP: &str = "return window.stop().then(() => null, error => String(error))";
const TRACKS: &str = "return [window.tracks.sort(), window.failed]";
const LEAVE: &str = "window.pc.close()";
const DELETE: &str = "return fetch(window.session, { method: 'DELETE' })
    .then(async answer => [answer.status, await answer.text()], error => [0, String(error)])";

/// A browser with a player's page, and a relay that allows the page's origin.
struct Stage {
    browser: Browser,
    relay: Relay,
    site: Server,
}

impl Stage {
    /// Uses the only browser that uses ICE on 127.0.0.1 and has H.264 for WebRTC. None if it is not installed.
    async fn open(script: &str, files: impl IntoIterator<Item = (&'static str, File)>) -> Option<Self> {
        let browser = Browser::start(Engine::Chromium).await?;
        let page = ("/", ("text/html", html(script).into_bytes()));
        let files: HashMap<_, _> = files.into_iter().chain([page]).collect();
        let site = Server::start_at(SocketAddr::from((PAGE, 0)), files).await;
        let camera = Camera::shared(&[GATE]).await;
        let config = format!("allowed_origins = [\"{}\"]\n{}", site.url(""), camera.config());
        let relay = Setup::config(config).start().await;
        let stage = Self { browser, relay, site };
        stage.reload().await;
        Some(stage)
    }

    async fn reload(&self) {
        self.browser.open(&self.site.url("/")).await;
        let ready = async || self.browser.script(READY, vec![]).await.as_bool().filter(|ready| *ready);
        until("the player's script", SOON, ready).await;
    }

    fn endpoint(&self) -> String {
        self.relay.url(&format!("/whep/{}", GATE.path))
    }

    /// Plays with these sections, or as the player's example does.
    async fn play(&self, sections: &[&str]) -> Value {
        self.browser.script(PLAY, vec![json!(self.endpoint()), json!(sections)]).await
    }

    /// Asserts that the camera's own frames are shown, and that the player received these kinds of tracks, each in one stream.
    async fn shows_tracks(&self, what: &str, kinds: &[&str]) {
        self.browser.wait_moving(GATE.path, MOVING, FRAMES, START).await;
        let mark = self.browser.mark(GATE.path).await;
        assert!(mark.is_like(GATE.mark), "{what}: {mark} is shown");
        let given = self.browser.script(TRACKS, vec![]).await;
        let tracks: Vec<_> = kinds.iter().map(|kind| json!([kind, 1])).collect();
        assert_eq!(given, json!([tracks, []]), "{what}: tracks with their number of streams, and errors");
        self.relay.wait_for_viewers(GATE.path, Variant::Copy, 1, SOON).await;
        assert!(self.relay.encoders().is_empty(), "{what}: {:?}", self.relay.encoders());
    }

    async fn no_viewers(&self) {
        self.relay.wait_for_viewers(GATE.path, Variant::Copy, 0, SOON).await;
    }
}

/// A file of an npm package. None, with a `SKIPPED:` line, if it is neither installed nor required.
fn package(path: &str) -> Option<File> {
    let file = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(PACKAGES).join(path));
    if file.is_err() {
        let missing = format!("{path} is not installed (scripts/install.sh test)");
        assert!(!browser::required(), "{missing}, and SIGHTLINE_REQUIRE_BROWSERS is set");
        skip(&missing);
    }
    Some(("text/javascript", file.ok()?))
}

#[test]
fn player_of_the_last_track_shows_video() {
    within(TEST, async || {
        let Some(stage) = Stage::open(SIMPLEST, []).await else { return };
        let offers: [&[&str]; 6] = [
            &["audio", "video"],
            &["video", "audio", "data"],
            &["audio inactive", "video"],
            &["video", "video", "video"],
            // The first section, which usually carries the candidates, has no codec of the relay.
            &["audio recvonly G722", "video"],
            &["video recvonly VP8", "audio", "video"],
        ];
        // The source has not run: its sound, which it does not have, is promised.
        let mut tracks = SILENT;
        for offer in offers {
            let answer = stage.play(offer).await;
            assert_eq!(answer["status"], 201, "{offer:?}: {answer}");
            stage.shows_tracks(&format!("{offer:?}"), tracks).await;
            tracks = &["video"];
            assert_eq!(stage.browser.script(DELETE, vec![]).await[0], 200, "{offer:?}");
            stage.no_viewers().await;
            stage.reload().await;
        }
    });
}

#[test]
fn offer_without_active_video_is_refused_with_406() {
    within(TEST, async || {
        let Some(stage) = Stage::open(SIMPLEST, []).await else { return };
        let offers: [&[&str]; 4] = [&["data"], &["video inactive"], &["audio", "video inactive"], &["audio"]];
        for offer in offers {
            let answer = stage.play(offer).await;
            let text = answer["text"].as_str().unwrap_or_default();
            assert_eq!(answer["status"], 406, "{offer:?}: {answer}");
            assert!(text.starts_with("The offer asks for no video") && text.lines().count() == 1, "{offer:?}: {text}");
        }
        stage.no_viewers().await;
    });
}

#[test]
fn late_delete_is_answered_404() {
    within(TEST, async || {
        let Some(stage) = Stage::open(SIMPLEST, []).await else { return };
        assert_eq!(stage.play(&["video", "audio"]).await["status"], 201);
        stage.browser.wait_moving(GATE.path, MOVING, FRAMES, START).await;
        stage.browser.script(LEAVE, vec![]).await;
        stage.no_viewers().await;
        let left = stage.browser.script("return window.session", vec![]).await;

        let answer = stage.play(&["video", "audio"]).await;
        assert_eq!((&answer["status"], &answer["variant"]), (&json!(201), &json!("copy")), "{answer}");
        let present = stage.browser.script("return window.session", vec![]).await;
        stage.browser.script("window.session = arguments[0]", vec![left]).await;
        let late = stage.browser.script(DELETE, vec![]).await;
        assert_eq!(late[0], 404, "{late}");
        assert!(late[1].as_str().is_some_and(|text| text.starts_with("There is no such session")), "{late}");
        stage.browser.wait_moving(GATE.path, MOVING, FRAMES, SOON).await;
        stage.browser.script("window.session = arguments[0]", vec![present]).await;
        assert_eq!(stage.browser.script(DELETE, vec![]).await[0], 200);
        stage.no_viewers().await;
    });
}

#[test]
fn session_with_more_data_channels_than_players_open_is_ended() {
    within(TEST, async || {
        let Some(stage) = Stage::open(SIMPLEST, []).await else { return };
        let few: Vec<&str> = ["video"].into_iter().chain(["data"; 16]).collect();
        assert_eq!(stage.play(&few).await["status"], 201);
        stage.shows_tracks("16 data channels", &["video"]).await;
        stage.browser.script("window.pc.createDataChannel('one more')", vec![]).await;
        stage.no_viewers().await;
    });
}

#[test]
fn mediamtx_reader_plays_and_stops() {
    within(TEST, async || {
        let Some(reader) = package("mediamtx-webrtc-react/dist/index.js") else { return };
        let Some(stage) = Stage::open(MEDIAMTX, [("/player.js", reader)]).await else { return };
        stage.play(&[]).await;
        stage.shows_tracks("MediaMTX's reader", SILENT).await;
        assert_eq!(stage.browser.script(STOP, vec![]).await, Value::Null);
        stage.no_viewers().await;
    });
}

#[test]
fn eyevinn_webrtc_player_plays_and_stops() {
    within(TEST, async || {
        let (player, events) = (package("@eyevinn/webrtc-player/dist/main.js"), package("events/events.js"));
        let Some((player, events)) = player.zip(events) else { return };
        let files = [("/player.js", player), ("/events.js", events)];
        let Some(stage) = Stage::open(EYEVINN, files).await else { return };
        stage.play(&[]).await;
        stage.shows_tracks("@eyevinn/webrtc-player", SILENT).await;
        assert_eq!(stage.browser.script(STOP, vec![]).await, Value::Null);
        stage.no_viewers().await;
    });
}
