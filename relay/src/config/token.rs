//! The key of access tokens.

use std::fmt;
use std::path::Path;

use super::ConfigError;

/// Overrides `token_key_file`.
const VARIABLE: &str = "SIGHTLINE_TOKEN_KEY";
/// RFC 7518, section 3.2: a key of HS256 is at least as long as its hash. A shorter one could be guessed offline from a token.
const LENGTH: usize = 32;

/// The key that signs access tokens. Its `Debug` output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey(Vec<u8>);

impl TokenKey {
    /// A key of these bytes.
    ///
    /// # Errors
    /// There are fewer than [`LENGTH`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() < LENGTH {
            let remedy = "`openssl rand -base64 32` makes one";
            return Err(format!("it has {} bytes, and {LENGTH} are the least that is safe; {remedy}", bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// Reads the first line of a file.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let error = |message| ConfigError::TokenKey(path.to_owned(), message);
        let text = std::fs::read_to_string(path).map_err(|problem| error(problem.to_string()))?;
        Self::new(text.lines().next().unwrap_or_default().into()).map_err(error)
    }

    /// Reads the environment variable, if it is set.
    ///
    /// # Errors
    /// The value is too short or not UTF-8.
    pub fn from_environment() -> Result<Option<Self>, ConfigError> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::new(text.into()).map(Some).map_err(ConfigError::TokenVariable),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(ConfigError::TokenVariable("it is not UTF-8".to_owned())),
        }
    }

    /// The bytes.
    pub(crate) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_can_be_guessed_is_refused() {
        let error = TokenKey::new(vec![b'k'; 31]).unwrap_err();
        assert!(error.contains("31 bytes") && error.contains("openssl rand") && !error.contains("kkk"), "{error}");
        let key = TokenKey::new(vec![b'k'; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "TokenKey(…)");
    }
}
