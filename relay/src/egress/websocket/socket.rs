//! A viewer's socket: messages in both directions, within limits of size, rate and time.
//!
//! No queue exists, only the message that is being written. A viewer that sends too much is a fault of the session
//! ([`ViewerFault`]); one that takes nothing within [`WRITE_TIMEOUT`] ends it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sightline_media::fmp4::media_times::Retiming;
use sightline_media::fmp4::websocket_frame::WebSocketFrame;
use sightline_protocol::close;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_websockets::{CloseCode, Config, Limits, Message, ServerBuilder, WebSocketStream};
use tracing::debug;

use super::metered::Metered;
use super::pending_frame::PendingFrame;
use super::session::ViewerFault;
use super::{CloseReason, SessionEnd};
use crate::limits::rate_limiter::RateLimiter;

/// Maximum size of a viewer's message in Sightline's own dialects, ten times the longest list of codecs.
pub(super) const MESSAGE_MAX: usize = 16 * 1024;
/// Messages at once, in seconds of their rate: a link delivers everything at once after a stall.
const BURST_SECONDS: f64 = 2.0;
/// Time limit to write one message. The kernel's buffers come first, so the viewer has read nothing for even longer.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for a viewer to answer a close.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// Larger than any fragment, so that each message is one WebSocket frame.
const FRAME_MAX: usize = sightline_media::fmp4::demuxer::SEGMENT_BYTES_MAX;
/// Ends the session, so that the next one starts at 0 again. Happens after 13 hours with 32-bit decode times, which neither
/// FFmpeg nor the relay writes.
const RETIME_FAILED: &str = "a decode time on the viewer's timeline does not fit the fragment";

/// A viewer's socket with limits on message size, message rate and write time.
pub(in crate::egress) struct Socket {
    inner: WebSocketStream<Metered<TokioIo<Upgraded>>>,
    /// The fragment that is being written without the library. Nothing else may be sent before it.
    pending: PendingFrame,
    /// The close code of a refusal.
    pub(super) refused: Option<u16>,
    /// Binary messages sent.
    pub(super) sent: u64,
    /// Bytes of these messages.
    pub(super) bytes: u64,
    messages_per_second: usize,
    rate_limiter: RateLimiter,
    pub(super) began: Instant,
}

impl Socket {
    /// A socket that takes messages of at most `message_max` bytes.
    pub(super) fn new(upgraded: Upgraded, messages_per_second: usize, message_max: usize) -> Self {
        let inner = websocket_stream(Metered::new(TokioIo::new(upgraded)), message_max);
        let rate = messages_per_second as f64;
        let rate_limiter = RateLimiter::new(rate, rate * BURST_SECONDS);
        let (pending, began) = (PendingFrame::default(), Instant::now());
        Self { inner, pending, refused: None, sent: 0, bytes: 0, messages_per_second, rate_limiter, began }
    }

    pub(in crate::egress) async fn send_init(&mut self, bytes: Bytes) -> Result<(), CloseReason> {
        self.count(bytes.len());
        self.send(Message::binary(bytes)).await
    }

    pub(super) async fn send_fragment(&mut self, fragment: &WebSocketFrame) -> Result<(), CloseReason> {
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
    pub(in crate::egress) async fn send_retimed(
        &mut self,
        fragment: &WebSocketFrame,
        retiming: Retiming,
    ) -> Result<(), CloseReason> {
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
    pub(super) async fn finish(&mut self) -> Result<(), tokio_websockets::Error> {
        let connection = self.inner.get_mut();
        self.pending.write_to(connection).await?;
        // A TLS stream buffers what a full socket did not take.
        Ok(connection.flush().await?)
    }

    pub(in crate::egress) async fn send_text(&mut self, text: String) -> Result<(), CloseReason> {
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), CloseReason> {
        with_write_timeout(self.inner.send(message)).await
    }

    /// Sends a text although the library has queued its close, after which it takes nothing.
    pub(super) async fn send_before_close(&mut self, text: &str) -> Result<(), CloseReason> {
        self.pending.set_shared(text_frame(text));
        with_write_timeout(self.finish()).await
    }

    /// The next text or binary message. Cancel-safe, except for a close or invalid bytes, which end the session.
    pub(in crate::egress) async fn receive(&mut self) -> Result<Message, SessionEnd> {
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
    pub(super) async fn close(&mut self, code: u16, reason: &str) -> CloseReason {
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
pub(super) fn websocket_stream<T: AsyncRead + AsyncWrite + Unpin>(
    connection: T,
    message_max: usize,
) -> WebSocketStream<T> {
    ServerBuilder::new()
        .limits(Limits::default().max_payload_len(Some(message_max)))
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
pub(super) async fn with_write_timeout(
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
