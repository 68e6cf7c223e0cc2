//! The opening handshake (RFC 6455, section 4.2). axum then hands over the connection's own bytes.
//!
//! axum's own WebSocket is not used because its library copies each message into a buffer per viewer.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::upgrade::{OnUpgrade, Upgraded};
use sha1::{Digest, Sha1};
use sightline_protocol::SUBPROTOCOL_PARAMETER;
use sightline_protocol::stream::{InvalidQuality, Quality};
use tracing::debug;

use crate::net::origin;
use crate::net::peer::{is_encrypted, peer_address};

/// Appended to the key before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request to open a WebSocket.
pub(crate) struct Handshake {
    on_upgrade: OnUpgrade,
    accept: HeaderValue,
    protocols: Vec<String>,
    /// The subprotocol in the query.
    queried: Option<String>,
    /// The quality in the query.
    quality: Result<Option<Quality>, InvalidQuality>,
    headers: HeaderMap,
    peer: Option<IpAddr>,
    encrypted: bool,
}

impl Handshake {
    /// The origin of the page that connects, if it is neither the relay's own nor one of `allowed`.
    pub(super) fn foreign_origin(&self, allowed: &[String]) -> Option<String> {
        origin::foreign(&self.headers, self.encrypted, allowed)
    }

    /// The headers of the request.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The address of the connection's peer.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The quality that the address names.
    pub(super) fn quality(&self) -> Result<Option<Quality>, InvalidQuality> {
        self.quality
    }

    /// Whether the client selects the subprotocol `name`, by the header or by the query.
    pub(super) fn selects(&self, name: &str) -> bool {
        self.offers(name) || self.queried.as_deref() == Some(name)
    }

    fn offers(&self, name: &str) -> bool {
        self.protocols.iter().any(|offered| offered == name)
    }

    /// Responds with 101 and runs `session` after the upgrade. Confirms `protocol` only if the client offers it in the header:
    /// a browser fails a connection that confirms a subprotocol it did not offer (RFC 6455, section 4.1).
    pub(super) fn accept<F>(
        self,
        protocol: Option<&'static str>,
        session: impl FnOnce(Upgraded) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let confirmed = protocol.filter(|protocol| self.offers(protocol));
        tokio::spawn(async move {
            match self.on_upgrade.await {
                Ok(upgraded) => session(upgraded).await,
                Err(error) => debug!(%error, "the connection ended during the handshake"),
            }
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = confirmed {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}

/// A request that does not open a WebSocket.
#[derive(Debug)]
pub(crate) struct NotWebSocket;

impl IntoResponse for NotWebSocket {
    fn into_response(self) -> Response {
        // RFC 9110, section 15.5.22: 426 names the protocol to upgrade to.
        let headers = [(UPGRADE, "websocket"), (SEC_WEBSOCKET_VERSION, "13")];
        let message = "This address speaks WebSocket (RFC 6455, version 13) only; GET /api/mse/test tells how.\n";
        (StatusCode::UPGRADE_REQUIRED, headers, message).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Handshake {
    type Rejection = NotWebSocket;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotWebSocket> {
        let valid = lists(&parts.headers, CONNECTION, "upgrade")
            && lists(&parts.headers, UPGRADE, "websocket")
            && lists(&parts.headers, SEC_WEBSOCKET_VERSION, "13");
        let key = parts.headers.get(SEC_WEBSOCKET_KEY).filter(|_| valid).ok_or(NotWebSocket)?;
        let accept = accept(key.as_bytes());
        let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or(NotWebSocket)?;
        let protocols = values(&parts.headers, SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        let queried = parts.uri.query().and_then(queried).map(str::to_owned);
        let quality = Quality::in_query(parts.uri.query().unwrap_or_default());
        let (peer, encrypted) = (peer_address(&parts.extensions), is_encrypted(&parts.extensions));
        let headers = parts.headers.clone();
        Ok(Self { on_upgrade, accept, protocols, queried, quality, headers, peer, encrypted })
    }
}

fn accept(key: &[u8]) -> HeaderValue {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(BASE64.encode(hash)).expect("base64 is ASCII")
}

/// The subprotocol in a query.
fn queried(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix(SUBPROTOCOL_PARAMETER)?.strip_prefix('='))
}

/// The members of a comma-separated header.
fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn lists(headers: &HeaderMap, name: HeaderName, member: &str) -> bool {
    values(headers, name).any(|value| value.eq_ignore_ascii_case(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_key_matches_rfc_6455() {
        // RFC 6455, section 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn query_selects_the_subprotocol() {
        assert_eq!(queried("token=a.b.c&subprotocol=sightline.v1"), Some("sightline.v1"));
        assert_eq!(queried("subprotocols=sightline.v1&xsubprotocol=sightline.v1"), None);
        assert_eq!(queried("subprotocol"), None);
    }

    #[test]
    fn header_lists_parse_in_any_form() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.append(CONNECTION, HeaderValue::from_static("x"));
        assert!(lists(&headers, CONNECTION, "upgrade") && lists(&headers, CONNECTION, "x"));
        assert!(!lists(&headers, CONNECTION, "up"));
    }
}
