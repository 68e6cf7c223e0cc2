//! `GET /ws/mse/{stream}`: fragments over WebSocket (RFC 6455), in two dialects.
//!
//! | subprotocol | dialect | flow control |
//! | --- | --- | --- |
//! | none | [`plain`]: a line of text, then media | the socket's own back-pressure |
//! | `sightline.v1` | [`session`]: JSON both ways, media between | acknowledgements, end to end |
//!
//! A viewer costs a cursor and a socket. A fragment leaves in one write from the bytes that all viewers share, the frame's
//! header among them ([`Framed`]); nothing is queued for one viewer but the message being written, and a viewer that does not
//! take it within [`WRITE_TIMEOUT`] is closed.

mod flow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handshake;
mod ladder;
mod plain;
mod rate;
mod session;
#[cfg(test)]
mod simulation;
mod steering;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sightline_protocol::stream::StreamName;
use sightline_protocol::{SUBPROTOCOL, close};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_websockets::{CloseCode, Config, Limits, Message, ServerBuilder, WebSocketStream};
use tracing::{debug, info};

use crate::access::NotAdmitted;
use crate::egress::origin;
use crate::egress::viewers::Viewers;
use crate::fmp4::framed::Framed;
use crate::hub::Hub;
use handshake::Handshake;
use rate::Rate;

/// The largest message a viewer may send: the longest list of codecs is a tenth of it.
const MESSAGE_MAX: usize = 16 * 1024;
/// How long one message may take to leave. Behind it stand the kernel's buffers, so the viewer has read nothing for
/// longer than this.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a viewer gets to answer a close.
const FAREWELL: Duration = Duration::from_secs(1);
/// Larger than any fragment, so that a message is one frame.
const FRAME_MAX: usize = crate::fmp4::splitter::MAX_UNIT;

/// Why a viewer's session ended; for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Ended {
    #[error("the viewer left")]
    Left,
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("closed: {0}")]
    Closed(String),
    #[error("closed: it took nothing for {} s", WRITE_TIMEOUT.as_secs())]
    Stuck,
}

/// What both dialects need.
#[derive(Debug, Clone)]
pub struct Context {
    /// The streams.
    pub hub: Arc<Hub>,
    /// Origins beside the relay's own whose pages may connect; `*` for any.
    pub allowed_origins: Arc<[String]>,
    /// Who watches, and whether there is room.
    pub viewers: Viewers,
    /// Ends every session when the relay stops.
    pub shutdown: tokio_util::sync::CancellationToken,
}

/// The route's handler. A name that is unknown or none at all is answered inside the WebSocket, where a page can read
/// the reason; a browser shows a script nothing of a refused upgrade.
pub(crate) async fn handle(
    State(context): State<Context>,
    Path(name): Path<String>,
    stranger: Option<Extension<NotAdmitted>>,
    handshake: Handshake,
) -> Response {
    let v1 = handshake.offers(SUBPROTOCOL);
    let address = context.viewers.address(handshake.peer(), handshake.headers());
    let foreign = handshake.foreign_origin(&context.allowed_origins);
    handshake.accept(v1.then_some(SUBPROTOCOL), move |socket| async move {
        let mut socket = Socket::new(socket, context.viewers.limits().messages_per_second);
        // One of its own: to look at the one of all is to wait for its lock, at every wake-up of every viewer.
        let shutdown = context.shutdown.child_token();
        let session = async {
            if let Some(origin) = foreign {
                return refuse(&mut socket, v1, close::FORBIDDEN, &origin::refusal(&origin)).await;
            }
            if let Some(Extension(NotAdmitted(why))) = stranger {
                return refuse(&mut socket, v1, close::FORBIDDEN, &why.to_string()).await;
            }
            let name = match name.parse::<StreamName>() {
                Ok(name) => name,
                Err(error) => return refuse(&mut socket, v1, close::BAD_REQUEST, &error.to_string()).await,
            };
            let Some(stream) = context.hub.stream(&name) else {
                let message =
                    format!("there is no stream named {name}; the relay's configuration names those there are");
                return refuse(&mut socket, v1, close::UNKNOWN_STREAM, &message).await;
            };
            let _place = match context.viewers.admit(&name, address) {
                Ok(place) => place,
                Err(full) => return refuse(&mut socket, v1, close::TOO_MANY, &full.to_string()).await,
            };
            if v1 { session::run(&mut socket, &stream).await } else { plain::run(&mut socket, &stream).await }
        };
        let ended = tokio::select! {
            biased;
            ended = session => ended,
            () = shutdown.cancelled() => socket.close(close::GOING_AWAY, "the relay is stopping").await,
        };
        let seconds = socket.began.elapsed().as_secs_f64();
        info!(stream = name, v1, seconds, messages = socket.sent, bytes = socket.bytes, "viewer ended: {ended}");
    })
}

async fn refuse(socket: &mut Socket, v1: bool, code: u16, message: &str) -> Ended {
    let text = if v1 { session::error(code, message) } else { format!("error:{message}") };
    match socket.send_text(text).await {
        Ok(()) => socket.close(code, message).await,
        Err(ended) => ended,
    }
}

/// A viewer's socket: bounded in what it reads and in how long it writes.
struct Socket {
    inner: WebSocketStream<TokioIo<Upgraded>>,
    /// What is left of the fragment that is being written, past the library. Nothing else may be sent before it.
    unsent: Bytes,
    /// Binary messages sent.
    sent: u64,
    /// Their bytes.
    bytes: u64,
    messages_per_second: usize,
    rate: Rate,
    began: Instant,
}

impl Socket {
    fn new(upgraded: Upgraded, messages_per_second: usize) -> Self {
        let inner = served(TokioIo::new(upgraded));
        let rate = Rate::new(messages_per_second);
        Self { inner, unsent: Bytes::new(), sent: 0, bytes: 0, messages_per_second, rate, began: Instant::now() }
    }

    async fn send_init(&mut self, bytes: Bytes) -> Result<(), Ended> {
        self.count(bytes.len());
        self.send(Message::binary(bytes)).await
    }

    async fn send_fragment(&mut self, fragment: &Framed) -> Result<(), Ended> {
        self.count(fragment.len());
        let frame = fragment.frame().clone();
        in_time(async {
            // An answer to a ping may be on its way.
            self.inner.flush().await?;
            self.unsent = frame;
            self.finish().await
        })
        .await
    }

    fn count(&mut self, bytes: usize) {
        self.sent += 1;
        self.bytes += bytes as u64;
    }

    /// Writes what is left of a fragment. Cancel-safe.
    async fn finish(&mut self) -> Result<(), tokio_websockets::Error> {
        let connection = self.inner.get_mut();
        while !self.unsent.is_empty() {
            match connection.write(&self.unsent).await? {
                0 => return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into()),
                written => self.unsent.advance(written),
            }
        }
        // TLS keeps what a full socket did not take.
        Ok(connection.flush().await?)
    }

    async fn send_text(&mut self, text: String) -> Result<(), Ended> {
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        in_time(self.inner.send(message)).await
    }

    /// The next text or binary message. Cancel-safe, but for a message that ends the session.
    async fn receive(&mut self) -> Result<Message, Ended> {
        loop {
            // The library queues an answer to each ping: none is read before the last has been answered, so that the
            // queue cannot grow.
            self.inner.flush().await.map_err(|error| ended_by(&error))?;
            let message = self.inner.next().await;
            if !self.rate.allows(self.began.elapsed()) {
                let allowed = self.messages_per_second;
                let reason = format!("more messages a second than limits.messages_per_second allows ({allowed})");
                return Err(self.close(close::TOO_MANY, &reason).await);
            }
            match message {
                None => return Err(Ended::Left),
                Some(Err(error @ tokio_websockets::Error::PayloadTooLong { .. })) => {
                    let reason = ended_by(&error).to_string();
                    return Err(self.close(close::TOO_BIG, &reason).await);
                }
                Some(Err(error)) => {
                    self.drain().await;
                    return Err(ended_by(&error));
                }
                Some(Ok(message)) if message.is_close() => {
                    self.drain().await;
                    return Err(Ended::Left);
                }
                Some(Ok(message)) if message.is_ping() || message.is_pong() => {}
                Some(Ok(message)) => return Ok(message),
            }
        }
    }

    /// Closes with `code`, and says that it did.
    async fn close(&mut self, code: u16, reason: &str) -> Ended {
        // A close frame has room for 123 bytes of reason (RFC 6455, section 5.5).
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let code = CloseCode::try_from(code).unwrap_or(CloseCode::NORMAL_CLOSURE);
        // An error is that the library, or the peer, has closed already.
        let close = async {
            // Of a fragment whose sending was given up when the relay stops.
            self.finish().await?;
            self.inner.send(Message::close(Some(code), &reason[..end])).await
        };
        if timeout(FAREWELL, close).await.is_err() {
            debug!("the viewer did not take the close");
        }
        self.drain().await;
        Ended::Closed(reason.to_owned())
    }

    /// Sends what is left to be said (the answer to a close, RFC 6455, section 5.5.1) and reads, for a moment, what the
    /// peer still sends: a connection that is closed with bytes unread is reset, and the peer then never sees the close.
    async fn drain(&mut self) {
        let last_words = async {
            let _ = self.inner.flush().await;
            let connection = self.inner.get_mut();
            let _ = connection.shutdown().await;
            let mut unread = [0; 4096];
            while connection.read(&mut unread).await.is_ok_and(|length| length > 0) {}
        };
        let _ = timeout(FAREWELL, last_words).await;
    }
}

/// The relay's side of a WebSocket whose handshake is done.
fn served<T: AsyncRead + AsyncWrite + Unpin>(connection: T) -> WebSocketStream<T> {
    ServerBuilder::new()
        .limits(Limits::default().max_payload_len(Some(MESSAGE_MAX)))
        .config(Config::default().frame_size(FRAME_MAX))
        .serve(connection)
}

/// A message leaves, if the viewer takes it in time.
async fn in_time(sending: impl Future<Output = Result<(), tokio_websockets::Error>>) -> Result<(), Ended> {
    match timeout(WRITE_TIMEOUT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ended_by(&error)),
        Err(_) => Err(Ended::Stuck),
    }
}

fn ended_by(error: &tokio_websockets::Error) -> Ended {
    match error {
        tokio_websockets::Error::PayloadTooLong { len, max_len } => {
            Ended::Closed(format!("a message of {len} bytes, where {max_len} are allowed"))
        }
        tokio_websockets::Error::Protocol(error) => Ended::Closed(format!("not WebSocket: {error}")),
        tokio_websockets::Error::AlreadyClosed => Ended::Left,
        error => Ended::Broken(error.to_string()),
    }
}
