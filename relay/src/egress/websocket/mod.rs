//! `GET /ws/mse/{stream}`, where the name may contain slashes: fragments over WebSocket (RFC 6455), in two dialects.
//!
//! | subprotocol, in the header or the query | dialect | flow control |
//! | --- | --- | --- |
//! | none | [`plain`]: a line of text, then media | the socket's back-pressure |
//! | `sightline.v1` | [`v1`]: JSON in both directions, media in between; policy in [`session`] | acknowledgements, end to end |
//!
//! A viewer costs a cursor and a socket. One write sends a fragment from bytes that all viewers share, including its WebSocket
//! header ([`socket`]). For a plain viewer, a head with the viewer's media times replaces the first bytes
//! ([`pending_frame`]). No queue exists per viewer, only the message being written. A viewer that does not take it within
//! [`WRITE_TIMEOUT`] is closed.

mod abr_controller;
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
use sightline_protocol::{SUBPROTOCOL, close};
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::access::{Expiry, Subject, Unauthorized};
use crate::egress::address::Requested;
use crate::hub::Hub;
use crate::limits::viewers::ViewerLimiter;
use crate::net::escaped::Escaped;
use crate::net::origin;
use crate::net::rejections::Rejections;
use handshake::Handshake;
use session::ViewerFault;
use socket::{Socket, WRITE_TIMEOUT, with_write_timeout};

/// Close codes that the client causes. A source that is unavailable is none of them.
const REJECTIONS: [u16; 4] = [close::BAD_REQUEST, close::FORBIDDEN, close::UNKNOWN_STREAM, close::TOO_MANY];
/// Ends the session when its credential does.
const EXPIRED: &str =
    "the access token or the sign-in has expired or was revoked: ask for a new token, or sign in again";

/// Why a session ended, for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum CloseReason {
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
enum SessionEnd {
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

/// The state that both dialects need.
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

/// The route's handler. Errors such as an unknown stream are sent inside the WebSocket, where the page can read them. A browser
/// tells a script nothing about a refused upgrade.
pub(crate) async fn handle(
    State(context): State<WebSocketContext>,
    Requested(address): Requested,
    stranger: Option<Extension<Unauthorized>>,
    expiry: Option<Extension<Expiry>>,
    handshake: Handshake,
) -> Response {
    let v1 = handshake.selects(SUBPROTOCOL);
    let client = context.viewers.client(handshake.peer(), handshake.headers());
    let quality = handshake.quality();
    let foreign = handshake.foreign_origin(&context.allowed_origins);
    let running = context.sessions.token();
    let subject = Subject::of(expiry.as_deref());
    handshake.accept(SUBPROTOCOL, move |socket| async move {
        let _running = running;
        let mut socket = Socket::new(socket, context.viewers.limits().messages_per_second);
        // A child token per session: polling the shared token would take its lock at each wake-up of each viewer.
        let shutdown = context.shutdown.child_token();
        let session = async {
            if let Some(origin) = foreign {
                return Err(ViewerFault::new(close::FORBIDDEN, origin::refusal(&origin)).into());
            }
            if let Some(Extension(Unauthorized(why))) = stranger {
                return Err(ViewerFault::new(close::FORBIDDEN, why.to_string()).into());
            }
            let name = address.as_ref().map_err(|error| ViewerFault::bad_request(error.to_string()))?.stream();
            let Some(stream) = context.hub.stream(name) else {
                let message =
                    format!("there is no stream named {name}; the relay's configuration names those there are");
                return Err(ViewerFault::new(close::UNKNOWN_STREAM, message).into());
            };
            let quality = quality.map_err(|error| ViewerFault::bad_request(error.to_string()))?;
            let stream = stream.for_client(client);
            let acquired = context.viewers.acquire(name, client);
            let _permit = acquired.map_err(|full| ViewerFault::new(close::TOO_MANY, full.to_string()))?;
            subject.log_start(name, "viewer started");
            if v1 {
                v1::run(&mut socket, &stream, quality).await
            } else {
                plain::run(&mut socket, &stream, quality).await
            }
        };
        let ended = tokio::select! {
            biased;
            Err(ended) = session => match ended {
                SessionEnd::Closed(ended) => ended,
                SessionEnd::Fault(fault) => refuse(&mut socket, v1, &fault).await,
            },
            () = shutdown.cancelled() => socket.close(close::GOING_AWAY, "the relay is stopping").await,
            () = Expiry::passed(expiry.map(|Extension(expiry)| expiry)) => {
                expire(&mut socket, v1).await
            }
        };
        if let Some(code) = socket.refused.filter(|code| socket.sent == 0 && REJECTIONS.contains(code)) {
            context.rejections.count(code, client);
            debug!(code, "viewer refused: {}", Escaped(&ended));
            return;
        }
        let seconds = socket.began.elapsed().as_secs_f64();
        // The log quotes and escapes the name.
        let stream = address.as_ref().map_or("", |address| address.stream().as_str());
        let (messages, bytes, subject) = (socket.sent, socket.bytes, subject.field());
        info!(stream, v1, subject, seconds, messages, bytes, "viewer ended: {}", Escaped(&ended));
    })
}

/// Ends the session of a credential that has expired or was revoked.
async fn expire(socket: &mut Socket, v1: bool) -> CloseReason {
    // Expiry may have cancelled the write of a fragment.
    if let Err(reason) = with_write_timeout(socket.finish()).await {
        return reason;
    }
    refuse(socket, v1, &ViewerFault::new(close::FORBIDDEN, EXPIRED)).await
}

/// Sends the reason and closes.
async fn refuse(socket: &mut Socket, v1: bool, fault: &ViewerFault) -> CloseReason {
    let ViewerFault { code, message } = fault;
    socket.refused = Some(*code);
    let text = if v1 { v1::error(*code, message) } else { format!("error:{message}") };
    let sent = match *code {
        close::TOO_BIG => socket.send_before_close(&text).await,
        _ => socket.send_text(text).await,
    };
    match sent {
        Ok(()) => socket.close(*code, message).await,
        Err(ended) => ended,
    }
}
