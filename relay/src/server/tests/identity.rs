//! The rules of an identity provider: which claims permit which streams, on which routes, until when, and what the log says.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::credentials::{asks, assert_revoked, watch, watch_stream};
use super::logins::{Log, key};
use super::sockets::upgrade;
use super::*;
use crate::access::oidc::tests::Signer;
use crate::access::token::issue;
use crate::config::{AllowRule, KeySource, Oidc};

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "relay";

/// A rule: claim, value, patterns of streams.
pub(super) type Rule = (&'static str, &'static str, &'static [&'static str]);

/// The crew watches two streams.
const CREW: Rule = ("groups", "crew", &["cam0", "cam1"]);

/// An identity provider with a key file of its own.
pub(super) struct SigningProvider {
    signer: Signer,
    keys: PathBuf,
}

impl SigningProvider {
    /// `test` names the key file.
    pub(super) fn new(test: &str) -> Self {
        let signer = Signer::es256("a");
        let keys = std::env::temp_dir().join(format!("sightline-{test}-{}", std::process::id()));
        std::fs::write(&keys, signer.key_set()).expect("a file of the test's own");
        Self { signer, keys }
    }

    /// Its section of the configuration.
    pub(super) fn oidc(&self, rules: &[Rule]) -> Oidc {
        let (issuer, audience) = (ISSUER.to_owned(), AUDIENCE.to_owned());
        Oidc { issuer, audience, keys: KeySource::File(self.keys.clone()), allow: allow(rules) }
    }

    /// A token with `claims` that ends in `seconds`, as a header line.
    pub(super) fn bearer(&self, seconds: i64, claims: &Value) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is later").as_secs().cast_signed();
        let mut all = json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": now + seconds, "sub": "visitor" });
        let own = claims.as_object().cloned().unwrap_or_default();
        all.as_object_mut().expect("an object").extend(own);
        format!("Authorization: Bearer {}\r\n", self.signer.sign(&all))
    }

    /// A token of these groups for ten minutes, likewise.
    fn of_groups(&self, groups: &[&str]) -> String {
        self.bearer(600, &json!({ "groups": groups }))
    }

    /// A relay with these rules.
    fn relay(&self, rules: &[Rule]) -> TestRelay {
        TestRelay::new(|config| config.oidc = Some(self.oidc(rules)))
    }
}

impl Drop for SigningProvider {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.keys);
    }
}

fn allow(rules: &[Rule]) -> Vec<AllowRule> {
    let rule = |(claim, value, streams): &Rule| AllowRule {
        claim: (*claim).into(),
        value: (*value).into(),
        streams: streams.iter().map(|text| text.parse().expect("a pattern")).collect(),
    };
    rules.iter().map(rule).collect()
}

/// Replaces the rules as a reload does.
async fn reload(relay: &TestRelay, rules: Option<&[Rule]>) {
    let credentials = crate::config::Credentials { allow: rules.map(allow), ..relay.config.credentials() };
    let access = relay.application.access.clone();
    tokio::task::spawn_blocking(move || access.set(&credentials)).await.expect("it is set");
}

/// The names in the catalogue that `credentials` get.
async fn listed(relay: &TestRelay, credentials: &str) -> Vec<String> {
    let answer = relay.request("GET", "/api/streams", credentials).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let catalogue: Value = serde_json::from_str(body).expect("JSON");
    let streams = catalogue["streams"].as_array().expect("streams");
    streams.iter().map(|stream| stream["name"].as_str().expect("a name").to_owned()).collect()
}

/// The sentence with which a WebSocket of `stream` is refused.
async fn refused(relay: &TestRelay, stream: &str, credentials: &str) -> String {
    let mut viewer = relay.connect(CLIENT);
    viewer.write_all(upgrade(&format!("/ws/mse/{stream}"), credentials).as_bytes()).await.expect("the relay reads");
    let told = read_to_end(&mut viewer).await;
    assert!(told.contains("\"kind\":\"forbidden\""), "{told}");
    told
}

#[tokio::test(start_paused = true)]
async fn rules_for_claims_decide_the_streams_of_a_sign_in() {
    let provider = SigningProvider::new("rules");
    let owners: Rule = ("realm_access.roles", "owner", &["*"]);
    let relay = provider.relay(&[CREW, ("email_verified", "true", &["mixer_*"]), owners, ("level", "7", &["cam3"])]);
    for (claims, streams) in [
        (json!({ "groups": "crew" }), &["cam0", "cam1"][..]),
        (json!({ "groups": ["visitors", "crew"] }), &["cam0", "cam1"]),
        (json!({ "email_verified": true }), &["mixer_program"]),
        (json!({ "level": 7, "groups": ["crew"] }), &["cam0", "cam1", "cam3"]),
        (json!({ "realm_access": { "roles": ["owner"] } }), &["cam0", "cam1", "cam2", "cam3", "mixer_program"]),
    ] {
        assert_eq!(listed(&relay, &provider.bearer(600, &claims)).await, streams, "{claims}");
    }
    let crew = provider.of_groups(&["crew"]);
    let events = relay.connect(CLIENT);
    let mut first = String::new();
    let mut events = tokio::io::BufReader::new(events);
    let request = format!("GET /api/events HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{crew}\r\n");
    events.get_mut().write_all(request.as_bytes()).await.unwrap();
    while !first.contains("data: ") {
        assert_ne!(tokio::io::AsyncBufReadExt::read_line(&mut events, &mut first).await.unwrap(), 0, "{first}");
    }
    assert!(first.contains("\"cam1\"") && !first.contains("cam2") && !first.contains("mixer"), "{first}");
    for (path, code) in [
        ("/hls/cam1/index.m3u8", "503"),
        ("/hls/cam2/index.m3u8", "403"),
        ("/api/streams/cam2/snapshot.jpg", "403"),
        ("/hls/unknown/index.m3u8", "403"),
        ("/metrics", "403"),
    ] {
        let answer = relay.request("GET", path, &crew).await;
        assert_eq!(status(&answer), code, "{path}: {answer}");
        assert!(code == "503" || answer.contains("the sign-in does not permit this: ask the operator"), "{answer}");
    }
    assert_eq!(status(&relay.request("POST", "/whep/cam2", &crew).await), "403");
    assert!(refused(&relay, "cam2", &crew).await.contains("the sign-in does not permit this"));
    drop(watch_stream(&relay, "cam1", &crew).await);
}

#[tokio::test(start_paused = true)]
async fn sign_in_without_a_rule_gets_one_sentence_and_its_subject_one_line() {
    let (provider, (log, _guard)) = (SigningProvider::new("no-rule"), Log::start());
    let relay = provider.relay(&[CREW]);
    let long = format!("eve\r\nWARN forged {}", "x".repeat(2000));
    for claims in [
        json!({ "groups": 7, "email": "hidden", "sub": &long }),
        json!({ "groups": { "crew": true }, "sub": &long }),
        json!({ "groups": [["crew"], "Crew"], "sub": &long }),
    ] {
        let answer = relay.request("GET", "/api/streams", &provider.bearer(600, &claims)).await;
        assert_eq!(status(&answer), "403", "{answer}");
        let told = "the sign-in permits no stream of this relay: its claim groups has no value that a rule names; ask the operator \
                    of the relay\n";
        assert_eq!(answer.split_once("\r\n\r\n").expect("a body").1, told);
    }
    let absent = provider.bearer(600, &json!({ "email": "hidden" }));
    let page = relay.request("GET", "/", &absent).await;
    assert!(status(&page) == "403" && page.contains("its token has no claim groups; ask the operator"), "{page}");
    assert!(refused(&relay, "cam0", &absent).await.contains("its token has no claim groups"));
    assert_eq!(status(&relay.request("GET", "/hls.js", &absent).await), "200", "the client's files are public");
    let text = log.to_string();
    assert_eq!(text.matches("sign-in refused").count(), 2, "{text}");
    assert!(text.contains("subject=eve\\r\\nWARN forged xxx") && text.contains("subject=visitor"), "{text}");
    assert!(text.lines().all(|line| line.len() < 800 && !line.starts_with("WARN forged")), "{text}");
    let token = absent.trim_end().rsplit(' ').next().expect("a token");
    assert!(!text.contains("hidden") && !text.contains(token), "no value and no token: {text}");
}

#[tokio::test(start_paused = true)]
async fn password_and_access_token_work_beside_a_sign_in_that_no_rule_permits() {
    let provider = SigningProvider::new("beside");
    let relay = TestRelay::new(|config| {
        config.oidc = Some(provider.oidc(&[CREW]));
        config.token_key = Some(key());
        config.password = Some(crate::config::Password::new("open sesame".to_owned()));
    });
    let visitor = provider.of_groups(&["visitors"]);
    let by_proxy = visitor.replace("Authorization: Bearer ", "Cf-Access-Jwt-Assertion: ");
    assert_eq!(asks(&relay, &by_proxy).await, "403");
    let token = issue(&key(), &["cam3".to_owned()], u64::MAX / 2, "a").unwrap();
    let both = format!("{by_proxy}Authorization: Bearer {token}\r\n");
    assert_eq!(listed(&relay, &both).await, ["cam3"]);
    // The one of the two that permits the stream counts.
    let crew = provider.of_groups(&["crew"]).replace("Authorization: Bearer ", "Cf-Access-Jwt-Assertion: ");
    let both = format!("{crew}Authorization: Bearer {token}\r\n");
    for (path, code) in [("cam0", "503"), ("cam3", "503"), ("cam2", "403")] {
        let answer = relay.request("GET", &format!("/hls/{path}/index.m3u8"), &both).await;
        assert_eq!(status(&answer), code, "{path}: {answer}");
    }
    assert_eq!(listed(&relay, &both).await, ["cam0", "cam1"]);
    let page = relay.request("GET", "/", &by_proxy).await;
    assert!(
        status(&page) == "401" && page.contains("<form") && page.contains("has no value that a rule names"),
        "{page}"
    );
}

#[tokio::test(start_paused = true)]
async fn reload_ends_the_sessions_that_changed_rules_no_longer_permit() {
    let provider = SigningProvider::new("reload");
    let relay = provider.relay(&[CREW, ("groups", "guests", &["cam3"])]);
    let [crew, guest] = [["crew"], ["guests"]].map(|groups| provider.of_groups(&groups));
    let [mut first, mut second] = [watch(&relay, &crew).await, watch_stream(&relay, "cam1", &crew).await];
    let mut third = watch_stream(&relay, "cam3", &guest).await;
    let mut events = relay.connect(CLIENT);
    let request = format!("GET /api/events HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{crew}\r\n");
    events.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;

    reload(&relay, Some(&[("groups", "crew", &["cam0"]), ("groups", "guests", &["cam3"])])).await;
    assert_revoked(&mut second).await;
    let told = read_to_end(&mut events).await;
    assert!(
        told.contains("event: expired\n") && told.contains("\"cam1\""),
        "its list named a stream that is gone: {told}"
    );
    assert_eq!(listed(&relay, &crew).await, ["cam0"]);
    for viewer in [&mut first, &mut third] {
        let mut byte = [0; 1024];
        let read = timeout(Duration::from_secs(5), async { while viewer.read(&mut byte).await.unwrap() > 0 {} }).await;
        assert!(read.is_err(), "a session that is still permitted goes on");
    }

    reload(&relay, Some(&[("groups", "guests", &["cam3"])])).await;
    assert_revoked(&mut first).await;
    assert_eq!((asks(&relay, &crew).await, asks(&relay, &guest).await), ("403".to_owned(), "200".to_owned()));
    // Sessions of a removed rule may be admitted by another one.
    reload(&relay, Some(&[])).await;
    assert_eq!(listed(&relay, &crew).await.len(), 5);
    let mut all = watch(&relay, &crew).await;
    reload(&relay, Some(&[CREW])).await;
    assert_revoked(&mut all).await;
}

#[tokio::test(start_paused = true)]
async fn reload_without_the_provider_s_section_keeps_its_rules() {
    let (provider, (log, _guard)) = (SigningProvider::new("kept"), Log::start());
    let relay = provider.relay(&[CREW]);
    let [crew, guest] = [["crew"], ["guests"]].map(|groups| provider.of_groups(&groups));
    reload(&relay, None).await;
    assert_eq!(listed(&relay, &crew).await, ["cam0", "cam1"]);
    assert_eq!(asks(&relay, &guest).await, "403");
    assert!(!log.to_string().contains("credentials changed"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn websocket_of_a_sign_in_ends_30_s_after_its_token_with_a_sentence() {
    let provider = SigningProvider::new("end");
    let relay = provider.relay(&[CREW]);
    // It ended 20 s ago. A viewer without video would end after 25 s.
    let mut viewer = watch(&relay, &provider.bearer(-20, &json!({ "groups": "crew" }))).await;
    let begun = Instant::now();
    let told = read_to_end(&mut viewer).await;
    assert!(
        told.contains("error:the access token or the sign-in has expired") && told.contains("sign in again"),
        "{told}"
    );
    assert!((8..=11).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn log_names_the_subject_of_a_viewer_and_no_token() {
    let (provider, (log, _guard)) = (SigningProvider::new("log"), Log::start());
    let relay = TestRelay::new(|config| {
        config.oidc = Some(provider.oidc(&[CREW]));
        config.token_key = Some(key());
        config.access_log = true;
    });
    let signed_in = provider.bearer(60, &json!({ "groups": "crew", "sub": "alice\nforged" }));
    read_to_end(&mut watch(&relay, &signed_in).await).await;
    let by_token = super::logins::token_with_id(60, "visitor");
    read_to_end(&mut watch(&relay, &by_token).await).await;
    // The line follows the end of the connection.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let text = log.to_string();
    for line in [
        "credential=\"provider\" subject=alice\\nforged method=GET path=/ws/mse/cam0 status=101",
        "viewer started stream=\"cam0\" subject=alice\\nforged",
        "credential=\"token\" subject=visitor method=GET path=/ws/mse/cam0",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let ended: Vec<_> = text.lines().filter(|line| line.contains("viewer ended: ")).collect();
    assert_eq!(ended.len(), 2, "{text}");
    assert!(ended[0].contains("subject=alice\\nforged") && ended[1].contains("subject=visitor"), "{ended:?}");
    assert_eq!(text.matches("viewer started").count(), 1, "{text}");
    for secret in [&signed_in, &by_token] {
        assert!(!text.contains(secret.trim_end().rsplit(' ').next().expect("a token")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_groups_are_too_long_by_default_and_judged_where_longer_heads_are_allowed() {
    let provider = SigningProvider::new("groups");
    let groups: Vec<_> = (0..10_000).map(|n| format!("team {n}")).chain(["crew".to_owned()]).collect();
    let many = provider.bearer(600, &json!({ "groups": groups }));
    let mut connection = provider.relay(&[CREW]).connect(CLIENT);
    let request = format!("GET /api/streams HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{many}\r\n");
    // The relay answers before it has read all.
    let (mut reading, mut writing) = tokio::io::split(&mut connection);
    let (_, answer) = tokio::join!(writing.write_all(request.as_bytes()), read_to_end(&mut reading));
    assert_eq!(status(&answer), "431", "{answer}");

    let relay = TestRelay::new(|config| {
        config.limits.header_bytes = 1 << 20;
        config.oidc = Some(provider.oidc(&[CREW]));
    });
    listed(&relay, &many).await;
    let begun = std::time::Instant::now();
    assert_eq!(listed(&relay, &many).await, ["cam0", "cam1"]);
    let took = begun.elapsed();
    println!("a token of {} KB: answered in {took:?}", many.len() >> 10);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn access_token_with_a_pattern_opens_the_streams_that_it_matches() {
    let relay = super::logins::locked();
    let token = issue(&key(), &["cam*".to_owned(), "x/*".to_owned()], u64::MAX / 2, "a").unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(listed(&relay, &bearer).await, ["cam0", "cam1", "cam2", "cam3"]);
    for (path, code) in [
        ("/hls/cam3/index.m3u8", "503"),
        ("/hls/mixer_program/index.m3u8", "403"),
        ("/hls/x/unknown/index.m3u8", "404"),
        ("/hls/cam*/index.m3u8", "403"),
        ("/metrics", "403"),
    ] {
        assert_eq!(status(&relay.request("GET", path, &bearer).await), code, "{path}");
    }
    assert!(refused(&relay, "mixer_program", &bearer).await.contains("the access token is not for this"));
    drop(watch_stream(&relay, "cam2", &bearer).await);
}
