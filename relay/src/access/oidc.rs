//! Verifies tokens of an identity provider (OpenID Connect Core 1.0, section 2; Cloudflare Access). Rules decide by the claims of
//! a valid token which streams it allows ([`allow`]); without rules, it allows every stream, as the password does. The relay
//! performs no sign-in; a proxy or a program sends the token.
//!
//! | location | sender |
//! | --- | --- |
//! | `Cf-Access-Jwt-Assertion` | Cloudflare's proxy |
//! | the cookie `CF_Authorization` | a browser that has signed in at Cloudflare |
//! | `Authorization: Bearer` (RFC 6750) | other proxies, programs, WHEP |
//!
//! A valid token is signed by one of the provider's keys ([`keys`], [`jwks_cache`]). It names this issuer, this audience and a time
//! that has not expired (RFC 7519, section 4.1). The relay stores nothing of it.

mod allow;
mod jwks_cache;
mod keys;
mod refused_subjects;
mod source;

use std::sync::Arc;

use axum::http::HeaderMap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{AlgorithmFamily, Validation};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::cookie;
use super::refusal::Refusal;
use crate::config::{KeySource, Oidc};
use jwks_cache::JwksCache;
use keys::Key;

pub(super) use allow::{AllowRules, MatchedClaim};
pub(super) use refused_subjects::RefusedSubjects;
pub use source::KeysError;

/// Cloudflare Access's names of the header and the cookie ("Validate JWTs" in its documentation).
const HEADER: &str = "cf-access-jwt-assertion";
const COOKIE: &str = "CF_Authorization";
/// Tolerated difference between the provider's clock and this machine's, in seconds.
const LEEWAY: u64 = 30;

/// The claims of a token, by name.
type Claims = Map<String, Value>;

/// A valid token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OidcIdentity {
    /// Its expiry with the leeway, in seconds since 1970.
    pub(super) until: u64,
    /// Its `sub`: the person, for the log.
    pub(super) subject: Option<Arc<str>>,
    /// All of its claims, for the rules.
    pub(super) claims: Claims,
}

/// Verifies tokens with the provider's current keys.
pub(crate) struct OidcVerifier {
    rules: Rules,
    known: JwksCache,
}

/// The required claims.
struct Rules {
    issuer: String,
    audience: String,
}

impl OidcVerifier {
    /// Starts a verifier that follows the provider's keys until `shutdown`.
    pub(crate) fn start(oidc: Oidc, shutdown: CancellationToken) -> Self {
        let Oidc { issuer, audience, keys, allow: _ } = oidc;
        Self { rules: Rules { issuer, audience }, known: JwksCache::follow(keys, shutdown) }
    }

    /// Verifies `token` at `now`, in seconds since 1970. An unknown key is fetched, which may take as long as the provider's
    /// response.
    pub(super) async fn verify(&self, token: &str, now: u64) -> Result<OidcIdentity, Refusal> {
        let verified = async {
            let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Unverified)?;
            // A public key must not serve as an HMAC secret (RFC 8725, section 2.1). No extension is supported (RFC 7515,
            // section 4.1.11).
            if header.alg.family() == AlgorithmFamily::Hmac || header.crit.is_some() {
                return Err(Refusal::Unverified);
            }
            let key = self.known.find(&header).await.ok_or(Refusal::Unverified)?;
            self.rules.judge(token, &key, now)
        };
        let verified = verified.await;
        if let Err(why) = &verified {
            debug!(%why, "a token of the identity provider is refused");
        }
        verified
    }
}

impl Rules {
    fn judge(&self, token: &str, key: &Key, now: u64) -> Result<OidcIdentity, Refusal> {
        let mut rules = Validation::new_for_family(key.decoding.family());
        rules.algorithms.clone_from(&key.algorithms);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        // The caller supplies the time.
        rules.validate_exp = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding, &rules);
        let claims = decoded.map_err(|error| refusal(error.kind()))?.claims;
        let exp = date(&claims, "exp")?.ok_or(Refusal::Unverified)?;
        let nbf = date(&claims, "nbf")?;
        if exp.saturating_add(LEEWAY) <= now {
            return Err(Refusal::SignedOut);
        }
        if nbf.is_some_and(|nbf| nbf > now + LEEWAY) {
            return Err(Refusal::Early);
        }
        let subject = claims.get("sub").and_then(allow::scalar_text).map(Arc::from);
        Ok(OidcIdentity { until: exp.saturating_add(LEEWAY), subject, claims })
    }
}

/// A time in seconds since 1970, which may have a fraction (RFC 7519, section 2, `NumericDate`). An out-of-range number
/// saturates.
fn date(claims: &Claims, name: &str) -> Result<Option<u64>, Refusal> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(|seconds| Some(seconds as u64)).ok_or(Refusal::Unverified),
    }
}

/// Errors after a valid signature name the configuration, which may be the cause.
fn refusal(error: &ErrorKind) -> Refusal {
    match error {
        // A token without an end is malformed for every relay.
        ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => Refusal::Unverified,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience | ErrorKind::MissingRequiredClaim(_) => Refusal::NotForUs,
        _ => Refusal::Unverified,
    }
}

/// The token that Cloudflare's proxy or cookie adds to each request of a signed-in browser.
pub(super) fn cloudflare_token(headers: &HeaderMap) -> Option<&str> {
    headers.get(HEADER).and_then(|value| value.to_str().ok()).or_else(|| cookie::value(headers, COOKIE))
}

/// Fetches the provider's keys once and returns their number.
///
/// # Errors
/// See [`KeysError`].
pub async fn fetch_key_count(source: &KeySource) -> Result<usize, KeysError> {
    Ok(source::load(source).await?.len())
}

#[cfg(test)]
pub(crate) mod tests;
