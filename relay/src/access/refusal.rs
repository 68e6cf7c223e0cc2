//! The sentences for those who may not watch.

/// Why somebody may not watch, as it is told in place of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nothing was shown, or a wrong password, where there is one.
    #[error("this relay asks for a password: load the page anew to log in")]
    LogIn,
    /// Nothing was shown, where there are only tokens.
    #[error("this relay asks for an access token: open it by a link that has one")]
    NoToken,
    /// The token was good once.
    #[error("the access token has expired: ask for a new one")]
    Expired,
    /// The token will be good.
    #[error("the access token is not valid yet: try again later")]
    Early,
    /// It was not made with this relay's key, or is no token at all.
    #[error("the access token is not one of this relay's: ask for a new one")]
    Foreign,
    /// The token is for something else.
    #[error("the access token is not for this: ask for one that names the stream")]
    OtherStream,
    /// Nothing was shown, where there is an identity provider and no password.
    #[error(
        "this relay is for those who have signed in: open it by the address that asks you to, and load the page anew"
    )]
    SignIn,
    /// The provider's token was good once.
    #[error("the sign-in has expired: load the page anew to sign in again")]
    SignedOut,
    /// The provider has not signed it, as far as can be seen.
    #[error("the sign-in cannot be verified: load the page anew to sign in again")]
    Unverified,
    /// The provider has signed it, for somebody else.
    #[error(
        "the sign-in is for something else: its issuer or its audience is not the one in the relay's configuration"
    )]
    NotForUs,
}

impl Refusal {
    /// Whether whoever makes such tokens has signed what was shown, so that it is no password.
    pub(super) fn is_of_a_token(self) -> bool {
        matches!(self, Self::Expired | Self::Early | Self::SignedOut | Self::NotForUs)
    }
}
