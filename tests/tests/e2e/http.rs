//! The relay's plain HTTP: the page and its files, and the API.

use std::time::Duration;

use sightline_protocol::SUBPROTOCOL;
use sightline_protocol::message::{Size, StreamState};
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::get_accepting;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{PLAYS_BOTH, Viewer};

const CAM: Mount = Mount { path: "cam", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };

const H264: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0xa0, 0x40) };

const TEST: Duration = Duration::from_secs(60);
const START: Duration = Duration::from_secs(20);
/// The greatest compressed size of the whole client, in bytes.
const CLIENT_MAX: usize = 350 * 1024;

/// The addresses of the files that the page loads.
async fn files(relay: &Relay) -> Vec<String> {
    let page = relay.get("/").await.text();
    let mut files: Vec<String> = page
        .split(['"', '\''])
        .filter(|word| [".js", ".wasm", ".css"].iter().any(|end| word.ends_with(end)))
        .map(|word| format!("/{}", word.trim_start_matches(['.', '/'])))
        .collect();
    files.sort_unstable();
    files.dedup();
    files
}

#[test]
fn page_files_have_content_types_and_cache_headers() {
    within(TEST, async || {
        let relay = Setup::demo().start().await;
        let page = relay.get("/").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
        assert!(page.header("cache-control").contains("no-cache"), "a new version is seen: {:?}", page.headers);
        let files = files(&relay).await;
        for (end, mime) in [(".js", "text/javascript"), (".wasm", "application/wasm"), (".css", "text/css")] {
            let path = files.iter().find(|path| path.ends_with(end)).unwrap_or_else(|| panic!("no {end} in {files:?}"));
            let file = relay.get(path).await;
            assert_eq!(file.status, 200, "{path}");
            assert!(file.header("content-type").starts_with(mime), "{path}: {:?}", file.headers);
            assert!(file.header("cache-control").contains("max-age="), "{path}: {:?}", file.headers);
        }
    });
}

#[test]
fn client_is_small_on_the_wire() {
    within(TEST, async || {
        let relay = Setup::demo().start().await;
        let mut total = 0;
        for path in files(&relay).await {
            let file = get_accepting(relay.address(), &path, "gzip").await.expect("an answer");
            assert_eq!(file.header("content-encoding"), "gzip", "{path}");
            total += file.body.len();
        }
        assert!(total <= CLIENT_MAX, "{total} bytes of gzip");
    });
}

#[test]
fn api_lists_streams_and_their_state() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM]).await;
        let relay = Setup::config(camera.config()).start().await;
        let catalogue = relay.catalogue().await;
        assert!(catalogue.protocols.iter().any(|protocol| protocol == SUBPROTOCOL), "{catalogue:?}");
        let idle = relay.variant(CAM.path, Variant::Copy).await;
        assert_eq!((idle.state, idle.viewers, idle.codec), (StreamState::Idle, 0, None));

        let watching = Viewer::playing(&relay, CAM.path, &PLAYS_BOTH).await.watch();
        // Frames arrive in a burst when a camera is opened, and the rate settles within some seconds. A camera on a busy
        // machine sends fewer.
        let settled = |rate: f64| (10.0..26.0).contains(&rate);
        let measured =
            async || Some(relay.variant(CAM.path, Variant::Copy).await).filter(|v| v.frame_rate.is_some_and(settled));
        let live = until("the camera's frame rate", START, measured).await;
        assert_eq!((live.state, live.viewers), (StreamState::Live, 1));
        assert_eq!(live.size, Some(Size { width: 640, height: 360 }));
        assert!(live.codec.is_some_and(|codec| codec.starts_with("hvc1.1.6.")));
        // The camera's encoder roughly keeps to its configured 800 kbit/s.
        assert!(live.bit_rate.is_some_and(|rate| (50_000..2_000_000).contains(&rate)), "{:?}", live.bit_rate);
        drop(watching);
        relay.wait_for_viewers(CAM.path, Variant::Copy, 0, START).await;
        let idle = async || (relay.stream(CAM.path).await.state == StreamState::Idle).then_some(());
        until("the stream to be idle again", START, idle).await;
    });
}

/// These protocols use everything that the policy permits: sockets, requests, scripts that load later.
const WAYS: [&str; 2] = ["mse", "hls"];

/// Records violations of the policy from now on, and injects scripts as a cross-site scripting attack would.
const BREAK_IN: &str = "
    window.refused = [];
    document.addEventListener('securitypolicyviolation', (event) => window.refused.push(event.effectiveDirective));
    const inline = document.createElement('script');
    inline.textContent = 'window.brokenIn = true';
    document.body.append(inline);
    const image = document.createElement('img');
    image.src = 'data:image/png;base64,none';
    image.setAttribute('onerror', 'window.brokenIn = true');
    document.body.append(image);
    fetch('http://127.0.0.1:9/').catch(() => {});
";
const REFUSED: &str = "return [!!window.brokenIn, [...new Set(window.refused)].sort()]";

#[test]
fn routes_answer_with_status_and_type() {
    within(TEST, async || {
        let relay = Setup::demo().start().await;
        assert_eq!(relay.get("/healthz").await.status, 200);
        let streams = relay.get("/api/streams").await;
        assert!(streams.header("content-type").starts_with("application/json"), "{:?}", streams.headers);
        assert_eq!(streams.header("cache-control"), "no-store");
        let help = relay.get("/api/mse/test").await;
        assert!(help.text().contains("/ws/mse/{stream}") && help.text().contains("codec:hevc"), "{}", help.text());
        assert_eq!(relay.get("/api/nope").await.status, 404);
        assert_eq!(relay.get("/ws/mse/cam0").await.status / 100, 4, "a WebSocket address, asked for a page");
    });
}

mod browser {
    use super::*;

    #[test]
    fn content_security_policy_allows_only_the_page() {
        within(TEST * 3, async || {
            let camera = Camera::shared(&[H264]).await;
            let relay = Setup::config(camera.config()).start().await;
            let page = relay.get("/").await;
            let policy = page.header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-"),
                "{policy}"
            );
            assert_eq!(page.header("x-content-type-options"), "nosniff");
            assert_eq!(relay.get("/api/streams").await.header("x-content-type-options"), "nosniff");

            Browser::each(async |browser| {
                let engine = browser.engine();
                for way in WAYS {
                    browser.open(&relay.url(&format!("/?protocol={way}"))).await;
                    browser.wait_live(H264.path, START).await;
                    let mark = browser.mark(H264.path).await;
                    assert!(mark.is_like(H264.mark), "{engine}, {way}: {mark}");
                }
                browser.script(BREAK_IN, vec![]).await;
                let refused = async || {
                    let (broken_in, refused): (bool, Vec<String>) =
                        serde_json::from_value(browser.script(REFUSED, vec![]).await).expect("what was refused");
                    assert!(!broken_in, "{engine}: a script of somebody else's ran");
                    (refused == ["connect-src", "script-src-attr", "script-src-elem"]).then_some(())
                };
                until(&format!("{engine} to refuse the script and the connection"), START, refused).await;
            })
            .await;
        });
    }
}
