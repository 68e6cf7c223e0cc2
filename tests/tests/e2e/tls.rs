//! The relay's own HTTPS: viewers of every kind, certificates renewed during playback, and clients that never finish a
//! handshake.

use std::process::Command;
use std::time::{Duration, Instant};

use sightline_tests::browser::{Browser, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::tls::{Files, Identity, is_another};
use sightline_tests::viewer::{BackgroundViewer, PLAYS_H264, Viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::version;

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const PASSWORD: &str = "open sesame";
const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);
const CHECK: Duration = Duration::from_secs(30);
/// Less than the interval of five seconds at which the relay checks its files.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn encrypted(identity: &Identity, more: &str) -> (&'static Camera, Files, Relay) {
    let camera = Camera::shared(&[CAM]).await;
    let files = Files::new(identity);
    let relay = Setup::config(format!("{}\n{}\n{more}", camera.config(), files.config())).start().await;
    (camera, files, relay)
}

async fn watch(identity: &Identity, relay: &Relay) -> BackgroundViewer {
    let connection = identity.connect(relay.address()).await.expect("it is trusted");
    let viewer = Viewer::playing_over(connection, relay, CAM.path, &PLAYS_H264).await.watch();
    until("a viewer's first fragments", START, async || (viewer.seen().fragments > 5).then_some(())).await;
    viewer
}

/// Waits for more fragments and asserts that none were lost.
async fn lost_nothing(viewer: &BackgroundViewer) {
    let so_far = viewer.seen().fragments;
    until("more fragments", SOON, async || (viewer.seen().fragments > so_far + 10).then_some(())).await;
    assert!(viewer.seen().losses.is_empty(), "{:?}", viewer.seen().losses);
}

#[test]
fn every_protocol_works_over_tls() {
    within(TEST, async || {
        let identity = Identity::new();
        let (_camera, _files, relay) = encrypted(&identity, "").await;
        assert!(relay.url("/").starts_with("https://"), "it says so: {}", relay.log());
        let viewer = watch(&identity, &relay).await;
        let playlist = async || {
            let answer = identity.get(relay.address(), "/hls/cam/copy/media.m3u8").await.expect("an answer");
            (answer.status == 200 && answer.text().contains(".m4s")).then_some(())
        };
        until("a playlist with segments", START, playlist).await;
        let url = relay.url("/hls/cam/index.m3u8");
        let probe = move || {
            let mut command = Command::new("ffprobe");
            command.args(["-v", "error", "-read_intervals", "%+#10", "-count_packets", "-select_streams", "v"]);
            command.args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", &url]);
            command.output().expect("ffprobe is there")
        };
        let read = tokio::task::spawn_blocking(probe).await.expect("it runs");
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        assert!(text.lines().any(|line| line.starts_with("10")), "{text} {}", String::from_utf8_lossy(&read.stderr));
        lost_nothing(&viewer).await;

        // Televisions use the older version.
        for by in [&version::TLS12, &version::TLS13] {
            let connection = identity.connect_for_page(relay.address(), by).await.expect("a connection");
            let (_, session) = connection.get_ref();
            assert_eq!(session.protocol_version(), Some(by.version));
            assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        }
        // A request by http to the https port.
        let answer = http::get(relay.address(), "/").await.expect("an answer");
        assert!(answer.status == 400 && answer.text().contains("https://"), "{} {}", answer.status, answer.text());
    });
}

#[test]
fn renewed_certificate_applies_to_new_connections_only() {
    within(TEST, async || {
        let [first, second, third] = std::array::from_fn(|_| Identity::new());
        let (camera, files, mut relay) = encrypted(&first, "").await;
        let viewer = watch(&first, &relay).await;

        // The files are replaced one after the other and do not match in between.
        files.write_certificate(&second);
        let told = async || relay.log().contains("is not the key of the first certificate").then_some(());
        until("the mismatch to be told", SOON, told).await;
        first.connect(relay.address()).await.expect("the old one stays");
        files.write_key(&second);
        until("the second one", SOON, async || second.connect(relay.address()).await.ok()).await;
        let error = first.connect(relay.address()).await.expect_err("it is another");
        assert!(is_another(&error), "{error:?}");

        // The relay has checked its files a moment ago.
        files.write_key(&third);
        files.write_certificate(&third);
        relay.reload(&format!("{}\n{}\n", camera.config(), files.config()));
        until("the third one", AT_ONCE, async || third.connect(relay.address()).await.ok()).await;
        lost_nothing(&viewer).await;
        assert_eq!(relay.log().matches("is not the key of").count(), 1, "told once: {}", relay.log());
        assert!(!relay.log().contains("PRIVATE"), "{}", relay.log());
    });
}

#[test]
fn unfinished_handshake_is_closed_in_time() {
    within(TEST, async || {
        let identity = Identity::new();
        let (_camera, _files, relay) = encrypted(&identity, "[limits]\nheader_seconds = 1\n").await;
        let viewer = watch(&identity, &relay).await;
        let silent = async |address, bytes: &'static [u8]| {
            let (mut stream, begun) = (TcpStream::connect(address).await.expect("it listens"), Instant::now());
            for byte in bytes {
                // The relay may have closed it already.
                let _ = stream.write_all(&[*byte]).await;
                sleep(Duration::from_millis(250)).await;
            }
            let end = timeout(SOON, stream.read(&mut [0; 64])).await.expect("it is closed");
            // The connection is reset if bytes arrive after the close.
            assert!(end.as_ref().map_or(true, |&read| read == 0), "{end:?}");
            begun.elapsed()
        };
        // The beginning of a ClientHello, one byte at a time.
        let slow = b"\x16\x03\x01\x02\x00\x01\x00";
        let (address, mut tasks) = (relay.address(), tokio::task::JoinSet::new());
        for n in 0..200 {
            let bytes: &[u8] = if n % 2 == 0 { b"" } else { slow };
            tasks.spawn(async move { silent(address, bytes).await });
        }
        let took = tasks.join_all().await;
        let longest = took.iter().max().expect("some");
        assert!(*longest < Duration::from_secs(4), "{longest:?}");
        lost_nothing(&viewer).await;
        // A client that finishes the handshake and sends no request.
        let mut idle = identity.connect(relay.address()).await.expect("a connection");
        let end = timeout(SOON, idle.read(&mut [0; 64])).await.expect("it is closed");
        assert!(end.as_ref().map_or(true, |&read| read == 0), "{end:?}");
    });
}

#[test]
fn connection_limit_is_reported_over_tls() {
    within(TEST, async || {
        let identity = Identity::new();
        let (_camera, _files, relay) = encrypted(&identity, "[limits]\nconnections = 2\n").await;
        let first = identity.connect(relay.address()).await.expect("a connection");
        let second = identity.connect(relay.address()).await.expect("a connection");
        let answer = identity.get(relay.address(), "/").await.expect("an answer");
        assert!(answer.status == 429 && answer.text().contains("limits.connections"), "{}", answer.text());
        let answer = http::get(relay.address(), "/").await.expect("an answer");
        assert_eq!(answer.status, 429, "{}", answer.text());
        drop((first, second));
        let free = async || (identity.get(relay.address(), "/healthz").await.ok()?.status == 200).then_some(());
        until("a place to be free again", SOON, free).await;
    });
}

#[test]
fn cookies_and_origins_use_https() {
    within(TEST, async || {
        let identity = Identity::new();
        let camera = Camera::shared(&[CAM]).await;
        let files = Files::new(&identity);
        let setup = Setup::config(format!("{}\n{}\n", camera.config(), files.config()));
        let relay = setup.env("SIGHTLINE_PASSWORD", PASSWORD).start().await;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = "password=open%20sesame";
        let login = identity.send(relay.address(), "POST", "/login", &form, body).await.expect("an answer");
        let set = login.header("set-cookie");
        assert!(login.status == 303 && set.ends_with("; Secure"), "{} {set}", login.status);
        let cookie = set.split(';').next().expect("a cookie");
        for (origin, status) in [("https://localhost", 200), ("http://localhost", 403), ("https://evil.example", 403)] {
            let headers = [("cookie", cookie), ("origin", origin)];
            let answer = identity.send(relay.address(), "GET", "/hls/cam/index.m3u8", &headers, "").await;
            assert_eq!(answer.expect("an answer").status, status, "{origin}");
            let foreign = [form[0], ("origin", origin)];
            let login = identity.send(relay.address(), "POST", "/login", &foreign, body).await.expect("an answer");
            assert_eq!(login.status, if status == 200 { 303 } else { 403 }, "{origin}");
        }
    });
}

#[test]
fn unusable_tls_files_are_named_at_start_and_by_check() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM]).await;
        let files = Files::new(&Identity::new());
        files.write_key(&Identity::new());
        let config = format!("{}\n{}\n", camera.config(), files.config());
        let (status, told) = Setup::config(&config).refusal().await;
        assert!(!status.success() && told.contains("key.pem") && told.contains("is not the key of"), "{told}");
        let (status, checked) = Setup::config(&config).run("check", CHECK).await;
        let sentence = told.lines().last().expect("a sentence");
        assert!(!status.success() && checked.ends_with(sentence), "{checked}");
        // Relative paths start at the configuration's folder.
        let missing = format!("{}\n[tls]\ncertificate = \"none.pem\"\nkey = \"none.key\"\n", camera.config());
        let (status, told) = Setup::config(missing).refusal().await;
        assert!(!status.success() && told.contains("tls.certificate") && told.contains("/none.pem"), "{told}");
        let half = format!("{}\n[tls]\ncertificate = \"none.pem\"\n", camera.config());
        let (status, told) = Setup::config(half).refusal().await;
        assert!(!status.success() && told.contains("missing field `key`"), "{told}");
    });
}

mod browser {
    use super::*;

    #[test]
    fn browsers_play_over_wss() {
        within(TEST, async || {
            let (_camera, _files, relay) = encrypted(&Identity::new(), "").await;
            Browser::each(async |browser| {
                let engine = browser.engine();
                browser.open(&relay.url("/?stream=cam&protocol=mse")).await;
                browser.wait_live(CAM.path, START).await;
                let mark = browser.mark(CAM.path).await;
                assert!(mark.is_like(CAM.mark), "{engine}: {mark}");
                assert_eq!(browser.script("return location.protocol", vec![]).await, "https:", "{engine}");
                browser.wait_moving(CAM.path, Duration::from_secs(2), 20, SOON).await;
            })
            .await;
        });
    }
}
