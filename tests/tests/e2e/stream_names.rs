//! Stream names with slashes, spaces and non-ASCII letters, in every address, in a token, in metrics and logs. Names that look
//! like routes, and names that are refused. `browser/stream_names.rs` tests them in browsers.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use sightline_protocol::address::Address;
use sightline_protocol::catalogue::Catalogue;
use sightline_protocol::close;
use sightline_protocol::stream::VariantChoice;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{self, Response};
use sightline_tests::offer::offer;
use sightline_tests::relay::{Relay, Setup, binary};
use sightline_tests::run::{say, until, within};
use sightline_tests::viewer::{PLAYS_H264, Viewer};

pub(crate) const NAME: &str = "site/cam 1/ü";
/// The name in an address.
pub(crate) const PATH: &str = "site/cam%201/%C3%BC";
pub(crate) const SITE: Mount = Mount { path: PATH, kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
pub(crate) const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };

pub(crate) const KEY: &str = "a key of thirty-two bytes or more";
pub(crate) const TEST: Duration = Duration::from_secs(180);
pub(crate) const LIVE: Duration = Duration::from_secs(40);
pub(crate) const SOON: Duration = Duration::from_secs(8);

/// A relay's configuration with these streams of the camera, by the pattern of `[mediamtx]`.
pub(crate) fn config(camera: &Camera, names: &[&str]) -> String {
    format!("{}[mediamtx]\nsource = \"{}\"\nstreams = {names:?}\n", camera.config_of([]), camera.url("{stream}"))
}

/// A relay of [`SITE`] and [`GATE`].
pub(crate) async fn scene() -> Relay {
    let camera = Camera::shared(&[SITE, GATE]).await;
    Setup::config(config(camera, &[NAME, GATE.path])).start().await
}

/// A token for these streams, as `sightline token` prints it.
pub(crate) fn token(streams: &[&str]) -> Result<String, String> {
    let mut command = Command::new(binary());
    command.arg("token").args(streams.iter().flat_map(|name| ["--stream", name])).env("SIGHTLINE_TOKEN_KEY", KEY);
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The first frames that ffprobe reads at this URL: their number and width, or its error messages.
pub(crate) async fn ffprobe(url: String) -> Result<(u32, u32), String> {
    let run = move || {
        let mut command = Command::new("ffprobe");
        command.args(["-v", "error", "-read_intervals", "%+#10", "-count_packets", "-select_streams", "v:0"]);
        command.args(["-show_entries", "stream=width,nb_read_packets", "-of", "csv=p=0", &url]);
        command.output().expect("ffprobe is installed")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.lines().next().and_then(|line| line.trim_end_matches(',').split_once(','));
    let read = numbers.and_then(|(width, count)| Some((count.parse().ok()?, width.parse().ok()?)));
    read.ok_or_else(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn token_for_a_path_opens_that_stream_and_no_other() {
    within(TEST, async || {
        let camera = Camera::shared(&[SITE, GATE]).await;
        let names = [NAME, GATE.path, "site", "site/cam 1", "site/cam 1/ü/x"];
        let relay = Setup::config(config(camera, &names)).env("SIGHTLINE_TOKEN_KEY", KEY).start().await;
        let token = token(&["site/cam 1/u\u{308}"]).expect("a token");
        let get =
            async |path: &str| http::get(relay.address(), &format!("{path}?token={token}")).await.expect("an answer");

        let catalogue: Catalogue = serde_json::from_slice(&get("/api/streams").await.body).expect("a catalogue");
        assert_eq!(catalogue.streams.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(), [NAME]);
        for name in [PATH, "site%2Fcam%201%2F%C3%BC", "site/cam%201/%c3%bc", "%73ite/cam%201/u%CC%88"] {
            for file in ["index.m3u8", "copy/media.m3u8"] {
                let answer = get(&format!("/hls/{name}/{file}")).await;
                assert_eq!(answer.status, 200, "{name}/{file}: {}", answer.text());
            }
            let offer = post(&relay, &format!("/whep/{name}?token={token}"), "not an offer").await;
            assert_eq!(offer.status, 400, "{name}: {}", offer.text());
        }
        for path in [
            "/hls/gate/index.m3u8",
            "/hls/site/index.m3u8",
            "/hls/site/cam%201/index.m3u8",
            "/hls/site/cam%201/%C3%BC/x/index.m3u8",
            // Encoded twice, with segments that a proxy would resolve, and with repeated slashes.
            "/hls/site%252Fcam%25201%252F%25C3%25BC/index.m3u8",
            "/hls/site/cam%201/%C3%BC/../../../gate/index.m3u8",
            "/hls/site/cam%201/%C3%BC/%2e%2e/%2e%2e/%2E%2E/gate/index.m3u8",
            "/hls/site%2Fcam%201%2F%C3%BC%2F..%2F..%2F..%2Fgate/index.m3u8",
            "/hls/site//cam%201/%C3%BC/index.m3u8",
            "/hls//site/cam%201/%C3%BC/index.m3u8",
            "/hls/site/cam%201/%C3%BC//index.m3u8",
            "/hls/site%5Ccam%201%5C%C3%BC/index.m3u8",
            "/hls/site/cam%201/%C3%BC/copy/low/media.m3u8",
            "/hls/gate/copy/media.m3u8",
        ] {
            let answer = get(path).await;
            assert!(answer.status == 403 && answer.text().contains("not for this"), "{path}: {}", answer.status);
        }
        for path in ["/whep/gate", "/whep/site%252Fcam%25201%252F%25C3%25BC", "/whep/site/cam%201/%C3%BC/x"] {
            let answer = post(&relay, &format!("{path}?token={token}"), "not an offer").await;
            assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        }

        let mut viewer = Viewer::with_token(&relay, NAME, &token).await;
        viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
        viewer.take_media(3, LIVE).await;
        for stream in
            ["gate", "site", "site/cam%201/%C3%BC/", "site//cam%201/%C3%BC", "site%252Fcam%25201%252F%25C3%25BC"]
        {
            let (message, code, _) = Viewer::with_token(&relay, stream, &token).await.wait_closed(SOON).await;
            assert!(message.contains("not for this") && code == Some(close::FORBIDDEN), "{stream}: {message}");
        }

        let (frames, _) = ffprobe(relay.url(&format!("/hls/{PATH}/index.m3u8?token={token}"))).await.expect("frames");
        assert_eq!(frames, 10);
        assert!(!relay.log().contains(&token), "{}", relay.log());
    });
}

async fn post(relay: &Relay, path: &str, body: &str) -> Response {
    let headers = [("Content-Type", "application/sdp")];
    http::send(relay.address(), "POST", path, &headers, body.into()).await.expect("an answer")
}

/// Streams with names that look like routes, each with its own size and colour.
pub(crate) const ROUTES: [Mount; 4] = [
    mount("a", 320, Rgb(0x20, 0x40, 0xc0)),
    mount("a/copy", 384, Rgb(0xc0, 0x40, 0x20)),
    mount("a/media.m3u8", 448, Rgb(0x20, 0xa0, 0x40)),
    mount("a/index.m3u8", 512, Rgb(0xa0, 0x20, 0xa0)),
];

const fn mount(path: &'static str, width: u16, mark: Rgb) -> Mount {
    Mount { path, kind: Kind::Sized(width, width / 2), mark }
}

#[test]
fn names_that_look_like_routes_are_streams_of_their_own() {
    within(TEST, async || {
        let camera = Camera::shared(&ROUTES).await;
        let names = ROUTES.map(|mount| mount.path);
        let relay = Setup::config(config(camera, &names)).start().await;
        for Mount { path: name, kind, .. } in ROUTES {
            let Kind::Sized(width, height) = kind else { unreachable!("each has a size") };
            let index = relay.get(&format!("/hls/{name}/index.m3u8")).await;
            let size = format!("RESOLUTION={width}x{height}");
            assert!(index.status == 200 && index.text().contains(&size), "{name}: {}", index.text());
            // Reads the playlist, its init segment and its segments.
            let read = ffprobe(relay.url(&format!("/hls/{name}/copy/media.m3u8"))).await;
            assert_eq!(read, Ok((10, width.into())), "{name}");
            let mut viewer = Viewer::playing(&relay, name, &PLAYS_H264).await;
            let ready = viewer.wait_ready(LIVE).await;
            let sizes: Vec<_> = ready.tracks.iter().filter_map(|track| Some(track.size?.width)).collect();
            assert_eq!(sizes, [width], "{name}");
        }
    });
}

/// Refused names, in TOML, and a part of the error message.
const REFUSED: [(&str, &str); 11] = [
    ("", "is empty; give a name"),
    ("a//b", "contains //; write a single /"),
    ("/a", "begins with /; remove it"),
    ("a/", "ends with /; remove it"),
    ("a/../b", "contains the segment ..; rename"),
    ("./a", "contains the segment .; rename"),
    ("a%2Fb", "contains %; write the character itself"),
    ("a\\\\b", "contains a backslash; separate segments with /"),
    ("a\\nb", "contains the control character U+000A; remove it"),
    ("a\\u202Eb", "contains the invisible character U+202E; remove it"),
    ("a*", "contains *, which stands for any text in patterns of streams; choose another name"),
];

#[test]
fn refused_names_are_one_sentence_each() {
    within(TEST, async || {
        let long = "x".repeat(129);
        for (name, words) in REFUSED.into_iter().chain([(&*long, "has 129 bytes; shorten it to 128 bytes")]) {
            let stream = format!("[streams.\"{name}\"]\nsource = \"x\"\n");
            let pattern = format!("[mediamtx]\nsource = \"{{stream}}\"\nstreams = [\"{name}\"]\n");
            for (config, line) in [(stream, "line 1"), (pattern, "line 3")] {
                let (status, text) = Setup::config(config).refusal().await;
                assert!(!status.success() && text.contains(line) && text.contains(words), "{name}: {text}");
                assert_eq!(text.lines().count(), 1, "{name}: {text}");
            }
        }
        for (name, words) in [("a//*", "contains //"), ("a%2Fb", "contains %"), ("a/**", "contains **")] {
            let error = token(&[name]).expect_err(name);
            assert!(error.contains("--stream") && error.contains(words), "{name}: {error}");
        }

        let relay = Setup::config("[streams.a]\nsource = \"x\"\n").start().await;
        for (path, words) in [
            ("a//b", "contains //"),
            ("a%2F%2Fb", "contains //"),
            ("/a", "begins with /"),
            ("%2Fa", "begins with /"),
            ("a/../b", "segment .."),
            ("a/%2e%2e/b", "segment .."),
            ("a%252Fb", "contains %"),
            ("a%5Cb", "backslash"),
            ("a%00", "U+0000"),
            ("%E2%80%AEa", "U+202E"),
            ("a%FF", "is not UTF-8"),
            ("*", "stands for any text"),
            (&long, "has 129 bytes"),
        ] {
            let (message, code, _) = Viewer::v1(&relay, path).await.wait_closed(SOON).await;
            assert!(message.contains(words) && code == Some(close::BAD_REQUEST), "{path}: {message} {code:?}");
            for answer in
                [relay.get(&format!("/hls/{path}/index.m3u8")).await, post(&relay, &format!("/whep/{path}"), "").await]
            {
                assert!(answer.status == 400 && answer.text().contains(words), "{path}: {}", answer.text());
                assert_eq!(answer.text().lines().count(), 1, "{path}: {}", answer.text());
            }
        }
        assert!(!relay.log().contains('\u{202e}') && !relay.log().contains('\0'), "{}", relay.log());
    });
}

#[test]
fn metrics_api_events_and_log_escape_names() {
    within(TEST, async || {
        let camera = Camera::shared(&[SITE, GATE]).await;
        let odd = "say \"hi\" & <b>?#";
        let relay = Setup::config(config(camera, &[NAME, odd])).start().await;
        let catalogue = relay.catalogue().await;
        assert_eq!(catalogue.streams.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(), [NAME, odd]);
        let mut viewer = Viewer::playing(&relay, NAME, &PLAYS_H264).await;
        viewer.take_media(3, LIVE).await;

        let metrics = relay.get("/metrics").await.text();
        let label = |line: &str| Some(line.split_once("{stream=\"")?.1.split_once("\",variant=")?.0.to_owned());
        let labels: BTreeSet<_> = metrics.lines().filter_map(label).collect();
        let escaped = "say \\\"hi\\\" & <b>?#";
        assert_eq!(labels, [NAME, escaped].map(str::to_owned).into(), "{metrics}");

        drop(viewer);
        let logged = async |text: &str| {
            until(text, SOON, async || relay.log().contains(text).then_some(())).await;
        };
        logged("viewer ended: ").await;
        logged("stream=\"site/cam 1/ü\"").await;
        logged("rendition=\"site/cam 1/ü/copy\"").await;
        // The source of that stream does not exist.
        let (told, ..) = Viewer::plain(&relay, odd).await.wait_closed(LIVE).await;
        assert!(told.starts_with("error:"), "{told}");
        logged("stream=\"say \\\"hi\\\" & <b>?#\"").await;
    });
}

#[test]
fn whep_session_is_found_however_the_endpoint_was_written() {
    within(TEST, async || {
        let relay = scene().await;
        for endpoint in [PATH, "site%2Fcam%201%2F%C3%BC", "site/cam%201/u%CC%88", "site/cam%201%2F%c3%bc"] {
            let answer = post(&relay, &format!("/whep/{endpoint}"), &offer(&["H264"])).await;
            assert_eq!(answer.status, 201, "{endpoint}: {}", answer.text());
            let base = endpoint.rsplit_once('/').map_or(String::new(), |(before, _)| format!("{before}/"));
            let session = format!("/whep/{base}{}", answer.header("location"));
            let Ok(Address::WhepSession { stream, session: id }) = Address::read("DELETE", &session) else {
                panic!("{session}")
            };
            assert_eq!(id.len(), 32, "{session}");
            say(&format!("{endpoint}: {session} of {stream}"));
            let delete = async |path: &str| {
                http::send(relay.address(), "DELETE", path, &[], Vec::new()).await.expect("an answer").status
            };
            assert_eq!(delete(&format!("/whep/gate/{id}")).await, 404, "another stream's");
            assert_eq!(delete(&session).await, 200, "{session}");
            assert_eq!(delete(&session).await, 404, "{session}");
        }
    });
}
