//! Tokens of an identity provider (OpenID Connect Core 1.0, section 2; Cloudflare Access): whoever has signed in there sees
//! everything, as with the password. The relay signs nobody in; a proxy or a program brings the token.
//!
//! | where | who sends it there |
//! | --- | --- |
//! | `Cf-Access-Jwt-Assertion` | Cloudflare's proxy |
//! | the cookie `CF_Authorization` | the browser of somebody who has signed in at Cloudflare |
//! | `Authorization: Bearer` (RFC 6750) | other proxies, programs, WHEP |
//!
//! A token is good if one of the provider's keys has signed it ([`keys`], [`known`]), and it names this issuer, this audience
//! and a time that is not over (RFC 7519, section 4.1). Nothing of it is kept.

mod keys;
mod known;
mod source;

use axum::http::HeaderMap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{AlgorithmFamily, Validation};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Refusal, Rights, cookie};
use crate::config::{KeySource, Oidc};
use keys::Key;
use known::Known;

pub use source::KeysError;

/// What Cloudflare Access calls the header and the cookie ("Validate JWTs" in its documentation).
const HEADER: &str = "cf-access-jwt-assertion";
const COOKIE: &str = "CF_Authorization";
/// How far the provider's clock may be from this machine's, in seconds.
const LEEWAY: u64 = 30;

/// What a token says, beside what it is for.
#[derive(Deserialize)]
struct Claims {
    /// When it ends, in seconds since 1970; with a fraction, where the provider likes (RFC 7519, section 2, `NumericDate`).
    exp: f64,
    /// When it begins.
    nbf: Option<f64>,
}

/// Verifies, with the keys that the provider has at the time.
pub(crate) struct Verifier {
    rules: Rules,
    known: Known,
}

/// What a token must say.
struct Rules {
    issuer: String,
    audience: String,
}

impl Verifier {
    /// One that keeps up with the provider's keys until `shutdown`.
    pub(crate) fn start(oidc: Oidc, shutdown: CancellationToken) -> Self {
        let Oidc { issuer, audience, keys } = oidc;
        Self { rules: Rules { issuer, audience }, known: Known::follow(keys, shutdown) }
    }

    /// What the bearer of `token` may see at `now`, in seconds since 1970, and until when. A key that is not known is asked
    /// for, so this may take as long as the provider's answer.
    pub(super) async fn verify(&self, token: &str, now: u64) -> Result<(Rights, u64), Refusal> {
        let verified = async {
            let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Unverified)?;
            // What is public cannot be a secret (RFC 8725, section 2.1), and no extension is understood (RFC 7515, section 4.1.11).
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
    fn judge(&self, token: &str, key: &Key, now: u64) -> Result<(Rights, u64), Refusal> {
        let mut rules = Validation::new_for_family(key.decoding.family());
        rules.algorithms.clone_from(&key.algorithms);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        // Time is the caller's.
        rules.validate_exp = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding, &rules);
        let Claims { exp, nbf } = decoded.map_err(|error| refusal(error.kind()))?.claims;
        // A number that is out of range becomes the nearest one.
        let (exp, nbf) = (exp as u64, nbf.map(|nbf| nbf as u64));
        if exp.saturating_add(LEEWAY) <= now {
            return Err(Refusal::SignedOut);
        }
        if nbf.is_some_and(|nbf| nbf > now + LEEWAY) {
            return Err(Refusal::Early);
        }
        Ok((Rights::All, exp))
    }
}

/// What is said after the signature was found right names the configuration, which may be what is wrong.
fn refusal(error: &ErrorKind) -> Refusal {
    match error {
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience | ErrorKind::MissingRequiredClaim(_) => Refusal::NotForUs,
        _ => Refusal::Unverified,
    }
}

/// The token that comes by itself with all that somebody asks for who has signed in.
pub(super) fn brought(headers: &HeaderMap) -> Option<&str> {
    headers.get(HEADER).and_then(|value| value.to_str().ok()).or_else(|| cookie::value(headers, COOKIE))
}

/// Looks at the provider's keys once, and gives their number.
///
/// # Errors
/// When there are none to be had.
pub async fn look(source: &KeySource) -> Result<usize, KeysError> {
    Ok(source::load(source).await?.len())
}

#[cfg(test)]
mod tests;
