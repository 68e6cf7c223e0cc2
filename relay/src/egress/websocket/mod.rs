//! `GET /ws/mse/{stream}`, where the name may contain slashes: fragments over WebSocket (RFC 6455), in two dialects.
//!
//! | subprotocol, in the header or the query | dialect | flow control |
//! | --- | --- | --- |
//! | none | [`plain`]: a line of text, then media | the socket's back-pressure |
//! | `sightline.v1` | [`v1`]: JSON in both directions, media in between; policy in [`session`] | acknowledgements, end to end |
//!
//! The API of go2rtc (`egress/go2rtc`) has a third dialect on an address of its own.
//!
//! A viewer costs a cursor and a socket. One write sends a fragment from bytes that all viewers share, including its WebSocket
//! header ([`socket`]). For a plain viewer, a head with the viewer's media times replaces the first bytes
//! ([`pending_frame`]). No queue exists per viewer, only the message being written. A viewer that does not take it within
//! [`WRITE_TIMEOUT`] is closed.

mod abr_controller;
mod dialect;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handshake;
mod metered;
mod pending_frame;
mod plain;
mod send_window;
mod session;
#[cfg(test)]
mod simulation;
mod socket;
mod v1;
mod variant_selector;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use sightline_protocol::SUBPROTOCOL;
use tokio_util::task::TaskTracker;

use crate::access::{Expiry, Unauthorized};
use crate::egress::address::Requested;
use crate::hub::Hub;
use crate::limits::viewers::ViewerLimiter;
use crate::net::rejections::Rejections;
use socket::{WRITE_TIMEOUT, with_write_timeout};

pub(super) use dialect::{AdmittedViewer, Dialect, SocketRequest, serve};
pub(super) use handshake::Handshake;
pub(super) use plain::{TOLERATED_LAG, TOLERATED_LAG_MAX, Timeline};
pub(super) use session::ViewerFault;
pub(super) use socket::Socket;

/// Why a session ended, for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CloseReason {
    #[error("the viewer left")]
    Left,
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("closed: {0}")]
    Closed(String),
    #[error("closed: the viewer read nothing for {} s", WRITE_TIMEOUT.as_secs())]
    Stuck,
}

/// Why a session stops.
#[derive(Debug)]
pub(super) enum SessionEnd {
    Closed(CloseReason),
    Fault(ViewerFault),
}

impl From<ViewerFault> for SessionEnd {
    fn from(fault: ViewerFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<CloseReason> for SessionEnd {
    fn from(ended: CloseReason) -> Self {
        Self::Closed(ended)
    }
}

/// The state that all dialects need.
#[derive(Debug, Clone)]
pub struct WebSocketContext {
    /// The streams.
    pub hub: Arc<Hub>,
    /// Origins of pages, besides the relay's own, that may connect; `*` for any.
    pub allowed_origins: Arc<[String]>,
    /// The limits of viewers.
    pub viewers: ViewerLimiter,
    /// Ends every session at shutdown.
    pub shutdown: tokio_util::sync::CancellationToken,
    /// The running sessions. The server does not wait for a connection after its upgrade.
    pub sessions: TaskTracker,
    /// Counts refused viewers.
    pub rejections: Rejections,
}

/// The route's handler.
pub(crate) async fn handle(
    State(context): State<WebSocketContext>,
    Requested(address): Requested,
    stranger: Option<Extension<Unauthorized>>,
    expiry: Option<Extension<Expiry>>,
    handshake: Handshake,
) -> Response {
    let v1 = handshake.selects(SUBPROTOCOL);
    let (stranger, expiry) = (stranger.map(|Extension(why)| why), expiry.map(|Extension(expiry)| expiry));
    let address = address.map_err(|error| error.to_string());
    let request = SocketRequest { address, stranger, expiry, handshake };
    if v1 { serve(context, request, v1::V1) } else { serve(context, request, plain::Plain) }
}
