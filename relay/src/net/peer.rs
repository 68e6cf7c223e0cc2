//! Both ends of an accepted connection. Every request carries them as the extension `ConnectInfo<PeerInfo>`.

use std::net::IpAddr;

use axum::extract::ConnectInfo;
use axum::http::Extensions;

/// The ends of an HTTP connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerInfo {
    /// The relay's address that the connection was made to.
    pub(crate) local: Option<IpAddr>,
    /// The address of the peer: the client, or the last proxy before the relay.
    pub(crate) address: IpAddr,
    /// Whether the relay itself terminates TLS on it.
    pub(crate) encrypted: bool,
}

/// The address that a request's connection came from.
pub(crate) fn peer_address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<PeerInfo>>().map(|ConnectInfo(peer)| peer.address)
}

/// Whether a request came over TLS that the relay itself terminates. TLS of a proxy does not count.
pub(crate) fn is_encrypted(extensions: &Extensions) -> bool {
    extensions.get::<ConnectInfo<PeerInfo>>().is_some_and(|ConnectInfo(peer)| peer.encrypted)
}
