//! Names the person or the token behind a viewer in the log.

use std::fmt::Display;

use sightline_protocol::stream::StreamName;
use tracing::info;

use super::credential::Credential;
use super::expiry::Expiry;
use crate::net::escaped::Escaped;

/// The credential of a viewer, for its log lines.
#[derive(Debug, Clone)]
pub(crate) struct Subject(Option<Credential>);

impl Subject {
    /// The subject of the request with this extension.
    pub(crate) fn of(expiry: Option<&Expiry>) -> Self {
        Self(expiry.map(|expiry| expiry.credential().clone()))
    }

    /// The log field: the `jti` of an access token, the `sub` of a provider's token; escaped and cut.
    pub(crate) fn field(&self) -> Option<impl tracing::Value> {
        fn display(text: impl Display) -> impl tracing::Value {
            tracing::field::display(text)
        }
        self.0.as_ref().and_then(Credential::subject).map(|subject| display(Escaped(subject)))
    }

    /// Logs that a viewer of `stream` starts, if an identity provider names the person. Without it, one line at the end is all
    /// that a viewer leaves.
    pub(crate) fn log_start(&self, stream: &StreamName, message: &str) {
        if let Some(Credential::Provider { .. }) = &self.0 {
            info!(stream = stream.as_str(), subject = self.field(), "{message}");
        }
    }
}
