//! Access tokens: the streams that the bearer may see and an expiry, signed (JWT, RFC 7519, with HS256). The relay stores no
//! tokens; the relay or a program of the operator's issues them with the shared key.
//!
//! | location | sender |
//! | --- | --- |
//! | `?token=` | links, and players that support only addresses |
//! | `Authorization: Bearer` (RFC 6750) | programs, WHEP |
//! | the subprotocol `sightline.token.TOKEN` | pages of other sites: browsers set no headers on a WebSocket |
//! | a cookie | the page, once it was opened by a link |

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};
use serde::{Deserialize, Serialize};
use sightline_protocol::stream::StreamPattern;

use super::permissions::Permissions;
use super::{Refusal, cookie};
use crate::config::TokenKey;

/// The subprotocol in which a WebSocket request sends a token. The relay never selects it.
const PROTOCOL: &str = "sightline.token.";
/// The query parameter.
pub(crate) const PARAMETER: &str = "token=";
/// The longest `Max-Age` that browsers accept (RFC 6265bis, section 5.5). WebKitGTK drops a cookie with more than 2^31 seconds.
const KEPT: u64 = 400 * 24 * 3600;
/// The pattern of all streams.
const ALL: &str = "*";

/// The claims of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct TokenClaims {
    /// Expiry in seconds since 1970.
    exp: u64,
    /// Start of validity in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    /// The token's id, by which it can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// Names and patterns of streams ([`StreamPattern`]). Required, because a misspelt claim must not allow every stream.
    streams: Vec<String>,
}

/// Verifies tokens.
pub(super) struct Verifier {
    key: DecodingKey,
    rules: Validation,
    /// The cookie's name, which differs per key as the login cookie's does.
    cookie: Arc<str>,
    /// Ids of tokens that are refused.
    revoked: HashSet<String>,
}

/// A valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) permissions: Permissions,
    /// Its expiry in seconds since 1970.
    pub(super) until: u64,
    /// Its `jti`.
    pub(super) id: Option<Arc<str>>,
}

impl Verifier {
    /// Verifies tokens that `key` signed, except those with an id in `revoked`.
    pub(super) fn new(key: &TokenKey, revoked: &[String]) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        // The caller supplies the time.
        rules.validate_exp = false;
        let hash = digest(&SHA256, &[b"sightline token cookie", key.reveal()].concat());
        let cookie = format!("sightline-token-{}", BASE64.encode(&hash.as_ref()[..6])).into();
        Self { key: DecodingKey::from_secret(key.reveal()), rules, cookie, revoked: revoked.iter().cloned().collect() }
    }

    /// The name of the cookie that keeps a link's token.
    pub(super) fn cookie(&self) -> &Arc<str> {
        &self.cookie
    }

    /// Whether a token that the key of the cookie name `of` verified, with the id `id`, is not revoked.
    pub(super) fn is_valid(&self, of: &Arc<str>, id: Option<&str>) -> bool {
        self.cookie == *of && id.is_none_or(|id| !self.revoked.contains(id))
    }

    /// The permissions of `token` at `now`, in seconds since 1970, and its expiry.
    pub(super) fn verify(&self, token: &str, now: u64) -> Result<Verified, Refusal> {
        let decoded = jsonwebtoken::decode::<TokenClaims>(token, &self.key, &self.rules);
        let TokenData { header, claims, .. } = decoded.map_err(|_| Refusal::Foreign)?;
        // No extension is supported (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(Refusal::Foreign);
        }
        let TokenClaims { exp, nbf, jti, streams } = claims;
        if !self.is_valid(&self.cookie, jti.as_deref()) {
            return Err(Refusal::Revoked);
        }
        if exp <= now {
            return Err(Refusal::Expired);
        }
        if nbf.is_some_and(|nbf| nbf > now) {
            return Err(Refusal::Early);
        }
        // An invalid name or pattern matches no stream.
        let permissions = streams.into_iter().filter_map(|text| StreamPattern::try_from(text).ok()).collect();
        Ok(Verified { permissions, until: exp, id: jti.map(Arc::from) })
    }

    /// A `Set-Cookie` value for a page that is opened with this token. The cookie expires with the token.
    pub(super) fn to_cookie(&self, token: &str, now: u64, encrypted: bool) -> Option<String> {
        let Verified { until, .. } = self.verify(token, now).ok()?;
        let secure = if encrypted { "; Secure" } else { "" };
        Some(format!("{}={token}; Max-Age={}; HttpOnly; SameSite=Lax{secure}", self.cookie, (until - now).min(KEPT)))
    }

    /// The token that a page was opened with earlier.
    pub(super) fn kept<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookie::value(headers, &self.cookie)
    }
}

/// An id for a token, unlike all others.
pub fn new_id() -> String {
    BASE64.encode(rand::random::<[u8; 12]>())
}

/// Issues the token `id` for `streams`, which are names and patterns, or for all streams if that is empty. `until` is its expiry in seconds since 1970.
///
/// # Errors
/// An error of the cryptography library, which is not expected.
pub fn issue(key: &TokenKey, streams: &[String], until: u64, id: &str) -> Result<String, jsonwebtoken::errors::Error> {
    let streams = if streams.is_empty() { vec![ALL.to_owned()] } else { streams.to_vec() };
    let claims = TokenClaims { exp: until, nbf: None, jti: Some(id.to_owned()), streams };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key.reveal()))
}

/// The token in the query of an address.
pub(super) fn in_query(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(PARAMETER))
}

/// The token in the subprotocols of a WebSocket request.
pub(super) fn in_protocols(headers: &HeaderMap) -> Option<&str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).find_map(|name| name.trim().strip_prefix(PROTOCOL))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::COOKIE;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(byte: u8) -> TokenKey {
        TokenKey::new(vec![byte; 32]).unwrap()
    }

    fn signed(header: &Header, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key(1).reveal())).unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_streams_and_its_time() {
        let verifier = Verifier::new(&key(1), &[]);
        let yard = issue(&key(1), &["yard".to_owned()], NOW + 60, "a").unwrap();
        let granted = |token: &str| verifier.verify(token, NOW).map(|token| (token.permissions, token.until));
        assert_eq!(granted(&yard), Ok((Permissions::Streams(vec!["yard".parse().unwrap()]), NOW + 60)));
        assert_eq!(verifier.verify(&yard, NOW + 60), Err(Refusal::Expired));
        for all in [vec![], vec!["yard".to_owned(), ALL.to_owned()]] {
            let token = issue(&key(1), &all, NOW + 60, "a").unwrap();
            assert_eq!(granted(&token), Ok((Permissions::All, NOW + 60)));
        }
        let path = issue(&key(1), &["site/cam 1/ü".to_owned()], NOW + 60, "a").unwrap();
        let permissions = granted(&path).unwrap().0;
        assert_eq!(permissions, Permissions::Streams(vec!["site/cam 1/ü".parse().unwrap()]));
        let studio = issue(&key(1), &["studio/*".to_owned()], NOW + 60, "a").unwrap();
        assert_eq!(granted(&studio), Ok((Permissions::Streams(vec!["studio/*".parse().unwrap()]), NOW + 60)));
        // Only a valid name or pattern allows a stream.
        let claims = ["site%2Fcam%201", "a//b", "../yard", "yard/", "", "**", "/*", "*/"];
        let odd = signed(&Header::default(), &serde_json::json!({ "exp": NOW + 60, "streams": claims }));
        assert_eq!(granted(&odd), Ok((Permissions::Streams(vec![]), NOW + 60)));
        let none = signed(&Header::default(), &serde_json::json!({ "exp": NOW + 60, "streams": [] }));
        assert_eq!(granted(&none), Ok((Permissions::Streams(vec![]), NOW + 60)), "an empty list is of none");
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let verifier = Verifier::new(&key(1), &[]);
        let good = issue(&key(1), &[], NOW + 60, "a").unwrap();
        let [head, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
        // RFC 8725, section 2.1: the token must not choose the algorithm.
        let unsigned = format!("{}.{claims}.", BASE64.encode(r#"{"alg":"none","typ":"JWT"}"#));
        let other = signed(&Header::new(Algorithm::HS512), &serde_json::json!({ "exp": NOW + 60, "streams": ["*"] }));
        let endless = signed(&Header::default(), &serde_json::json!({ "streams": ["yard"] }));
        let nonsense = signed(&Header::default(), &serde_json::json!({ "exp": NOW + 60, "streams": "yard" }));
        let misspelt = signed(&Header::default(), &serde_json::json!({ "exp": NOW + 60, "stream": ["yard"] }));
        let elsewhere =
            signed(&Header::default(), &serde_json::json!({ "exp": NOW + 60, "streams": ["*"], "aud": "another" }));
        let foreign = issue(&key(2), &[], NOW + 60, "a").unwrap();
        let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
        let extended = signed(&header, &serde_json::json!({ "exp": NOW + 60, "streams": ["*"] }));
        let cut = format!("{head}.{claims}.{}", &signature[1..]);
        let broken = ["", "..", "a.b.c", &unsigned, &cut];
        let signed_badly = [&other, &endless, &nonsense, &misspelt, &elsewhere, &foreign, &extended];
        for token in broken.into_iter().chain(signed_badly.map(String::as_str)) {
            assert_eq!(verifier.verify(token, NOW), Err(Refusal::Foreign), "{token}");
        }
        let early =
            signed(&Header::default(), &serde_json::json!({ "exp": NOW + 60, "nbf": NOW + 30, "streams": ["*"] }));
        assert_eq!(verifier.verify(&early, NOW), Err(Refusal::Early));
        assert!(verifier.verify(&early, NOW + 30).is_ok());
    }

    #[test]
    fn revoked_id_is_refused_and_no_other() {
        let verifier = Verifier::new(&key(1), &["visitor".to_owned()]);
        let token = |id: &str| issue(&key(1), &[], NOW + 60, id).unwrap();
        assert_eq!(verifier.verify(&token("visitor"), NOW), Err(Refusal::Revoked));
        assert_eq!(verifier.to_cookie(&token("visitor"), NOW, true), None);
        assert_eq!(verifier.verify(&token("other"), NOW).unwrap().id.as_deref(), Some("other"));
        let without = signed(&Header::default(), &serde_json::json!({ "exp": NOW + 60, "streams": ["*"] }));
        assert_eq!(verifier.verify(&without, NOW).unwrap().id, None);
        assert_ne!(new_id(), new_id());
    }

    #[test]
    fn a_page_keeps_its_token_as_long_as_it_is_good() {
        let verifier = Verifier::new(&key(1), &[]);
        let token = issue(&key(1), &[], NOW + 60, "a").unwrap();
        let cookie = verifier.to_cookie(&token, NOW, true).unwrap();
        assert!(cookie.ends_with("; Max-Age=60; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        let sent = format!("other=1; {}", cookie.split(';').next().unwrap());
        let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(sent).unwrap())]);
        assert_eq!(verifier.kept(&headers), Some(token.as_str()));
        assert_eq!(Verifier::new(&key(2), &[]).kept(&headers), None, "another relay's");
        assert_eq!(verifier.to_cookie("a.b.c", NOW, false), None);
        let long = issue(&key(1), &[], NOW + (1 << 32), "a").unwrap();
        assert!(
            verifier.to_cookie(&long, NOW, false).unwrap().contains("; Max-Age=34560000;"),
            "as long as browsers can"
        );
    }

    #[test]
    fn a_token_is_found_where_it_may_be() {
        let uri: Uri = "/hls/yard/index.m3u8?_HLS_msn=1&token=a.b.c".parse().unwrap();
        assert_eq!(in_query(&uri), Some("a.b.c"));
        assert_eq!(in_query(&"/?xtoken=a".parse().unwrap()), None);
        let offered = HeaderValue::from_static("sightline.v1, sightline.token.a.b.c");
        let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, offered)]);
        assert_eq!(in_protocols(&headers), Some("a.b.c"));
        assert_eq!(in_protocols(&HeaderMap::new()), None);
    }
}
