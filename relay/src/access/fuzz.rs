//! The target `tokens`: what tokens say, and all the places where one may be.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use axum::http::header::{COOKIE, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, HeaderValue, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

use super::cookie::Signer;
use super::token::{self, Verifier};
use super::{Rights, credentials, is_page, is_public};
use crate::config::{Password, TokenKey};

const KEY: [u8; 32] = [1; 32];
const NOW: u64 = 1_800_000_000;

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(&TokenKey::new(KEY.to_vec()).expect("it is long enough")));
static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new(&Password::new("open sesame".to_owned())));

/// The first line are claims, which are signed here, or nothing would come past the signature; the second is an address, the
/// third a header.
pub fn tokens(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    claims(line());
    if let Ok(uri) = Uri::try_from(line()) {
        let given = token::in_query(&uri).unwrap_or_default();
        assert!(VERIFIER.verify(given, NOW).is_err() && VERIFIER.keep(given, NOW, true).is_none(), "nobody signed it");
        if is_public(uri.path()) {
            assert!(!uri.path().starts_with("/hls/") && !uri.path().starts_with("/ws/"), "it is a camera's");
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(line()) {
        if let Ok(text) = value.to_str() {
            credentials(text);
            assert!(!SIGNER.admits(text, NOW), "nobody signed it");
            assert!(!is_page(text) || text.starts_with("./"), "it leads elsewhere");
        }
        let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, value.clone()), (COOKIE, value)]);
        for given in token::in_protocols(&headers).into_iter().chain(VERIFIER.kept(&headers)) {
            assert!(VERIFIER.verify(given, NOW).is_err(), "nobody signed it");
        }
    }
}

fn claims(claims: &[u8]) {
    let signed = format!("{}.{}", BASE64.encode(r#"{"typ":"JWT","alg":"HS256"}"#), BASE64.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), signed.as_bytes());
    let token = format!("{signed}.{}", BASE64.encode(signature));
    let Ok((rights, until)) = VERIFIER.verify(&token, NOW) else { return };
    assert!(until > NOW);
    assert!(VERIFIER.keep(&token, NOW, true).is_some_and(|cookie| HeaderValue::try_from(cookie).is_ok()));
    // A claim that is nobody's here may be no text at all.
    let Ok(said) = serde_json::from_slice::<Value>(claims) else { return };
    let named = |name: &str| said["streams"].as_array().is_some_and(|names| names.iter().any(|other| other == name));
    assert_eq!(rights == Rights::All, named("*"));
    assert_eq!(rights.reach("/hls/yard/index.m3u8"), named("yard") || named("*"));
}
