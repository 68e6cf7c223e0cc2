//! `[access]`: who may watch.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// Where the password may be instead of a file.
const VARIABLE: &str = "SIGHTLINE_PASSWORD";

/// `[access]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    /// Beside the configuration, where it is not absolute.
    pub(super) password_file: Option<PathBuf>,
    /// Likewise.
    pub(super) token_key_file: Option<PathBuf>,
    pub(super) open: bool,
}

/// What those who watch have to know. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The first line of a file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(Self(line.to_owned())),
            _ => Err("its first line is empty".to_owned()),
        }
    }

    /// That of the environment, if there is one.
    ///
    /// # Errors
    /// When there is something else: whoever sets it does not want everybody to watch.
    pub fn from_environment() -> Result<Option<Self>, ConfigError> {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Ok(Some(Self(text))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Ok(_) => Err(ConfigError::Variable("is empty")),
            Err(std::env::VarError::NotUnicode(_)) => Err(ConfigError::Variable("is not UTF-8")),
        }
    }

    /// The text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
