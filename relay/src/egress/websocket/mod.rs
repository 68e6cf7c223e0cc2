//! `GET /ws/mse/{stream}`, where the name may contain slashes: fragments over WebSocket (RFC 6455), in two dialects.
//!
//! | subprotocol, in the header or the query | dialect | flow control |
//! | --- | --- | --- |
//! | none | [`plain`]: a line of text, then media | the socket's back-pressure |
//! | `sightline.v1` | [`v1`]: JSON in both directions, media in between; policy in [`session`] | acknowledgements, end to end |
//!
//! A viewer costs a cursor and a socket. One write sends a fragment from bytes that all viewers share, including its WebSocket
//! header ([`WebSocketFrame`]). For a plain viewer, a head with the viewer's media times replaces the first bytes
//! ([`PendingFrame`]). No queue exists per viewer, only the message being written. A viewer that does not take it within
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
mod v1;
mod variant_selector;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sightline_media::fmp4::media_times::Retiming;
use sightline_media::fmp4::websocket_frame::WebSocketFrame;
use sightline_protocol::{SUBPROTOCOL, close};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tokio_websockets::{CloseCode, Config, Limits, Message, ServerBuilder, WebSocketStream};
use tracing::{debug, info};

use crate::access::{Expiry, Unauthorized};
use crate::egress::address::Requested;
use crate::hub::Hub;
use crate::limits::rate_limiter::RateLimiter;
use crate::limits::viewers::ViewerLimiter;
use crate::net::foreign::Foreign;
use crate::net::origin;
use crate::net::rejections::Rejections;
use handshake::Handshake;
use metered::Metered;
use pending_frame::PendingFrame;
use session::ViewerFault;

/// Maximum size of a viewer's message, ten times the longest list of codecs.
const MESSAGE_MAX: usize = 16 * 1024;
/// Messages at once, in seconds of their rate: a link delivers everything at once after a stall.
const BURST_SECONDS: f64 = 2.0;
/// Time limit to write one message. The kernel's buffers come first, so the viewer has read nothing for even longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for a viewer to answer a close.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// Larger than any fragment, so that each message is one WebSocket frame.
const FRAME_MAX: usize = sightline_media::fmp4::demuxer::SEGMENT_MAX;
/// Close codes that the client causes. A source that is unavailable is none of them.
const REJECTIONS: [u16; 4] = [close::BAD_REQUEST, close::FORBIDDEN, close::UNKNOWN_STREAM, close::TOO_MANY];
/// Ends the session when its credential does.
const EXPIRED: &str =
    "the access token or the sign-in has expired or was revoked: ask for a new token, or sign in again";
/// Ends the session, so that the next one starts at 0 again. Happens after 13 hours with 32-bit decode times, which neither
/// FFmpeg nor the relay writes.
const RETIME_FAILED: &str = "a decode time on the viewer's timeline does not fit the fragment";

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
    let foreign = handshake.foreign_origin(&context.allowed_origins);
    let running = context.sessions.token();
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
                return Err(ViewerFault::new(close::FORBIDDEN, why).into());
            }
            let name = address.as_ref().map_err(ViewerFault::bad_request)?.stream();
            let Some(stream) = context.hub.stream(name) else {
                let message =
                    format!("there is no stream named {name}; the relay's configuration names those there are");
                return Err(ViewerFault::new(close::UNKNOWN_STREAM, message).into());
            };
            let stream = stream.for_client(client);
            let acquired = context.viewers.acquire(name, client);
            let _permit = acquired.map_err(|full| ViewerFault::new(close::TOO_MANY, full))?;
            if v1 { v1::run(&mut socket, &stream).await } else { plain::run(&mut socket, &stream).await }
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
            debug!(code, "viewer refused: {}", Foreign(&ended));
            return;
        }
        let seconds = socket.began.elapsed().as_secs_f64();
        // The log quotes and escapes the name.
        let stream = address.as_ref().map_or("", |address| address.stream().as_str());
        info!(stream, v1, seconds, messages = socket.sent, bytes = socket.bytes, "viewer ended: {}", Foreign(&ended));
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

/// A viewer's socket with limits on message size, message rate and write time.
struct Socket {
    inner: WebSocketStream<Metered<TokioIo<Upgraded>>>,
    /// The fragment that is being written without the library. Nothing else may be sent before it.
    pending: PendingFrame,
    /// The close code of a refusal.
    refused: Option<u16>,
    /// Binary messages sent.
    sent: u64,
    /// Bytes of these messages.
    bytes: u64,
    messages_per_second: usize,
    rate_limiter: RateLimiter,
    began: Instant,
}

impl Socket {
    fn new(upgraded: Upgraded, messages_per_second: usize) -> Self {
        let inner = websocket_stream(Metered::new(TokioIo::new(upgraded)));
        let rate = messages_per_second as f64;
        let rate_limiter = RateLimiter::new(rate, rate * BURST_SECONDS);
        let (pending, began) = (PendingFrame::default(), Instant::now());
        Self { inner, pending, refused: None, sent: 0, bytes: 0, messages_per_second, rate_limiter, began }
    }

    async fn send_init(&mut self, bytes: Bytes) -> Result<(), CloseReason> {
        self.count(bytes.len());
        self.send(Message::binary(bytes)).await
    }

    async fn send_fragment(&mut self, fragment: &WebSocketFrame) -> Result<(), CloseReason> {
        self.count(fragment.len());
        with_write_timeout(async {
            // The library may hold an unsent pong.
            self.inner.flush().await?;
            self.pending.set_shared(fragment.frame().clone());
            self.finish().await
        })
        .await
    }

    /// Sends a fragment with the media times of `retiming`.
    async fn send_retimed(&mut self, fragment: &WebSocketFrame, retiming: Retiming) -> Result<(), CloseReason> {
        self.count(fragment.len());
        with_write_timeout(async {
            self.inner.flush().await?;
            let retimed = self.pending.set_with_head(|head| fragment.retimed(retiming, head));
            retimed.ok_or_else(|| std::io::Error::other(RETIME_FAILED))?;
            self.finish().await
        })
        .await
    }

    fn count(&mut self, bytes: usize) {
        self.sent += 1;
        self.bytes += bytes as u64;
    }

    /// Writes the rest of the pending fragment. Cancel-safe.
    async fn finish(&mut self) -> Result<(), tokio_websockets::Error> {
        let connection = self.inner.get_mut();
        self.pending.write_to(connection).await?;
        // A TLS stream buffers what a full socket did not take.
        Ok(connection.flush().await?)
    }

    async fn send_text(&mut self, text: String) -> Result<(), CloseReason> {
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), CloseReason> {
        with_write_timeout(self.inner.send(message)).await
    }

    /// Sends a text although the library has queued its close, after which it takes nothing.
    async fn send_before_close(&mut self, text: &str) -> Result<(), CloseReason> {
        self.pending.set_shared(text_frame(text));
        with_write_timeout(self.finish()).await
    }

    /// The next text or binary message. Cancel-safe, except for a close or invalid bytes, which end the session.
    async fn receive(&mut self) -> Result<Message, SessionEnd> {
        loop {
            // The library queues a pong for each ping. Flushing before each read bounds that queue.
            self.inner.flush().await.map_err(|error| ended_by(&error))?;
            let message = self.inner.next().await;
            if !self.rate_limiter.allows(1.0, self.began.elapsed()) {
                let allowed = self.messages_per_second;
                let reason = format!("more messages a second than limits.messages_per_second allows ({allowed})");
                return Err(ViewerFault::new(close::TOO_MANY, reason).into());
            }
            match message {
                None => return Err(CloseReason::Left.into()),
                Some(Err(tokio_websockets::Error::PayloadTooLong { len, max_len })) => {
                    let reason = format!("a message of {len} bytes, where {max_len} are allowed");
                    return Err(ViewerFault::new(close::TOO_BIG, reason).into());
                }
                Some(Err(error)) => {
                    self.drain().await;
                    return Err(ended_by(&error).into());
                }
                Some(Ok(message)) if message.is_close() => {
                    self.drain().await;
                    return Err(CloseReason::Left.into());
                }
                Some(Ok(message)) if message.is_ping() || message.is_pong() => {}
                Some(Ok(message)) => return Ok(message),
            }
        }
    }

    /// Closes the socket with `code` and returns the outcome.
    async fn close(&mut self, code: u16, reason: &str) -> CloseReason {
        // A close frame has room for 123 bytes of reason (RFC 6455, section 5.5).
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let code = CloseCode::try_from(code).unwrap_or(CloseCode::NORMAL_CLOSURE);
        // An error means that the library or the peer has closed already.
        let close = async {
            // Shutdown may have cancelled the write of a fragment.
            self.finish().await?;
            self.inner.send(Message::close(Some(code), &reason[..end])).await
        };
        if timeout(SHUTDOWN_GRACE, close).await.is_err() {
            debug!("the viewer did not take the close");
        }
        self.drain().await;
        CloseReason::Closed(reason.to_owned())
    }

    /// Flushes the answer to a close (RFC 6455, section 5.5.1), then reads and discards for a moment. Closing a connection with
    /// unread bytes resets it, and the peer never sees the close.
    async fn drain(&mut self) {
        let last_words = async {
            let _ = self.inner.flush().await;
            let connection = self.inner.get_mut();
            let _ = connection.shutdown().await;
            let mut unread = [0; 4096];
            while connection.read(&mut unread).await.is_ok_and(|length| length > 0) {}
        };
        let _ = timeout(SHUTDOWN_GRACE, last_words).await;
    }
}

/// The server side of a WebSocket after its handshake.
fn websocket_stream<T: AsyncRead + AsyncWrite + Unpin>(connection: T) -> WebSocketStream<T> {
    ServerBuilder::new()
        .limits(Limits::default().max_payload_len(Some(MESSAGE_MAX)))
        .config(Config::default().frame_size(FRAME_MAX))
        .serve(connection)
}

/// A text message in one frame (RFC 6455, section 5.2).
fn text_frame(text: &str) -> Bytes {
    let head = match u8::try_from(text.len()) {
        Ok(length @ ..=125) => vec![0x81, length],
        _ => [&[0x81, 126][..], &u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes()].concat(),
    };
    [&head, text.as_bytes()].concat().into()
}

/// Awaits `sending` for at most [`WRITE_TIMEOUT`].
async fn with_write_timeout(
    sending: impl Future<Output = Result<(), tokio_websockets::Error>>,
) -> Result<(), CloseReason> {
    match timeout(WRITE_TIMEOUT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ended_by(&error)),
        Err(_) => Err(CloseReason::Stuck),
    }
}

fn ended_by(error: &tokio_websockets::Error) -> CloseReason {
    match error {
        tokio_websockets::Error::Protocol(error) => CloseReason::Closed(format!("not WebSocket: {error}")),
        tokio_websockets::Error::AlreadyClosed => CloseReason::Left,
        error => CloseReason::Broken(error.to_string()),
    }
}
