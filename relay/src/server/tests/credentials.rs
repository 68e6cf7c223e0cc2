//! Credentials that change while the relay runs: revoked passwords, keys, tokens and logins, and hashes of the password.

use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::logins::{Log, PASSWORD, basic, cookies, form, guess, key, locked, token, token_with_id};
use super::sockets::upgrade;
use super::*;
use crate::access::secret::FOREIGN;
use crate::config::{Credentials, Password, TokenKey};
use crate::ingest::Settings;
use crate::ingest::supervisor::Supervisor;
use crate::server::reload::{Reload, ReloadedConfig};

/// The credentials of [`locked`], changed.
fn changed(change: impl FnOnce(&mut Credentials)) -> Credentials {
    let mut credentials = Credentials {
        password: Some(Password::new(PASSWORD.to_owned())),
        token_key: Some(key()),
        ..Credentials::default()
    };
    change(&mut credentials);
    credentials
}

/// Logs a browser in. Returns its cookie as a header line.
async fn log_in(relay: &TestRelay, password: &str) -> String {
    let answer = form(relay, CLIENT, password).await;
    assert_eq!(status(&answer), "303", "{answer}");
    format!("Cookie: {}\r\n", cookies(&answer)[0].split(';').next().expect("a cookie"))
}

/// A plain viewer of `cam0` that was admitted.
pub(super) async fn watch(relay: &TestRelay, credentials: &str) -> DuplexStream {
    watch_stream(relay, "cam0", credentials).await
}

/// A plain viewer of `stream` that was admitted.
pub(super) async fn watch_stream(relay: &TestRelay, stream: &str, credentials: &str) -> DuplexStream {
    let request =
        upgrade(&format!("/ws/mse/{stream}"), credentials).replace("Sec-WebSocket-Protocol: sightline.v1\r\n", "");
    let mut viewer = relay.connect(CLIENT);
    viewer.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    viewer.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    viewer
}

/// The status of the catalogue.
pub(super) async fn asks(relay: &TestRelay, credentials: &str) -> String {
    status(&relay.request("GET", "/api/streams", credentials).await).to_owned()
}

/// Asserts that the session ends now, with the reason.
pub(super) async fn assert_revoked(viewer: &mut DuplexStream) {
    let begun = Instant::now();
    let told = read_to_end(viewer).await;
    // The close frame begins with the code 4403.
    assert!(told.contains("was revoked") && told.contains("\u{11}3the access token"), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn changed_password_ends_logins_and_their_sessions_and_no_tokens() {
    let relay = locked();
    let cookie = log_in(&relay, PASSWORD).await;
    let [mut by_cookie, mut by_header, mut by_token] =
        [watch(&relay, &cookie).await, watch(&relay, &basic()).await, watch(&relay, &token(20)).await];
    let begun = Instant::now();
    relay.application.access.set(&changed(|new| new.password = Some(Password::new("another one".to_owned()))));
    assert_revoked(&mut by_cookie).await;
    assert_revoked(&mut by_header).await;
    assert_eq!(asks(&relay, &cookie).await, "401");
    assert_eq!(asks(&relay, &basic()).await, "401");
    assert_eq!(asks(&relay, &guess("another one")).await, "200");
    assert_eq!(asks(&relay, &token(600)).await, "200");
    let told = read_to_end(&mut by_token).await;
    assert!(told.contains("has expired"), "{told}");
    assert!((19..=22).contains(&begun.elapsed().as_secs()), "ends with its token: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn changed_token_key_ends_tokens_and_their_sessions_and_no_logins() {
    let relay = locked();
    let (cookie, old) = (log_in(&relay, PASSWORD).await, token(600));
    let mut viewer = watch(&relay, &old).await;
    let begun = Instant::now();
    relay.application.access.set(&changed(|new| new.token_key = Some(TokenKey::new(vec![2; 32]).unwrap())));
    let events = relay.request("GET", "/api/events", &old).await;
    assert_eq!((status(&events), begun.elapsed() < Duration::from_secs(5)), ("401", true));
    assert_revoked(&mut viewer).await;
    assert_eq!(asks(&relay, &cookie).await, "200");
}

#[tokio::test(start_paused = true)]
async fn revoked_token_is_refused_and_its_sessions_end() {
    let relay = locked();
    let [visitor, other] = ["visitor", "other"].map(|id| token_with_id(600, id));
    let mut viewer = watch(&relay, &visitor).await;
    let mut events = relay.connect(CLIENT);
    let request = format!("GET /api/events HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{visitor}\r\n");
    events.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    relay.application.access.set(&changed(|new| new.revoked = vec!["visitor".to_owned()]));
    assert_revoked(&mut viewer).await;
    let told = read_to_end(&mut events).await;
    assert!(told.contains("event: expired\n") && told.contains("was revoked"), "{told}");
    let refused = relay.request("GET", "/api/streams", &visitor).await;
    assert!(status(&refused) == "401" && refused.contains("has been revoked"), "{refused}");
    assert_eq!(asks(&relay, &other).await, "200");
}

#[tokio::test(start_paused = true)]
async fn logout_ends_the_login_on_the_relay_and_no_other() {
    let relay = locked();
    let [leaves, stays] = [log_in(&relay, PASSWORD).await, log_in(&relay, PASSWORD).await];
    let mut viewer = watch(&relay, &leaves).await;
    let logout = relay.request("POST", "/logout", &format!("Content-Length: 0\r\n{leaves}")).await;
    assert_eq!(status(&logout), "303");
    assert_revoked(&mut viewer).await;
    assert_eq!((asks(&relay, &leaves).await, asks(&relay, &stays).await), ("401".to_owned(), "200".to_owned()));
    // A reload that keeps the password keeps the logins, and the logouts.
    relay.application.access.set(&changed(|new| new.revoked = vec!["visitor".to_owned()]));
    assert_eq!((asks(&relay, &leaves).await, asks(&relay, &stays).await), ("401".to_owned(), "200".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn password_ends_the_sessions_of_an_open_relay() {
    let relay = TestRelay::new(|_| {});
    let mut viewer = watch(&relay, "").await;
    relay.application.access.set(&changed(|_| {}));
    assert_revoked(&mut viewer).await;
    assert_eq!(asks(&relay, "").await, "401");
}

#[tokio::test(start_paused = true)]
async fn change_that_would_open_the_relay_is_refused_and_logged() {
    let (relay, (log, _guard)) = (locked(), Log::start());
    let config = Config::demo();
    let hub = Arc::new(Hub::new([], ring::RingLimits::default(), false));
    let settings = Arc::new(Settings::new(&config, None, relay.limits.clone()));
    let mut reload = Reload {
        supervisor: Supervisor::new(hub, settings, relay.shutdown.clone()),
        limits: relay.limits.clone(),
        access: relay.application.access.clone(),
        listen: "0.0.0.0:80".parse().unwrap(),
        provider: false,
    };
    let mut change = ReloadedConfig {
        streams: indexmap::IndexMap::new(),
        limits: config.limits,
        credentials: changed(|_| {}),
        restart_keys: Vec::new(),
        applied: CancellationToken::new(),
    };
    for (listen, password, says) in [
        ("0.0.0.0:80", None, "everybody who reaches"),
        ("0.0.0.0:80", Some("1234567"), "too short"),
        ("127.0.0.1:80", None, "no credentials are left"),
    ] {
        reload.listen = listen.parse().unwrap();
        let password = password.map(|text: &str| Password::new(text.to_owned()));
        change.credentials = Credentials { password, ..Credentials::default() };
        reload.apply(change.clone()).await;
        let text = log.to_string();
        assert!(text.contains("the current configuration stays") && text.contains(says), "{text}");
        assert_eq!((asks(&relay, "").await, asks(&relay, &basic()).await), ("401".to_owned(), "200".to_owned()));
    }
    change.credentials.password = Some(Password::new("another one".to_owned()));
    reload.apply(change.clone()).await;
    assert!(log.to_string().contains("are in force") && !log.to_string().contains("need a restart"), "{log}");
    change.restart_keys = vec!["listen", "ingest.low"];
    reload.apply(change).await;
    assert!(log.to_string().contains("need a restart") && log.to_string().contains("listen, ingest.low"), "{log}");
    assert_eq!(asks(&relay, &basic()).await, "401");
    assert_eq!(asks(&relay, &guess("another one")).await, "200");
}

#[tokio::test(start_paused = true)]
async fn hashed_password_admits_by_form_and_header() {
    let (log, _guard) = Log::start();
    let relay = TestRelay::new(|config| config.password = Some(Password::new(FOREIGN.to_owned())));
    assert_eq!(status(&form(&relay, CLIENT, "wrong").await), "401");
    assert_eq!(asks(&relay, &guess(FOREIGN)).await, "401", "the hash is not the password");
    let cookie = log_in(&relay, "password").await;
    assert_eq!(asks(&relay, &cookie).await, "200");
    assert_eq!(asks(&relay, &guess("password")).await, "200");
    let text = log.to_string();
    assert!(text.contains("login failed") && !text.contains("$argon2"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn catalogue_says_whether_a_logout_removes_the_credentials() {
    let relay = locked();
    let says = async |credentials: &str| {
        let answer = relay.request("GET", "/api/streams", credentials).await;
        assert_eq!(status(&answer), "200", "{answer}");
        answer.contains("\"can_log_out\":true")
    };
    let token = token(600);
    let link = token.trim_end().rsplit(' ').next().expect("a token");
    let page = relay.request("GET", &format!("/?token={link}"), "").await;
    let link = format!("Cookie: {}\r\n", cookies(&page)[0].split(';').next().expect("a cookie"));
    assert!(says(&log_in(&relay, PASSWORD).await).await && says(&link).await);
    assert!(!says(&basic()).await && !says(&token).await);
}
