//! The cookie of a browser that has logged in: its expiry time and the login's id, signed.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
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
    name: Arc<str>,
}

/// A login, from a valid cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoginId {
    /// Unique among the logins of all browsers.
    pub(super) id: Arc<str>,
    /// The cookie's expiry in seconds since 1970.
    pub(super) until: u64,
}

impl Signer {
    pub(super) fn new(password: &Password) -> Self {
        // The name of the cookie may be public; it has 6 bytes of a digest.
        let name = |digest: &[u8]| -> Arc<str> { format!("sightline-{}", BASE64.encode(&digest[..6])).into() };
        if password.is_hash() {
            // A key that followed from the hash would let its thief forge cookies without the password.
            let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
            let named = digest(&SHA256, &[SALT, password.reveal().as_bytes()].concat());
            return Self { key, name: name(named.as_ref()) };
        }
        let mut key = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, SALT, password.reveal().as_bytes(), &mut key);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let name = name(hmac::sign(&key, b"name").as_ref());
        Self { key, name }
    }

    /// The cookie's name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A `Set-Cookie` value (RFC 6265) for a browser that logs in at `now`, in seconds since 1970. It has no `Path`, so it
    /// applies to the login's folder, also below a proxy's path prefix.
    pub(super) fn cookie(&self, now: u64, encrypted: bool) -> String {
        let signed = format!("{}.{}", now + SECONDS, BASE64.encode(rand::random::<[u8; 12]>()));
        let signature = BASE64.encode(hmac::sign(&self.key, signed.as_bytes()));
        let secure = if encrypted { "; Secure" } else { "" };
        format!("{}={signed}.{signature}; Max-Age={SECONDS}; HttpOnly; SameSite=Lax{secure}", self.name)
    }

    /// The login of the cookie of this relay in a `Cookie` header, if it is valid at `now`.
    pub(super) fn admits(&self, header: &str, now: u64) -> Option<LoginId> {
        let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == &*self.name).find_map(|(_, value)| self.accepts(value, now))
    }

    fn accepts(&self, value: &str, now: u64) -> Option<LoginId> {
        let (signed, signature) = value.rsplit_once('.')?;
        hmac::verify(&self.key, signed.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;
        let (until, id) = signed.split_once('.')?;
        let until = until.parse().ok().filter(|until| *until > now)?;
        Some(LoginId { id: id.into(), until })
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
    use crate::access::secret::FOREIGN;

    fn signer(password: &str) -> Signer {
        Signer::new(&Password::new(password.to_owned()))
    }

    /// What a browser sends after `Set-Cookie`.
    fn sent(cookie: &str) -> String {
        format!("other=1; {}", cookie.split(';').next().unwrap())
    }

    #[test]
    fn a_cookie_is_good_for_its_time_and_its_password() {
        let (ours, other) = (signer("a"), signer("b"));
        let cookie = ours.cookie(1000, true);
        assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        let sent = sent(&cookie);
        let admits = |signer: &Signer, header: &str| signer.admits(header, 1000).is_some();
        assert!(admits(&ours, &sent) && !admits(&other, &sent) && !admits(&ours, "other=1"));
        let value = sent.rsplit('=').next().unwrap();
        assert_eq!(ours.accepts(value, 999 + SECONDS).map(|login| login.until), Some(1000 + SECONDS));
        assert_eq!(ours.accepts(value, 1000 + SECONDS), None, "its time is over");
        assert_eq!(other.accepts(value, 1000), None, "the password is another");
        let later = value.replacen('2', "3", 1);
        let other_id = value.replacen('.', ".A", 1);
        for forged in
            [later.as_str(), &other_id, "", ".", "..", "9999999999.", "9999999999.a.AAAA", &value[..value.len() - 2]]
        {
            assert_eq!(ours.accepts(forged, 1000), None, "{forged}");
        }
    }

    #[test]
    fn logins_of_one_second_have_different_ids() {
        let ours = signer("a");
        let [first, second] = [ours.cookie(1000, true), ours.cookie(1000, true)].map(|cookie| sent(&cookie));
        assert_ne!(ours.admits(&first, 1000).unwrap().id, ours.admits(&second, 1000).unwrap().id);
    }

    #[test]
    fn hash_of_the_password_does_not_suffice_to_forge_a_cookie() {
        let [ours, thief] = [signer(FOREIGN), signer(FOREIGN)];
        assert_eq!(ours.name(), thief.name());
        let cookie = sent(&ours.cookie(1000, true));
        assert!(ours.admits(&cookie, 1000).is_some() && thief.admits(&cookie, 1000).is_none());
    }
}
