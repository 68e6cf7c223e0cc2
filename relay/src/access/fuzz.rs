//! The target `tokens`: access tokens, and every part of a request that can carry one.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use axum::http::header::{COOKIE, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, HeaderValue, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;
use sightline_protocol::address::Address;
use sightline_protocol::stream::{StreamName, StreamPattern};

use super::cookie::Signer;
use super::credential_set::credentials;
use super::login::is_page;
use super::token::{self, Verifier};
use super::{Permissions, is_public};
use crate::config::{Password, TokenKey};

const KEY: [u8; 32] = [1; 32];
const NOW: u64 = 1_800_000_000;

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(&TokenKey::new(KEY.to_vec()).expect("it is long enough"), &[]));
static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new(&Password::new("open sesame".to_owned())));

/// The first line is a set of claims, which the target signs because nothing else passes the signature check. The second is an
/// address, the third a header value.
pub fn tokens(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    claims(line());
    if let Ok(uri) = Uri::try_from(line()) {
        for method in ["GET", "POST", "DELETE"] {
            reaches_its_stream(method, uri.path(), uri.query());
        }
        let given = token::in_query(&uri).unwrap_or_default();
        assert!(
            VERIFIER.verify(given, NOW).is_err() && VERIFIER.to_cookie(given, NOW, true).is_none(),
            "nobody signed it"
        );
        if is_public(uri.path()) {
            assert!(
                !["/hls/", "/ws/", "/go2rtc/"].iter().any(|start| uri.path().starts_with(start)),
                "it is a camera's"
            );
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(line()) {
        if let Ok(text) = value.to_str() {
            credentials(text);
            assert!(SIGNER.admits(text, NOW).is_none(), "nobody signed it");
            assert!(!is_page(text) || text.starts_with("./"), "it leads elsewhere");
        }
        let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, value.clone()), (COOKIE, value)]);
        for given in token::in_protocols(&headers).into_iter().chain(VERIFIER.kept(&headers)) {
            assert!(VERIFIER.verify(given, NOW).is_err(), "nobody signed it");
        }
    }
}

/// A permission for the stream that a handler finds at the address allows it; a permission for another stream does not.
fn reaches_its_stream(method: &str, path: &str, query: Option<&str>) {
    let Ok(address) = Address::of_request(method, path, query) else { return };
    let stream = address.stream();
    let permitted = |stream: StreamName| Permissions::Streams(vec![stream.into()]).reach(method, path, query);
    assert!(permitted(stream.clone()));
    let other = if stream.as_str() == "yard" { "gate" } else { "yard" };
    assert!(!permitted(other.parse().expect("a name")), "{path:?} is {stream:?}");
}

fn claims(claims: &[u8]) {
    let signed = format!("{}.{}", BASE64.encode(r#"{"typ":"JWT","alg":"HS256"}"#), BASE64.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), signed.as_bytes());
    let token = format!("{signed}.{}", BASE64.encode(signature));
    let Ok(token::Verified { permissions, until, .. }) = VERIFIER.verify(&token, NOW) else { return };
    assert!(until > NOW);
    assert!(VERIFIER.to_cookie(&token, NOW, true).is_some_and(|cookie| HeaderValue::try_from(cookie).is_ok()));
    // The value of an ignored claim need not be valid UTF-8.
    let Ok(said) = serde_json::from_slice::<Value>(claims) else { return };
    let patterns: Vec<_> = said["streams"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(permissions == Permissions::All, patterns.contains(&"*"));
    let permits_yard = patterns.iter().any(|text| text.parse::<StreamPattern>().is_ok() && matches(text, "yard"));
    assert_eq!(permissions.reach("GET", "/hls/yard/index.m3u8", None), permits_yard);
}

/// Matches by the definition of `*`, for a short `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return name.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    if first == '*' {
        return name.char_indices().any(|(at, _)| matches(rest, &name[at..])) || matches(rest, "");
    }
    name.strip_prefix(first).is_some_and(|name| matches(rest, name))
}
