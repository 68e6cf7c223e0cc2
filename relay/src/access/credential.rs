//! What a request was admitted by, so that a session can end with it and the access log can name it.

use std::sync::Arc;

use super::oidc::MatchedClaim;

/// The credential of an admitted request. `of` names the password or the key that it was verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// None: the relay asked for none.
    Open,
    /// The password, in a header.
    Password {
        /// The password's name.
        of: Arc<str>,
    },
    /// The cookie of a browser that has logged in.
    Login {
        /// The password's name.
        of: Arc<str>,
        /// The login's id.
        id: Arc<str>,
    },
    /// An access token.
    Token {
        /// The key's name.
        of: Arc<str>,
        /// Its `jti`.
        id: Option<Arc<str>>,
    },
    /// An identity provider's token.
    Provider {
        /// Its `sub`.
        subject: Option<Arc<str>>,
        /// What rules of `[[oidc.allow]]` matched in it.
        matched: Arc<[MatchedClaim]>,
    },
}

impl Credential {
    /// The kind, for the log.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Open => "none",
            Self::Password { .. } => "password",
            Self::Login { .. } => "login",
            Self::Token { .. } => "token",
            Self::Provider { .. } => "provider",
        }
    }

    /// Who the credential names: the `jti` of an access token, the `sub` of a provider's token.
    pub(crate) fn subject(&self) -> Option<&str> {
        match self {
            Self::Token { id, .. } => id.as_deref(),
            Self::Provider { subject, .. } => subject.as_deref(),
            _ => None,
        }
    }
}

/// Extension of a request that a cookie admitted, which a logout removes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByCookie;
