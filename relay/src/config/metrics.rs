//! `[metrics]`: a listener of its own for `/metrics`.

use std::net::SocketAddr;

use serde::Deserialize;

use super::listen;

/// The section's structure.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MetricsSection {
    #[serde(deserialize_with = "listen::optional")]
    pub(super) listen: Option<SocketAddr>,
}
