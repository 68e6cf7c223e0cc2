//! The cookie of a browser that has logged in: its expiry time, signed.

use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::config::Password;

/// Long, because a video wall should not show the login form every day.
const SECONDS: u64 = 30 * 24 * 3600;
/// The key is derived from the password, so that cookies survive a restart but not a new password. The iterations make each
/// guess at the password expensive for a thief of a cookie (OWASP's figure for PBKDF2-HMAC-SHA256 in 2023).
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).expect("it is not 0");
const SALT: &[u8] = b"sightline session cookie";

/// Signs and verifies cookies.
pub(super) struct Signer {
    key: hmac::Key,
    /// Differs per key: cookies ignore ports (RFC 6265, section 8.5), and a machine may run several relays.
    name: String,
}

impl Signer {
    pub(super) fn new(password: &Password) -> Self {
        let mut key = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, SALT, password.reveal().as_bytes(), &mut key);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let name = BASE64.encode(&hmac::sign(&key, b"name").as_ref()[..6]);
        Self { key, name: format!("sightline-{name}") }
    }

    /// The cookie's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A `Set-Cookie` value (RFC 6265) for a browser that logs in at `now`, in seconds since 1970. It has no `Path`, so it
    /// applies to the login's folder, also below a proxy's path prefix.
    pub(super) fn cookie(&self, now: u64, encrypted: bool) -> String {
        let until = (now + SECONDS).to_string();
        let signature = BASE64.encode(hmac::sign(&self.key, until.as_bytes()));
        let secure = if encrypted { "; Secure" } else { "" };
        format!("{}={until}.{signature}; Max-Age={SECONDS}; HttpOnly; SameSite=Lax{secure}", self.name)
    }

    /// Whether a `Cookie` header contains a cookie of this relay that is valid at `now`.
    pub(super) fn admits(&self, header: &str, now: u64) -> bool {
        let mut pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == self.name && self.accepts(value, now))
    }

    fn accepts(&self, value: &str, now: u64) -> bool {
        let signed = || {
            let (until, signature) = value.split_once('.')?;
            hmac::verify(&self.key, until.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;
            until.parse::<u64>().ok()
        };
        signed().is_some_and(|until| until > now)
    }
}

/// The value of the request's cookie `name` (RFC 6265, section 4.2.1).
pub(super) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_time_and_its_password() {
        let signer = |password: &str| Signer::new(&Password::new(password.to_owned()));
        let ours = signer("a");
        let cookie = ours.cookie(1000, true);
        assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        let sent = format!("other=1; {}", cookie.split(';').next().unwrap());
        assert!(ours.admits(&sent, 1000) && !signer("b").admits(&sent, 1000) && !ours.admits("other=1", 1000));
        let value = sent.rsplit('=').next().unwrap();
        assert!(ours.accepts(value, 1000) && ours.accepts(value, 999 + SECONDS));
        assert!(!ours.accepts(value, 1000 + SECONDS), "its time is over");
        assert!(!signer("b").accepts(value, 1000), "the password is another");
        let later = value.replacen('2', "3", 1);
        for forged in [later.as_str(), "", ".", "9999999999.", "9999999999.AAAA", &value[..value.len() - 2]] {
            assert!(!ours.accepts(forged, 1000), "{forged}");
        }
    }
}
