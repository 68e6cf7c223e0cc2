//! `[tls]`: the certificate with which the relay speaks HTTPS itself.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The files of a certificate. What is in them may change while the relay runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those between it and its root, in PEM; beside the configuration, where it is not absolute.
    pub certificate: PathBuf,
    /// Its private key, likewise.
    pub key: PathBuf,
}

impl Tls {
    /// The same, as seen from the configuration's place.
    pub(super) fn beside(self, configuration: &Path) -> Self {
        let beside = |file: PathBuf| configuration.with_file_name("").join(file);
        Self { certificate: beside(self.certificate), key: beside(self.key) }
    }
}
