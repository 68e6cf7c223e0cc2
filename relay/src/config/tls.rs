//! `[tls]`: the certificate for HTTPS.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The files of a certificate. Their contents may change while the relay runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain without the root, in PEM. Relative to the configuration's folder.
    pub certificate: PathBuf,
    /// The private key in PEM. Relative to the configuration's folder.
    pub key: PathBuf,
}

impl Tls {
    /// Resolves both files relative to the configuration's folder.
    pub(super) fn beside(self, configuration: &Path) -> Self {
        let beside = |file: PathBuf| configuration.with_file_name("").join(file);
        Self { certificate: beside(self.certificate), key: beside(self.key) }
    }
}
