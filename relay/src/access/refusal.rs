//! The error texts for requests that may not watch.

use std::sync::Arc;

/// Why a request may not watch. The text is shown instead of the video.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// No credentials or a wrong password; a password is configured.
    #[error("this relay asks for a password: load the page anew to log in")]
    LogIn,
    /// No credentials; only tokens are configured.
    #[error("this relay asks for an access token: open it by a link that has one")]
    NoToken,
    /// The token has expired.
    #[error("the access token has expired: ask for a new one")]
    Expired,
    /// The token's id is in `access.revoked`.
    #[error("the access token has been revoked: ask for a new one")]
    Revoked,
    /// The token is not valid yet.
    #[error("the access token is not valid yet: try again later")]
    Early,
    /// The token is malformed or was signed with another key.
    #[error("the access token is not one of this relay's: ask for a new one")]
    Foreign,
    /// The token does not name this stream.
    #[error("the access token is not for this: ask for one that names the stream")]
    OtherStream,
    /// No credentials; an identity provider and no password are configured.
    #[error("this relay requires a sign-in: open it by its sign-in address, then reload the page")]
    SignIn,
    /// The provider's token has expired.
    #[error("the sign-in has expired: load the page anew to sign in again")]
    SignedOut,
    /// The signature of the provider's token cannot be verified.
    #[error("the sign-in cannot be verified: load the page anew to sign in again")]
    Unverified,
    /// The provider signed the token for another issuer or audience.
    #[error(
        "the sign-in is for something else: its issuer or its audience is not the one in the relay's configuration"
    )]
    NotForUs,
    /// No rule of `[[oidc.allow]]` names a value of the provider's token. Says which claims the rules read, and none of their
    /// values.
    #[error("the sign-in permits no stream of this relay: {0}; ask the operator of the relay")]
    NoRule(Arc<str>),
    /// The provider's token does not permit this stream.
    #[error("the sign-in does not permit this: ask the operator of the relay for this stream")]
    OtherStreamOfSignIn,
}

impl Refusal {
    /// Whether the credentials were a token with a valid signature, and so not a password.
    pub(super) fn is_of_a_token(&self) -> bool {
        matches!(self, Self::Expired | Self::Revoked | Self::Early | Self::SignedOut | Self::NotForUs | Self::NoRule(_))
    }

    /// Whether the client is known and may not have this. Another login would not help.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::OtherStream | Self::OtherStreamOfSignIn | Self::NoRule(_))
    }
}
