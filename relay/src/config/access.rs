//! `[access]`: credentials.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// Overrides `password_file`.
const VARIABLE: &str = "SIGHTLINE_PASSWORD";

/// The section's structure.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccessSection {
    /// Relative to the configuration's folder.
    pub(super) password_file: Option<PathBuf>,
    /// Relative to the configuration's folder.
    pub(super) token_key_file: Option<PathBuf>,
    pub(super) open: bool,
}

/// The password. Its `Debug` output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Reads the first line of a file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(Self(line.to_owned())),
            _ => Err("its first line is empty".to_owned()),
        }
    }

    /// Reads the environment variable, if it is set.
    ///
    /// # Errors
    /// The value is empty or not UTF-8. An operator who sets the variable does not want an open relay.
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
