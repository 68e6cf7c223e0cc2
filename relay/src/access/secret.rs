//! Compares a password that a client sent with the configured one, which may be an Argon2id hash (RFC 9106).
//!
//! A hash takes tens of milliseconds and megabytes on purpose. So it is computed on a blocking thread, one at a time, and only
//! until a client has sent the right password. From then on its digest is known, and guesses are compared with that.

use std::sync::{Arc, OnceLock};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Semaphore;

use crate::config::Password;

/// Concurrent computations of a hash. Each takes the memory that the hash names, and guesses must not take it many times.
const HASHES: usize = 1;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Secret {
    /// The digest of the right password. Absent until a client has sent the password of a hash.
    right: OnceLock<Digest>,
    /// Empty for a password that is configured in clear.
    hash: Arc<str>,
    hashes: Arc<Semaphore>,
}

/// The digest of a password. Comparing digests of equal length takes constant time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// The digest of `password`.
    pub(super) fn of(password: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, password.as_bytes()).as_ref());
        Self(bytes)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Secret {
    pub(super) fn new(password: &Password) -> Self {
        let hashes = Arc::new(Semaphore::new(HASHES));
        if password.is_hash() {
            return Self { right: OnceLock::new(), hash: password.reveal().into(), hashes };
        }
        Self { right: Digest::of(password.reveal()).into(), hash: "".into(), hashes }
    }

    /// Whether `guess` is known to be the digest of the right password.
    pub(super) fn knows(&self, guess: Digest) -> bool {
        self.right.get().is_some_and(|right| *right == guess)
    }

    /// Whether `guess` is the right password.
    pub(super) async fn is(&self, guess: &str) -> bool {
        let digest = Digest::of(guess);
        if self.right.get().is_some() {
            return self.knows(digest);
        }
        // Fails only if the semaphore is closed, which nothing does.
        let Ok(permit) = self.hashes.clone().acquire_owned().await else { return false };
        let (hash, guess) = (self.hash.clone(), guess.to_owned());
        let verify = move || {
            // Held until the memory is free, also if the client does not wait.
            let _permit = permit;
            Argon2::default().verify_password(guess.as_bytes(), &*hash).is_ok()
        };
        let right = tokio::task::spawn_blocking(verify).await.unwrap_or(false);
        if right {
            let _ = self.right.set(digest);
        }
        right
    }
}

/// An Argon2id hash of `password` in the PHC string format, with a random salt.
///
/// # Errors
/// An error of the cryptography library, which is not expected.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    // The default parameters are OWASP's: 19 MiB, two passes, one lane.
    let salt: [u8; 16] = rand::random();
    Ok(Argon2::default().hash_password_with_salt(password.as_bytes(), &salt)?.to_string())
}

/// A hash of "password", with little memory: a test vector of the reference implementation of Argon2.
#[cfg(test)]
pub(crate) const FOREIGN: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(password: &str) -> Secret {
        Secret::new(&Password::new(password.to_owned()))
    }

    #[tokio::test]
    async fn password_is_compared_with_its_hash_until_it_is_known() {
        let secret = secret(FOREIGN);
        assert!(!secret.knows(Digest::of("password")) && !secret.is(FOREIGN).await && !secret.is("Password").await);
        assert!(secret.is("password").await && secret.knows(Digest::of("password")));
        // From now on without a hash.
        secret.hashes.close();
        assert!(secret.is("password").await && !secret.is("Password").await);
    }

    #[tokio::test]
    async fn password_in_clear_is_known_at_once() {
        let secret = secret("open sesame");
        secret.hashes.close();
        assert!(secret.knows(Digest::of("open sesame")) && secret.is("open sesame").await);
        assert!(!secret.knows(Digest::of("open")) && !secret.is("open").await && !secret.is("").await);
    }

    #[tokio::test]
    async fn made_hash_is_of_its_password_and_salted() {
        let [first, second] = [hash("open sesame").unwrap(), hash("open sesame").unwrap()];
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && first != second, "{first} {second}");
        assert!(secret(&first).is("open sesame").await && !secret(&second).is("open").await);
    }
}
