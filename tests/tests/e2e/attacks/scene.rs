//! A relay with credentials under attack: a viewer beside who loses no frame, a visitor who logs in, and what an attack costs.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use sightline_protocol::SUBPROTOCOL;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::Response;
use sightline_tests::process::cpu_seconds;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until};
use sightline_tests::tls::{Connection, Files, Identity};
use sightline_tests::viewer::{BackgroundViewer, Viewer};
use tokio::time::timeout;
use tokio_rustls::rustls::version;

pub(super) const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
pub(super) const GATE: Mount = Mount { path: "gate", kind: Kind::H265, mark: Rgb(0xc0, 0x40, 0x20) };
pub(super) const YARD: Mount = Mount { path: "yard", kind: Kind::H265, mark: Rgb(0x20, 0xa0, 0x40) };
pub(super) const SOON: Duration = Duration::from_secs(20);
pub(super) const START: Duration = Duration::from_secs(30);
/// The viewer's stream, which no attack reaches: the relay counts skipped frames for each stream. The viewer speaks the plain
/// dialect. Its socket alone tells the relay that it is slow, and not the acknowledgements of a busy test.
const BESIDE: &str = "beside";
/// The duration of a flood.
pub(super) const FLOOD: Duration = Duration::from_millis(1500);
/// The addresses of an attacker and of the visitor, which a trusted proxy names.
pub(super) const ATTACKER: (&str, &str) = ("X-Forwarded-For", "203.0.113.7");
pub(super) const VISITOR: (&str, &str) = ("X-Forwarded-For", "198.51.100.1");
pub(super) const PASSWORD: &str = "open sesame";
const KEY: &str = "a key of thirty-two bytes or more";
/// The most open files of the relay, which leaves it 224 connections.
const OPEN_FILES: u32 = 360;
/// Connections beyond what the open files permit.
pub(super) const TOO_MANY_CONNECTIONS: usize = 260;
/// The relay closes a connection without a request after five seconds. A transcode for each of two clients.
const LIMITS: &str = "[limits]\nheader_seconds = 5\ntranscodes = 2\n";
const FRAMES_PER_SECOND: f64 = 25.0;
const HEADER: &str = "| attack | s | login s | MiB before / during / after | descriptors before / during / after | CPU s | viewer's \
                      frames / lost |";

/// When the visitor is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// At the first attempt.
    AtOnce,
    /// When connections that hold all places without a request have been closed.
    AfterTheirTime,
}

/// See the [module](self).
pub(super) struct Scene {
    pub(super) identity: Identity,
    pub(super) relay: Relay,
    viewer: BackgroundViewer,
    /// Keeps the attacked stream's source running, so that no attack starts or stops it.
    _other: BackgroundViewer,
    _files: Files,
}

/// An access token for all streams that lasts for `seconds`.
pub(super) fn token(seconds: u64) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let claims = json!({ "exp": now + seconds, "streams": ["*"] });
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(KEY.as_bytes())).expect("a token")
}

impl Scene {
    pub(super) async fn open() -> Self {
        let (camera, identity) = (Camera::shared(&[CAM, GATE, YARD]).await, Identity::new());
        let files = Files::new(&identity);
        let beside = camera.stream(BESIDE, CAM.path, "");
        let config = format!("{}\n{beside}\n{}\n{LIMITS}", camera.config(), files.config());
        let setup = Setup::config(config).open_files(OPEN_FILES);
        let relay = setup.env("SIGHTLINE_PASSWORD", PASSWORD).env("SIGHTLINE_TOKEN_KEY", KEY).start().await;
        let bearer = format!("Bearer {}", token(3600));
        let watch = async |stream: &str| {
            let connection = identity.connect(relay.address()).await.expect("a connection");
            Viewer::offering(connection, &relay, stream, None, ("Authorization", &bearer)).await.watch()
        };
        let (viewer, other) = tokio::join!(watch(BESIDE), watch(CAM.path));
        let sees = |viewer: &BackgroundViewer| viewer.seen().fragments > 25;
        until("the picture", START, async || (sees(&viewer) && sees(&other)).then_some(())).await;
        say(HEADER);
        Self { identity, relay, viewer, _other: other, _files: files }
    }

    /// Performs an attack and prints its row. `attack` returns the connections that it holds open; `limit` is the processor time that it may cost.
    pub(super) async fn row<T>(&self, name: &str, limit: f64, attack: impl AsyncFnOnce() -> T) {
        self.row_with(name, limit, Service::AtOnce, attack).await;
    }

    /// The same where the visitor may have to wait.
    pub(super) async fn row_with<T>(&self, name: &str, limit: f64, service: Service, attack: impl AsyncFnOnce() -> T) {
        let pid = self.relay.pid();
        let before = (self.relay.resident_kib(), self.relay.descriptors(), self.viewer.seen().fragments);
        let (cpu, begun) = (cpu_seconds(pid), Instant::now());
        // During the attack, and while the attack holds its connections.
        let ((), held) = tokio::join!(self.log_in(name, service), attack());
        let during = (self.relay.resident_kib(), self.relay.descriptors());
        let asked = Instant::now();
        self.log_in(name, service).await;
        let login = asked.elapsed().as_secs_f64();
        let (cpu, seconds) = (cpu_seconds(pid) - cpu, begun.elapsed().as_secs_f64());
        drop(held);
        until("the attack's connections to be closed", SOON, async || {
            (self.relay.descriptors() <= before.1 + 2).then_some(())
        })
        .await;
        let (seen, skipped) = (self.viewer.seen(), self.skipped().await);
        let mib = |kib: u64| format!("{:.0}", kib as f64 / 1024.0);
        say(&format!(
            "| {name} | {seconds:.1} | {login:.1} | {} / {} / {} | {} / {} / {} | {cpu:.1} | {} / {} |",
            mib(before.0),
            mib(during.0),
            mib(self.relay.resident_kib()),
            before.1,
            during.1,
            self.relay.descriptors(),
            seen.fragments - before.2,
            skipped,
        ));
        assert_eq!((skipped, seen.losses), (0, Vec::new()), "{name}");
        let frames = (seen.fragments - before.2) as f64;
        assert!(
            frames >= (seconds - 1.0) * FRAMES_PER_SECOND / 2.0,
            "{name}: the viewer got {frames} frames in {seconds} s"
        );
        assert!(cpu < limit, "{name}: {cpu} s of processor time in {seconds} s");
    }

    /// Logs in by the form as a browser does, and lists the streams with the cookie.
    async fn log_in(&self, attack: &str, service: Service) {
        // The statuses of both responses, or the error of a connection.
        let log_in = async || -> Result<(), String> {
            let form = [("Content-Type", "application/x-www-form-urlencoded"), VISITOR];
            let body = format!("password={}", PASSWORD.replace(' ', "+"));
            let send = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
                let sent = self.identity.send(self.relay.address(), method, path, headers, body).await;
                sent.map_err(|error| format!("{method} {path}: {error}"))
            };
            let login = send("POST", "/login", &form, &body).await?;
            let cookie = login.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
            let streams = send("GET", "/api/streams", &[("Cookie", &cookie), VISITOR], "").await?;
            let statuses = (login.status, streams.status);
            if statuses == (303, 200) { Ok(()) } else { Err(format!("{statuses:?}: {}", login.text())) }
        };
        match service {
            Service::AtOnce => {
                let served = timeout(SOON, log_in()).await;
                assert_eq!(served, Ok(Ok(())), "{attack}: the visitor is not served");
            }
            Service::AfterTheirTime => {
                until("the visitor to be served", SOON, async || log_in().await.ok()).await;
            }
        }
    }

    /// Frames that the relay has skipped for the viewer.
    async fn skipped(&self) -> u64 {
        let basic = format!("Basic {}", BASE64.encode(format!("me:{PASSWORD}")));
        let metrics = self.send("GET", "/metrics", &[("Authorization", &basic), VISITOR], "").await.expect("metrics");
        let (name, stream) = ("sightline_skipped_fragments_total{", format!("stream=\"{BESIDE}\""));
        let text = metrics.text();
        let counts = text.lines().filter(|line| line.starts_with(name) && line.contains(&stream));
        let counts: Vec<u64> =
            counts.map(|line| line.rsplit(' ').next().expect("a value").parse().expect("a count")).collect();
        assert!(!counts.is_empty(), "{text}");
        counts.iter().sum()
    }

    /// Sends a request on a connection of its own. None if that fails.
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Response> {
        self.identity.send(self.relay.address(), method, path, headers, body).await.ok()
    }

    /// The response to a request with a token for all streams, by the attacker's address.
    pub(super) async fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Response {
        let bearer = format!("Bearer {}", token(3600));
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind), ATTACKER];
        self.send(method, path, &headers, body).await.unwrap_or_else(|| panic!("no response to {method} {path}"))
    }

    /// A connection that begins with TLS and HTTP/1.1.
    pub(super) async fn connect(&self) -> impl Connection + 'static {
        self.identity.connect(self.relay.address()).await.expect("a connection")
    }

    /// The same with HTTP/2, of which nothing has been sent.
    pub(super) async fn connect_http2(&self) -> impl Connection + 'static {
        let address = self.relay.address();
        self.identity.connect_for_page(address, &version::TLS13).await.expect("a connection")
    }

    /// A viewer of `mount`, with a token of its own, from the address that `forwarded` names.
    pub(super) async fn viewer(&self, mount: Mount, token: &str, forwarded: (&'static str, &str)) -> Viewer {
        let connection = self.connect().await;
        let protocols = format!("{SUBPROTOCOL}, sightline.token.{token}");
        Viewer::offering(connection, &self.relay, mount.path, Some(&protocols), forwarded).await
    }

    /// Memory that the relay has, in KiB.
    pub(super) fn memory(&self) -> u64 {
        self.relay.resident_kib()
    }
}
