//! `[tls]`: the certificate for HTTPS.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Maximum of `hsts_seconds`: two years, which browsers' preload lists ask for. A longer time helps no client.
const HSTS_SECONDS: u64 = 2 * 365 * 24 * 3600;

/// The files of a certificate. Their contents may change while the relay runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain without the root, in PEM. Relative to the configuration's folder.
    pub certificate: PathBuf,
    /// The private key in PEM. Relative to the configuration's folder.
    pub key: PathBuf,
    /// The `max-age` of `Strict-Transport-Security` (RFC 6797, section 6.1.1); without it, the header is not sent.
    pub hsts_seconds: Option<u64>,
}

impl Tls {
    /// Checks the values.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.hsts_seconds {
            Some(seconds) if seconds > HSTS_SECONDS => {
                Err(format!("tls.hsts_seconds = {seconds} is out of range: 0 to {HSTS_SECONDS}"))
            }
            _ => Ok(()),
        }
    }

    /// Resolves both files relative to the configuration's folder.
    pub(super) fn beside(self, configuration: &Path) -> Self {
        let beside = |file: PathBuf| configuration.with_file_name("").join(file);
        Self { certificate: beside(self.certificate), key: beside(self.key), ..self }
    }
}
