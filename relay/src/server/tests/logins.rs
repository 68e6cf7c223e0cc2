//! Wrong credentials, forged log lines, and the routes of a locked relay.

use std::fmt;
use std::io;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::time::{Instant, sleep};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::access::token::issue;
use crate::config::{Password, TokenKey};
use crate::server::{Relay, ServeError};

pub(super) const PASSWORD: &str = "open sesame";

pub(super) fn locked() -> TestRelay {
    TestRelay::new(|config| {
        config.password = Some(Password::new(PASSWORD.to_owned()));
        config.token_key = Some(key());
    })
}

pub(super) fn key() -> TokenKey {
    TokenKey::new(vec![1; 32]).expect("it is long enough")
}

/// The right password, as a header line.
pub(super) fn basic() -> String {
    guess(PASSWORD)
}

pub(super) fn guess(password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(format!("me:{password}")))
}

/// A token for `cam0` that lasts for `seconds`, as a header line.
pub(super) fn token(seconds: u64) -> String {
    token_with_id(seconds, "a")
}

/// The token `id` for `cam0`, likewise.
pub(super) fn token_with_id(seconds: u64, id: &str) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is later").as_secs();
    let token = issue(&key(), &["cam0".to_owned()], now + seconds, id).expect("a token");
    format!("Authorization: Bearer {token}\r\n")
}

/// Logs in by the form, from `client`.
pub(super) async fn form(relay: &TestRelay, client: &str, password: &str) -> String {
    let mut connection = relay.connect(client);
    let body = format!("password={}", password.replace(' ', "+"));
    let head =
        "POST /login HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded";
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    connection.write_all(request.as_bytes()).await.unwrap();
    read_to_end(&mut connection).await
}

/// The cookies that an answer sets.
pub(super) fn cookies(answer: &str) -> Vec<String> {
    let set = answer.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    set.map(str::to_owned).collect()
}

/// Collects the log of the current thread.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(log.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.lock().unwrap()))
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_have_a_log_line_with_the_address_and_a_metric() {
    let (relay, (log, _guard)) = (locked(), Log::start());
    assert_eq!(status(&form(&relay, CLIENT, "wrong").await), "401");
    assert_eq!(status(&relay.request("GET", "/api/streams", &guess("guess")).await), "401");
    assert_eq!(status(&relay.request("GET", "/api/streams", "Authorization: Bearer guessed\r\n").await), "401");
    let text = log.to_string();
    for method in ["form", "basic", "bearer"] {
        assert!(text.contains(&format!("login failed client={CLIENT} method={method}\n")), "{text}");
        let metric = format!("sightline_failed_logins_total{{method=\"{method}\"}}");
        assert_eq!(relay.metric(&basic(), &metric).await, 1);
    }
    for secret in ["wrong", "guess"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn guesses_of_one_client_delay_no_login_of_another() {
    let relay = Arc::new(locked());
    for n in 0..40 {
        let relay = relay.clone();
        tokio::spawn(async move { relay.request("GET", "/api/streams", &guess(&format!("wrong {n}"))).await });
    }
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    // Another client, by the form and by a header, and the guessing client's own browser.
    assert_eq!(status(&form(&relay, "198.51.100.1", PASSWORD).await), "303");
    assert_eq!(status(&form(&relay, CLIENT, PASSWORD).await), "303");
    let mut player = relay.connect("198.51.100.1");
    let request = format!("GET /api/streams HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{}\r\n", basic());
    player.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&read_to_end(&mut player).await), "200");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_and_logged_once_a_minute() {
    let (relay, (log, _guard)) = (locked(), Log::start());
    for n in 0..200 {
        let path = format!("/ws/mse/{}%0aforged{n}", "x".repeat(8000));
        assert_eq!(status(&relay.request("GET", &path, &basic()).await), "426");
        assert_eq!(status(&relay.request("GET", &format!("/hls/{n}%0aforged/index.m3u8"), "").await), "401");
    }
    let text = log.to_string();
    assert!(text.len() < 1000 && !text.contains("forged"), "{} bytes: {text:.1000}", text.len());
    assert_eq!(relay.metric(&basic(), "sightline_rejections_total{code=\"401\"}").await, 200);
}

#[tokio::test(start_paused = true)]
async fn event_stream_ends_with_its_token() {
    let relay = locked();
    let begun = Instant::now();
    let answer = relay.request("GET", "/api/events", &token(600)).await;
    assert!(
        answer.contains("event: streams\n") && answer.contains("event: expired\ndata: the access token"),
        "{answer}"
    );
    assert!((599..=600).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn logout_removes_the_cookies() {
    let relay = locked();
    let login = form(&relay, CLIENT, PASSWORD).await;
    let name = cookies(&login)[0].split('=').next().unwrap().to_owned();
    let logout = relay.request("POST", "/logout", "Content-Length: 0\r\n").await;
    assert_eq!(status(&logout), "303", "{logout}");
    let removed = cookies(&logout);
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert!(removed[0].starts_with(&format!("{name}=; Max-Age=0")), "{removed:?}");
    let foreign = relay.request("POST", "/logout", "Origin: https://evil.example\r\nContent-Length: 0\r\n").await;
    assert_eq!((status(&foreign), cookies(&foreign).len()), ("403", 0));
}

#[tokio::test(start_paused = true)]
async fn answers_of_a_locked_relay_are_private() {
    let relay = locked();
    for path in ["/", "/api/streams", "/api/time", "/metrics"] {
        let answer = relay.request("GET", path, &basic()).await;
        assert_eq!(status(&answer), "200");
        assert!(answer.contains("\r\ncache-control: private"), "{path}: {answer:.500}");
    }
    let file = relay.request("GET", "/hls.js", "").await;
    assert!(!file.contains("private"), "the client's files are public: {file:.500}");
}

#[tokio::test(start_paused = true)]
async fn one_host_is_required() {
    let relay = locked();
    let get = |hosts: &'static str| relay.send(hosts);
    for hosts in
        ["GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"]
    {
        assert_eq!(status(&get(hosts).await), "400", "{hosts}");
    }
    assert_eq!(status(&get("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await), "200");
    assert_eq!(status(&get("GET /healthz HTTP/1.0\r\n\r\n").await), "200", "older than the header");
}

#[tokio::test]
async fn short_password_is_refused_where_other_machines_reach_the_relay() {
    let bind = |listen: &str, password: &str| {
        let mut config = Config::demo();
        (config.listen, config.webrtc.enabled) = (listen.parse().unwrap(), false);
        config.password = Some(Password::new(password.to_owned()));
        Relay::bind(config)
    };
    let error = bind("0.0.0.0:0", "1").await.unwrap_err();
    assert!(matches!(error, ServeError::ShortPassword { .. }));
    let text = error.to_string();
    assert!(text.contains("8 characters") && text.contains("access.password_file"), "{text}");
    assert!(bind("127.0.0.1:0", "1").await.is_ok());
}
