//! Extracts a stream's address from a request.
//!
//! The access check (`access/permissions.rs`) parses the same path and query with the same function. A difference in decoding can
//! therefore not let a token for one stream open another. Routers must not be nested: `Router::nest` strips the path.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sightline_protocol::address::{Address, BadAddress};

/// The address of the request.
pub(crate) struct Requested(pub(crate) Result<Address, BadAddress>);

impl<S: Sync> FromRequestParts<S> for Requested {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Address::of_request(parts.method.as_str(), parts.uri.path(), parts.uri.query())))
    }
}
