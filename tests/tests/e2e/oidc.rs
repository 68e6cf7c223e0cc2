//! Tokens of an identity provider. A valid token, in any of its places, permits everything, and without one nothing of a camera
//! is accessible. Keys change, fail or are missing at first.

use std::net::SocketAddr;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sightline_protocol::stream::VariantChoice;
use sightline_tests::browser::{Browser, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{Response, send};
use sightline_tests::nginx::Nginx;
use sightline_tests::provider::{Provider, Signer, claims, config, key_set};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::routes::{GUARDED, is_websocket};
use sightline_tests::run::{until, within};
use sightline_tests::tls::{Files, Identity};
use sightline_tests::viewer::{PLAYS_H264, Viewer};

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const OTHER: Mount = Mount { path: "other", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const PASSWORD: &str = "open sesame";
const CLOUDFLARE: &str = "Cf-Access-Jwt-Assertion";
const TEST: Duration = Duration::from_secs(120);
const LIVE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);
const CHECK: Duration = Duration::from_secs(30);

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn ask(relay: &Relay, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    send(relay.address(), method, path, headers, Vec::new()).await.expect("an answer")
}

/// A rule for this value in the claim `groups`.
fn rule(value: &str, streams: &str) -> String {
    format!("[[oidc.allow]]\nclaim = \"groups\"\nvalue = \"{value}\"\nstreams = [\"{streams}\"]\n")
}

/// Whether this token grants access.
async fn admits(relay: &Relay, token: &str) -> bool {
    let answer = ask(relay, "GET", "/api/streams", &[(CLOUDFLARE, token)]).await;
    assert!(answer.status == 200 || answer.status == 401, "{}", answer.text());
    answer.status == 200
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

/// The same token with another header.
fn under(header: &Value, token: &str) -> String {
    let head = jsonwebtoken::encode(&Header::default(), header, &EncodingKey::from_secret(b"any")).expect("Base64");
    let middle = |token: &str| token.split('.').nth(1).expect("three parts").to_owned();
    format!("{}.{}.", middle(&head), middle(token))
}

/// Tokens that must be rejected, with the reason.
fn bad(signer: &Signer) -> Vec<(&'static str, String)> {
    let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::HS256) };
    let public = signer.jwk()["n"].as_str().expect("a modulus").as_bytes().to_vec();
    let confused = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&public)).expect("a token");
    vec![
        ("expired", signer.sign(&with("exp", 1_700_000_000))),
        ("not valid yet", signer.sign(&with("nbf", 4_102_444_800_u64))),
        ("audience", signer.sign(&with("aud", "another"))),
        ("issuer", signer.sign(&with("iss", "https://evil.example"))),
        ("cannot be verified", under(&json!({ "alg": "none", "kid": "a" }), &signer.token())),
        ("cannot be verified", confused),
        ("cannot be verified", Signer::new("a").token()),
        ("cannot be verified", Signer::new("unknown").token()),
        ("cannot be verified", "nonsense".to_owned()),
    ]
}

#[test]
fn oidc_login_opens_everything_and_no_login_nothing() {
    within(TEST, async || {
        let (camera, signer) = (Camera::shared(&[CAM]).await, Signer::new("a"));
        let provider = Provider::start(anywhere(), None, &[&signer]).await;
        // A provider permits listening on an address that other machines reach.
        let everywhere = "0.0.0.0:0".parse().expect("an address");
        let setup = Setup::config(format!("{}\n{}", camera.config(), config(provider.url())));
        let relay = setup.listen(everywhere).start().await;
        let (good, bad) = (signer.token(), bad(&signer));

        for (method, path) in GUARDED {
            // The relay rejects a request that is no opening handshake before it checks credentials.
            let refused = if is_websocket(path) { 426 } else { 401 };
            let nothing = ask(&relay, method, path, &[]).await;
            assert_eq!(nothing.status, refused, "{method} {path}: {}", nothing.text());
            assert!(!nothing.text().contains("<form"), "there is no password: {}", nothing.text());
            for (why, token) in &bad {
                let bearer = format!("Bearer {token}");
                for header in [(CLOUDFLARE, token.as_str()), ("authorization", &bearer)] {
                    let answer = ask(&relay, method, path, &[header]).await;
                    assert_eq!(answer.status, refused, "{method} {path} with {header:?}: {}", answer.text());
                    let told = answer.text();
                    assert!(refused == 426 || told.contains(why), "{method} {path}: {why}: {told}");
                    assert!(!told.contains("cam") && !told.contains(token), "{method} {path}: {told}");
                }
            }
        }
        let expired = Viewer::with_header(&relay, CAM.path, CLOUDFLARE, &bad[0].1).await;
        for (mut viewer, sentence) in
            [(Viewer::v1(&relay, CAM.path).await, "requires a sign-in"), (expired, "sign-in has expired")]
        {
            let (message, code, _) = viewer.wait_closed(SOON).await;
            assert!(message.contains(sentence) && code == Some(4403), "{message} {code:?}");
            assert_eq!(viewer.received(), 0);
        }
        assert!(relay.ffmpegs().is_empty(), "no camera was opened for strangers");

        let (bearer, cookie) = (format!("Bearer {good}"), format!("other=1; CF_Authorization={good}"));
        for header in [(CLOUDFLARE, good.as_str()), ("authorization", &bearer), ("cookie", &cookie)] {
            for (method, path) in GUARDED {
                let answer = ask(&relay, method, path, &[header]).await;
                assert!(![401, 403].contains(&answer.status), "{method} {path}: {}", answer.text());
            }
            let catalogue = ask(&relay, "GET", "/api/streams", &[header]).await;
            assert!(catalogue.status == 200 && catalogue.text().contains("cam"), "{}", catalogue.text());
        }
        let mut viewer = Viewer::with_header(&relay, CAM.path, "cookie", &cookie).await;
        viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
        viewer.take_media(3, LIVE).await;
        for token in bad.iter().map(|(_, token)| token).chain([&good]) {
            assert!(!relay.log().contains(token), "{}", relay.log());
        }
    });
}

#[test]
fn rotated_provider_keys_are_fetched_at_a_limited_rate() {
    within(TEST, async || {
        let (camera, [old, new]) = (Camera::shared(&[CAM]).await, ["old", "new"].map(Signer::new));
        let provider = Provider::start(anywhere(), None, &[&old]).await;
        let relay = Setup::config(format!("{}\n{}", camera.config(), config(provider.url()))).start().await;
        let mut viewer = Viewer::with_header(&relay, CAM.path, CLOUDFLARE, &old.token()).await;
        viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
        let viewer = viewer.watch();
        until("a viewer's first fragments", LIVE, async || (viewer.seen().fragments > 5).then_some(())).await;
        assert_eq!(provider.looks(), 1);

        provider.publish(&[&old, &new]);
        // All requests that a page sends at once.
        let token = new.token();
        let asked = (0..20).map(|_| admits(&relay, &token));
        assert!(futures_util::future::join_all(asked).await.into_iter().all(|admitted| admitted));
        assert!(admits(&relay, &old.token()).await, "both are good for a while");
        assert_eq!(provider.looks(), 2, "one look for all of them");

        let strange = Signer::new("strange").token();
        for _ in 0..10 {
            let asked = (0..20).map(|_| admits(&relay, &strange));
            assert!(!futures_util::future::join_all(asked).await.into_iter().any(|admitted| admitted));
        }
        assert_eq!(provider.looks(), 2);
        let so_far = viewer.seen().fragments;
        until("more fragments", SOON, async || (viewer.seen().fragments > so_far + 10).then_some(())).await;
        assert!(viewer.seen().losses.is_empty(), "{:?}", viewer.seen().losses);
    });
}

#[test]
fn key_file_changes_apply_at_once() {
    within(TEST, async || {
        let (camera, [old, new]) = (Camera::shared(&[CAM]).await, ["old", "new"].map(Signer::new));
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("keys.json");
        let write = |text: &str| std::fs::write(&path, text).expect("it is written");
        write(&key_set(&[&old]));
        let text = format!("{}\n{}", camera.config(), config(&path.display().to_string()));
        let relay = Setup::config(&text).start().await;
        assert!(admits(&relay, &old.token()).await && !admits(&relay, &Signer::new("b").token()).await);
        write(&key_set(&[&new]));
        let token = new.token();
        until("the new key", SOON, async || admits(&relay, &token).await.then_some(())).await;
        assert!(!admits(&relay, &old.token()).await, "the old one was taken back");

        write("half of a fi");
        let told = async || relay.log().contains("is no JSON Web Key Set").then_some(());
        until("to be told", SOON, told).await;
        assert!(admits(&relay, &token).await, "what was known stays");
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(relay.log().matches("is no JSON Web Key Set").count(), 1, "told once: {}", relay.log());

        // A relay that starts with such a file fails at once.
        let (status, told) = Setup::config(&text).refusal().await;
        assert!(!status.success() && told.contains("keys.json") && told.contains("no JSON Web Key Set"), "{told}");
        let missing = format!("{}\n{}", camera.config(), config("none.json"));
        let (status, told) = Setup::config(&missing).refusal().await;
        assert!(!status.success() && told.contains("cannot read oidc.keys") && told.contains("/none.json"), "{told}");
        let (status, checked) = Setup::config(&missing).run("check", CHECK).await;
        assert!(!status.success() && checked.contains("cannot read oidc.keys"), "{checked}");
        let unsafe_way = format!("{}\n{}", camera.config(), config("http://id.example.org/keys"));
        let (status, told) = Setup::config(unsafe_way).refusal().await;
        assert!(!status.success() && told.contains("has to be https://"), "{told}");
    });
}

#[test]
fn provider_keys_need_a_trusted_certificate() {
    within(TEST, async || {
        let (camera, signer, identity) = (Camera::shared(&[CAM]).await, Signer::new("a"), Identity::new());
        let provider = Provider::start(anywhere(), Some(&identity), &[&signer]).await;
        let text = format!("{}\n{}", camera.config(), config(provider.url()));
        let trusting = |files: &Files| {
            let file = files.certificate().display().to_string();
            Setup::config(&text).env("SSL_CERT_FILE", &file)
        };
        let (files, others) = (Files::new(&identity), Files::new(&Identity::new()));
        let relay = trusting(&files).start().await;
        assert!(admits(&relay, &signer.token()).await, "{}", relay.log());
        let (_, checked) = trusting(&files).run("check", CHECK).await;
        assert!(!checked.contains("oidc"), "{checked}");

        // Another certificate, as in a man-in-the-middle attack: all requests are rejected.
        let relay = trusting(&others).start().await;
        assert!(!admits(&relay, &signer.token()).await);
        relay.wait_for_log("cannot fetch oidc.keys from https://localhost", 1).await;
        let (status, checked) = trusting(&others).run("check", CHECK).await;
        assert!(!status.success() && checked.contains("invalid peer certificate"), "{checked}");
    });
}

#[test]
fn relay_starts_without_its_provider() {
    within(TEST, async || {
        let (camera, signer) = (Camera::shared(&[CAM]).await, Signer::new("a"));
        let provider = Provider::start(anywhere(), None, &[&signer]).await;
        let url = provider.url().to_owned();
        let address = url.trim_start_matches("http://").split('/').next().and_then(|at| at.parse().ok());
        drop(provider);
        let relay = Setup::config(format!("{}\n{}", camera.config(), config(&url))).start().await;
        let told = async || relay.log().contains("cannot fetch oidc.keys from http://127").then_some(());
        until("the relay to say so", SOON, told).await;
        assert_eq!(ask(&relay, "GET", "/", &[]).await.status, 401);
        let bound = async || tokio::net::TcpListener::bind(address.expect("an address")).await.ok();
        drop(until("the port to be free", SOON, bound).await);
        let _provider = Provider::start(address.expect("an address"), None, &[&signer]).await;
        assert!(admits(&relay, &signer.token()).await, "who comes first has them fetched: {}", relay.log());
    });
}

#[test]
fn oidc_works_beside_a_password() {
    within(TEST, async || {
        let (camera, signer) = (Camera::shared(&[CAM]).await, Signer::new("a"));
        let provider = Provider::start(anywhere(), None, &[&signer]).await;
        let setup = Setup::config(format!("{}\n{}", camera.config(), config(provider.url())));
        let relay = setup.env("SIGHTLINE_PASSWORD", PASSWORD).start().await;
        let (good, expired) = (signer.token(), signer.sign(&with("exp", 1_700_000_000)));
        let page = ask(&relay, "GET", "/", &[(CLOUDFLARE, &expired)]).await;
        assert!(page.status == 401 && page.text().contains("<form"), "{}", page.text());
        assert!(page.text().contains("the sign-in has expired"), "{}", page.text());
        for (bearer, status, sentence) in [
            (PASSWORD, 200, "cam"),
            (&good, 200, "cam"),
            (&expired, 401, "sign-in has expired"),
            ("wrong", 401, "password"),
        ] {
            let value = format!("Bearer {bearer}");
            let answer = ask(&relay, "GET", "/api/streams", &[("authorization", &value)]).await;
            assert!(answer.status == status && answer.text().contains(sentence), "{bearer}: {}", answer.text());
        }
        // A rejected token from Cloudflare does not prevent access by password.
        let value = format!("Bearer {PASSWORD}");
        let both = [(CLOUDFLARE, expired.as_str()), ("authorization", &value)];
        assert_eq!(ask(&relay, "GET", "/api/streams", &both).await.status, 200);
    });
}

#[test]
fn rules_for_claims_apply_and_change_at_a_reload() {
    within(TEST, async || {
        let (camera, signer) = (Camera::shared(&[CAM, OTHER]).await, Signer::new("a"));
        let provider = Provider::start(anywhere(), None, &[&signer]).await;
        let base = format!("{}\n{}", camera.config(), config(provider.url()));
        let with_rules =
            |crew: &str| format!("{base}{}{}{}", rule("crew", crew), rule("guests", "oth*"), rule("x", "x/*"));
        let mut relay = Setup::config(with_rules("c*")).start().await;
        const WARNING: &str = "the pattern \"x/*\" of the rule for groups = \"x\"";
        let warnings = |relay: &Relay| relay.log().matches(WARNING).count();
        relay.wait_for_log(WARNING, 1).await;
        assert_eq!(warnings(&relay), 1, "{}", relay.log());
        let [crew, guest, none] = ["crew", "guests", "none"].map(|group| signer.sign(&with("groups", json!([group]))));
        let mut viewers = Vec::new();
        for (token, stream) in [(&crew, CAM.path), (&guest, OTHER.path)] {
            let mut viewer = Viewer::with_header(&relay, stream, CLOUDFLARE, token).await;
            viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
            viewer.take_media(3, LIVE).await;
            viewers.push(viewer);
        }
        let mut refused = Viewer::with_header(&relay, OTHER.path, CLOUDFLARE, &crew).await;
        let (message, code, _) = refused.wait_closed(SOON).await;
        assert!(message.contains("the sign-in does not permit this") && code == Some(4403), "{message} {code:?}");
        for _ in 0..2 {
            let answer = ask(&relay, "GET", "/", &[(CLOUDFLARE, &none)]).await;
            let told = "its claim groups has no value that a rule names";
            assert!(answer.status == 403 && answer.text().contains(told), "{}", answer.text());
        }
        relay.wait_for_log("sign-in refused", 1).await;
        assert_eq!(relay.log().matches("sign-in refused").count(), 1, "{}", relay.log());

        // A rule with a fault changes nothing.
        relay.reload(&with_rules("c//*"));
        let told = async || relay.log().contains("contains //; write a single /").then_some(());
        until("the log to name the pattern", SOON, told).await;
        relay.reload(&with_rules("none"));
        let (message, code, _) = viewers.remove(0).wait_closed(SOON).await;
        assert!(message.contains("was revoked") && code == Some(4403), "{message} {code:?}");
        viewers.remove(0).take_media(20, LIVE).await;
        relay.wait_for_log(WARNING, 2).await;
        assert_eq!(warnings(&relay), 2, "{}", relay.log());
        relay.wait_for_log("viewer ended", 1).await;
        let ended = relay.log().lines().find(|line| line.contains("viewer ended")).map(str::to_owned);
        assert!(ended.as_ref().is_some_and(|line| line.contains("subject=somebody")), "{ended:?}");

        let (_, checked) = Setup::config(with_rules("c*")).run("check", CHECK).await;
        assert!(checked.contains("warning: oidc.allow: the pattern \"x/*\""), "{checked}");
    });
}

mod browser {
    use super::*;

    #[test]
    fn page_of_a_limited_sign_in_shows_its_streams_alone() {
        within(TEST, async || {
            let (camera, signer) = (Camera::shared(&[CAM, OTHER]).await, Signer::new("a"));
            let provider = Provider::start(anywhere(), None, &[&signer]).await;
            let setup = Setup::config(format!("{}\n{}{}", camera.config(), config(provider.url()), rule("crew", "c*")));
            let relay = setup.start().await;
            let Some(crew) = proxy(&relay, &signer.sign(&with("groups", "crew"))).await else { return };
            let Some(none) = proxy(&relay, &signer.sign(&with("groups", "none"))).await else { return };
            Browser::each(async |browser| {
                browser.open(&crew.url("/")).await;
                browser.wait_live(CAM.path, LIVE).await;
                assert_eq!(browser.streams().await, [CAM.path], "{}", browser.engine());
                browser.open(&none.url("/")).await;
                let told = browser.text().await;
                assert!(told.contains("the sign-in permits no stream of this relay"), "{}: {told}", browser.engine());
            })
            .await;
        });
    }

    /// A proxy that adds this token to each request, as Cloudflare's does.
    async fn proxy(relay: &Relay, token: &str) -> Option<Nginx> {
        let proxied = format!(
            "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Host $http_host; \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; \
             proxy_set_header {CLOUDFLARE} {token}; }}",
            relay.address(),
        );
        Nginx::start(&proxied).await
    }

    #[test]
    fn browsers_play_behind_a_proxy_that_signs_them_in() {
        within(TEST, async || {
            let (camera, signer) = (Camera::shared(&[CAM]).await, Signer::new("a"));
            let provider = Provider::start(anywhere(), None, &[&signer]).await;
            let relay = Setup::config(format!("{}\n{}", camera.config(), config(provider.url()))).start().await;
            let Some(nginx) = proxy(&relay, &signer.token()).await else { return };
            Browser::each(async |browser| {
                browser.open(&relay.url("/?stream=cam&protocol=mse")).await;
                assert!(browser.text().await.contains("requires a sign-in"), "{}", browser.engine());
                browser.open(&nginx.url("/?stream=cam&protocol=mse")).await;
                browser.wait_live(CAM.path, LIVE).await;
                let mark = browser.mark(CAM.path).await;
                assert!(mark.is_like(CAM.mark), "{}: {mark}", browser.engine());
            })
            .await;
        });
    }
}
