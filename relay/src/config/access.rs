//! `[access]`: credentials.

use std::fmt;
use std::path::{Path, PathBuf};

use argon2::password_hash::phc::PasswordHash;
use argon2::{ARGON2ID_IDENT, Params};
use serde::Deserialize;

use super::{AllowRule, ConfigError, TokenKey};

/// Overrides `password_file`.
const VARIABLE: &str = "SIGHTLINE_PASSWORD";
/// The start of a password that is a hash, by any variant of Argon2.
const HASH: &str = "$argon2";
/// Maximum memory of a hash in KiB, and maximum passes over it. Each login takes them once; RFC 9106, section 4, recommends less
/// for a machine that serves logins.
const HASH_KIB: u32 = 256 * 1024;
const HASH_PASSES: u32 = 16;

/// The section's structure.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccessSection {
    /// Relative to the configuration's folder.
    pub(super) password_file: Option<PathBuf>,
    /// Relative to the configuration's folder.
    pub(super) token_key_file: Option<PathBuf>,
    /// Ids (`jti`) of access tokens.
    pub(super) revoked: Vec<String>,
    pub(super) open: bool,
}

/// The credentials that may change while the relay runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The password, if there is one.
    pub password: Option<Password>,
    /// The key of access tokens, if there is one.
    pub token_key: Option<TokenKey>,
    /// Ids (`jti`) of access tokens that are revoked.
    pub revoked: Vec<String>,
    /// The rules of the identity provider. `None` without a provider in the configuration.
    pub allow: Option<Vec<AllowRule>>,
    /// Whether everyone may watch who reaches a non-loopback address.
    pub open: bool,
}

impl Credentials {
    /// Whether viewers need credentials. `provider` says whether an identity provider is configured, too.
    pub(crate) fn are_any(&self, provider: bool) -> bool {
        self.password.is_some() || self.token_key.is_some() || provider
    }
}

/// The password, or an Argon2id hash of it in the PHC string format. Its `Debug` output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password, or a hash that is known to be valid.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// A password, or a hash. Refuses a text that begins like a hash and cannot be used as one.
    fn parse(text: String) -> Result<Self, String> {
        if text.starts_with(HASH) {
            check_hash(&text).map_err(|problem| {
                format!("it begins with {HASH} and {problem}; `sightline password-hash` makes a hash")
            })?;
        }
        Ok(Self(text))
    }

    /// Reads the first line of a file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Self::parse(line.to_owned()),
            _ => Err("its first line is empty".to_owned()),
        }
    }

    /// Reads the environment variable, if it is set.
    ///
    /// # Errors
    /// The value is empty, not UTF-8 or an unusable hash. An operator who sets the variable does not want an open relay.
    pub fn from_environment() -> Result<Option<Self>, ConfigError> {
        let error = |problem: &str| ConfigError::Variable(problem.to_owned());
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Self::parse(text).map(Some).map_err(ConfigError::Variable),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Ok(_) => Err(error("it is empty")),
            Err(std::env::VarError::NotUnicode(_)) => Err(error("it is not UTF-8")),
        }
    }

    /// The text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the text is a hash of the password.
    pub(crate) fn is_hash(&self) -> bool {
        self.0.starts_with(HASH)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Checks that `text` is a hash that the relay can verify at each login. The error does not quote it.
fn check_hash(text: &str) -> Result<(), String> {
    let hash = PasswordHash::new(text).map_err(|error| format!("is no hash in the PHC string format: {error}"))?;
    if hash.algorithm != ARGON2ID_IDENT {
        return Err("is not a hash by argon2id".to_owned());
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("lacks its salt or its hash".to_owned());
    }
    let params = Params::try_from(&hash).map_err(|error| format!("has unusable parameters: {error}"))?;
    if params.m_cost() > HASH_KIB || params.t_cost() > HASH_PASSES {
        return Err(format!("takes more than m={HASH_KIB} (KiB) or t={HASH_PASSES} (passes) at each login"));
    }
    Ok(())
}

/// Checks the ids of revoked tokens.
pub(super) fn check_revoked(revoked: &[String]) -> Result<(), String> {
    match revoked.iter().any(String::is_empty) {
        true => Err("access.revoked has an empty id; name the jti of a token, or remove it".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test vector of the reference implementation of Argon2.
    const FOREIGN: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn hash_is_recognized_and_a_bad_one_is_refused_with_its_remedy() {
        assert!(Password::parse(FOREIGN.to_owned()).unwrap().is_hash());
        assert!(!Password::parse("open sesame".to_owned()).unwrap().is_hash());
        assert!(!Password::parse("$argon".to_owned()).unwrap().is_hash(), "a password may begin with $");
        for (text, problem) in [
            ("$argon2id$".to_owned(), "PHC string format"),
            (FOREIGN.replace("argon2id", "argon2i"), "not a hash by argon2id"),
            (FOREIGN.replace("m=256", "m=1048576"), "more than m=262144"),
            (FOREIGN.replace("t=2", "t=1000"), "or t=16"),
            (FOREIGN.replace("m=256", "m=1"), "unusable parameters"),
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ".to_owned(), "lacks its salt or its hash"),
        ] {
            let error = Password::parse(text.clone()).unwrap_err();
            assert!(error.contains(problem) && error.contains("sightline password-hash"), "{text}: {error}");
            assert!(!error.contains("c29t"), "{error}");
        }
    }

    #[test]
    fn revoked_ids_are_not_empty() {
        assert!(check_revoked(&["visitor".to_owned()]).is_ok());
        assert!(check_revoked(&[String::new()]).unwrap_err().contains("access.revoked"));
    }
}
