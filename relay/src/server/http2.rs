//! Serves HTTP/2 on a connection that agreed on it in its TLS handshake (ALPN `h2`).
//!
//! Browsers open six HTTP/1.1 connections per host, one for each request that is in flight; nine HLS tiles have eighteen. Over
//! HTTP/2 all share one connection.
//!
//! | attack | limit |
//! | --- | --- |
//! | many streams | [`STREAMS`] at a time |
//! | rapid reset (CVE-2023-44487), answers that are never taken, idle connections | [`ResponseTracker`] |
//! | streams that the relay has to reset (CVE-2025-8671) | [`ERRORS`] |
//! | SETTINGS, PING, CONTINUATION, empty frames (CVE-2019-9512, -9515, -9518; CVE-2024-27316) | [`ReadRate`], and the library's own |
//! | long heads | `limits.header_bytes`, after decompression |
//! | bodies | 64 KiB each and 128 KiB in all are buffered; then as over HTTP/1.1 |
//!
//! A WebSocket has an HTTP/1.1 connection of its own: the relay does not announce RFC 8441, and browsers then open one. Frames of
//! several tiles in one TCP connection would wait for each other's lost packets, and the send window of a viewer would measure its
//! neighbours. Browsers permit about 200 WebSockets, so that six are no limit for them.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::debug;

use super::connection_context::{ConnectionContext, answer};
use super::read_rate::ReadRate;
use super::response_tracker::{ConnectionClose, ResponseTracker, StreamExecutor};
use super::write_rate::{Upgraded, WriteRate};
use crate::config::Limits;

/// Maximum concurrent requests, the least that RFC 9113, section 6.5.2, recommends. Fifty tiles have as many.
const STREAMS: u32 = 100;
/// Requests that a client has cancelled before the relay has seen them. hyper does not know them.
const RESETS: usize = 50;
/// Streams that the relay itself had to reset, in the life of a connection.
const ERRORS: usize = 100;
/// Buffer for the bodies of one request, which a WHEP offer fits in, and of all.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// Buffer for an answer. Sixteen pieces more than TCP takes at once would only make later requests wait.
const SEND_BUFFER: usize = 64 * 1024;
/// A peer that is gone while an event stream is silent is found by pings. A phone may lose its network for most of that time.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves the connection until it ends.
pub(super) async fn serve(
    serving: ConnectionContext,
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let ConnectionContext { app, peer, limits, shutdown } = serving;
    let tracker = ResponseTracker::new();
    let counted = tracker.clone();
    let service = service_fn(move |request| {
        let (open, answer) = (counted.open(), answer(app.clone(), peer, request));
        async move { Ok::<_, Infallible>(answer.await?.map(|body| open.body(body))) }
    });
    let connection = TokioIo::new(ReadRate::new(WriteRate::new(connection, Upgraded::default())));
    let mut connection = pin!(builder(&limits).serve_connection(connection, service));
    let end = tokio::select! {
        served = connection.as_mut() => return log(served),
        reason = tracker.end_reason(limits.header) => Some(reason),
        () = shutdown.cancelled() => None,
    };
    match end {
        Some(ConnectionClose::Idle) => {
            connection.as_mut().graceful_shutdown();
            // A request that was on its way has this time, too.
            if let Ok(served) = timeout(limits.header, connection).await {
                log(served);
            }
        }
        Some(reason) => debug!(?reason, "an HTTP/2 connection is closed"),
        None => {
            connection.as_mut().graceful_shutdown();
            log(connection.await);
        }
    }
}

fn log(served: hyper::Result<()>) {
    if let Err(error) = served {
        debug!(%error, "a connection ended");
    }
}

fn builder(limits: &Limits) -> http2::Builder<StreamExecutor> {
    let mut http = http2::Builder::new(StreamExecutor);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERRORS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}
