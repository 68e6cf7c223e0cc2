//! What all dialects share: the session of a request, from its handshake to its close.
//!
//! Errors such as an unknown stream are sent inside the WebSocket, where the page can read them. A browser tells a script nothing
//! about a refused upgrade.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::response::Response;
use sightline_protocol::address::Address;
use sightline_protocol::close;
use sightline_protocol::stream::{InvalidQuality, Quality, StreamName};
use tracing::{debug, info};

use super::handshake::Handshake;
use super::session::ViewerFault;
use super::socket::Socket;
use super::{CloseReason, SessionEnd, WebSocketContext, with_write_timeout};
use crate::access::{Expiry, Subject, Unauthorized};
use crate::egress::no_stream;
use crate::hub::Stream;
use crate::limits::permit::Permit;
use crate::limits::viewers::ViewerLimiter;
use crate::net::escaped::Escaped;
use crate::net::origin;

/// Close codes that the client causes. A source that is unavailable is none of them.
const REJECTIONS: [u16; 4] = [close::BAD_REQUEST, close::FORBIDDEN, close::UNKNOWN_STREAM, close::TOO_MANY];
/// Ends the session when its credential does.
const EXPIRED: &str =
    "the access token or the sign-in has expired or was revoked: ask for a new token, or sign in again";

/// The messages of a session.
pub(in crate::egress) trait Dialect: Send + 'static {
    /// The dialect's name in the log.
    const NAME: &'static str;
    /// The subprotocol to confirm, if the client offers it.
    const SUBPROTOCOL: Option<&'static str> = None;
    /// Maximum size of a viewer's message in bytes.
    const MESSAGE_MAX: usize;

    /// The text that precedes the close of a refused viewer.
    fn error(fault: &ViewerFault) -> String;

    /// Runs the session of a viewer that may watch.
    fn run(
        &mut self,
        socket: &mut Socket,
        viewer: &AdmittedViewer,
    ) -> impl Future<Output = Result<Infallible, SessionEnd>> + Send;
}

/// A request to open a session.
pub(in crate::egress) struct SocketRequest {
    /// The stream's address, or why it is none.
    pub(in crate::egress) address: Result<Address, String>,
    /// Why the viewer may not watch.
    pub(in crate::egress) stranger: Option<Unauthorized>,
    /// The expiry of the viewer's credential.
    pub(in crate::egress) expiry: Option<Expiry>,
    pub(in crate::egress) handshake: Handshake,
}

/// A viewer that may watch.
pub(in crate::egress) struct AdmittedViewer {
    /// The stream, for the viewer's client.
    pub(in crate::egress) stream: Stream,
    pub(in crate::egress) name: StreamName,
    /// The quality that the address names.
    pub(in crate::egress) quality: Option<Quality>,
    /// The address by which the viewer counts.
    pub(in crate::egress) client: Option<IpAddr>,
    subject: Subject,
    viewers: ViewerLimiter,
}

impl AdmittedViewer {
    /// Takes the viewer's permit, and logs the viewer's subject.
    ///
    /// # Errors
    /// A limit of viewers is reached.
    pub(in crate::egress) fn permit(&self) -> Result<Permit, ViewerFault> {
        let acquired = self.viewers.acquire(&self.name, self.client);
        let permit = acquired.map_err(|full| ViewerFault::new(close::TOO_MANY, full.to_string()))?;
        self.subject.log_start(&self.name, "viewer started");
        Ok(permit)
    }
}

/// Opens the WebSocket and runs its session in `dialect`.
pub(in crate::egress) fn serve<D: Dialect>(
    context: WebSocketContext,
    request: SocketRequest,
    mut dialect: D,
) -> Response {
    let SocketRequest { address, stranger, expiry, handshake } = request;
    let client = context.viewers.client(handshake.peer(), handshake.headers());
    let foreign = handshake.foreign_origin(&context.allowed_origins);
    let quality = handshake.quality();
    let running = context.sessions.token();
    let subject = Subject::of(expiry.as_ref());
    handshake.accept(D::SUBPROTOCOL, move |socket| async move {
        let _running = running;
        let mut socket = Socket::new(socket, context.viewers.limits().messages_per_second, D::MESSAGE_MAX);
        // A child token per session: polling the shared token would take its lock at each wake-up of each viewer.
        let shutdown = context.shutdown.child_token();
        let session = async {
            let viewer = admit(&context, foreign, stranger, &address, (client, quality, &subject))?;
            dialect.run(&mut socket, &viewer).await
        };
        let ended = tokio::select! {
            biased;
            Err(ended) = session => match ended {
                SessionEnd::Closed(ended) => ended,
                SessionEnd::Fault(fault) => refuse::<D>(&mut socket, &fault).await,
            },
            () = shutdown.cancelled() => socket.close(close::GOING_AWAY, "the relay is stopping").await,
            () = Expiry::passed(expiry) => expire::<D>(&mut socket).await,
        };
        if let Some(code) = socket.refused.filter(|code| socket.sent == 0 && REJECTIONS.contains(code)) {
            context.rejections.count(code, client);
            debug!(code, "viewer refused: {}", Escaped(&ended));
            return;
        }
        let seconds = socket.began.elapsed().as_secs_f64();
        // The log quotes and escapes the name.
        let (stream, dialect) = (address.as_ref().map_or("", |address| address.stream().as_str()), D::NAME);
        let (messages, bytes, subject) = (socket.sent, socket.bytes, subject.field());
        info!(stream, dialect, subject, seconds, messages, bytes, "viewer ended: {}", Escaped(&ended));
    })
}

/// The viewer, unless it may not watch.
fn admit(
    context: &WebSocketContext,
    foreign: Option<String>,
    stranger: Option<Unauthorized>,
    address: &Result<Address, String>,
    (client, quality, subject): (Option<IpAddr>, Result<Option<Quality>, InvalidQuality>, &Subject),
) -> Result<AdmittedViewer, ViewerFault> {
    if let Some(origin) = foreign {
        return Err(ViewerFault::new(close::FORBIDDEN, origin::refusal(&origin)));
    }
    if let Some(Unauthorized(why)) = stranger {
        return Err(ViewerFault::new(close::FORBIDDEN, why.to_string()));
    }
    let name = address.as_ref().map_err(ViewerFault::bad_request)?.stream();
    let Some(stream) = context.hub.stream(name) else {
        return Err(ViewerFault::new(close::UNKNOWN_STREAM, no_stream(name)));
    };
    let quality = quality.map_err(|error| ViewerFault::bad_request(error.to_string()))?;
    let (stream, viewers) = (stream.for_client(client), context.viewers.clone());
    Ok(AdmittedViewer { stream, name: name.clone(), quality, client, subject: subject.clone(), viewers })
}

/// Ends the session of a credential that has expired or was revoked.
async fn expire<D: Dialect>(socket: &mut Socket) -> CloseReason {
    // Expiry may have cancelled the write of a fragment.
    if let Err(reason) = with_write_timeout(socket.finish()).await {
        return reason;
    }
    refuse::<D>(socket, &ViewerFault::new(close::FORBIDDEN, EXPIRED)).await
}

/// Sends the reason and closes.
async fn refuse<D: Dialect>(socket: &mut Socket, fault: &ViewerFault) -> CloseReason {
    let ViewerFault { code, message } = fault;
    socket.refused = Some(*code);
    let text = D::error(fault);
    let sent = match *code {
        close::TOO_BIG => socket.send_before_close(&text).await,
        _ => socket.send_text(text).await,
    };
    match sent {
        Ok(()) => socket.close(*code, message).await,
        Err(ended) => ended,
    }
}
