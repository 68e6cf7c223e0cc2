//! The answers of one HTTP/2 connection that are not finished.
//!
//! HTTP/1.1 shows all of this on the connection itself. Over HTTP/2 an answer can wait for its client while the connection flows.
//! Each stream has a window of its own, which the client may never open (RFC 9113, section 5.2). And a client may ask and cancel
//! without a pause ("rapid reset", CVE-2023-44487).
//!
//! | the client | the connection |
//! | --- | --- |
//! | has asked for nothing for the idle time | is closed, once the client was told (GOAWAY) |
//! | cancels more than [`CANCELS`] requests, and [`CANCELS_PER_SECOND`] after that | is closed |
//! | takes an answer slower than [`RATE`], with [`GRACE`] on top | stays; this stream is reset |
//!
//! A page has one connection for all its tiles, so one answer that it does not read must not cost it the others. The reset frees
//! everything that the answer holds. A client that takes nothing on the whole connection fails in
//! [`write_rate`](super::write_rate).

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::limits::rate_limiter::RateLimiter;

/// Waiting time of an answer while the client takes nothing of it.
const GRACE: Duration = Duration::from_secs(60);
/// Bytes that a client takes per second of waiting: nine of them share a link of 300 kbit/s, on which nine streams cannot play.
const RATE: u64 = 4 * 1024;
/// Requests that a client may cancel at once. A page with nine tiles that is left cancels about thirty.
const CANCELS: f64 = 200.0;
const CANCELS_PER_SECOND: f64 = 20.0;
/// Interval of the checks.
const CHECK: Duration = Duration::from_secs(1);
/// The piece of a body that waits outside of hyper's buffer. Smaller pieces would be more frames.
const PIECE: usize = 16 * 1024;
/// The last piece, which hyper's buffer may hold when the body has ended. A copy: it does not keep a segment in memory.
const LAST: usize = 1024;

tokio::task_local! {
    /// Ends the task of the stream that it belongs to.
    static RESET: CancellationToken;
}

/// Runs the streams of a connection, each in a task that [`ResponseTracker`] can end. The end of its task resets a stream.
#[derive(Debug, Clone)]
pub(super) struct StreamExecutor;

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let reset = CancellationToken::new();
        let stream = RESET.scope(reset.clone(), stream);
        tokio::spawn(reset.run_until_cancelled_owned(stream));
    }
}

/// Why a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionClose {
    /// Nothing is asked for.
    Idle,
    /// Too many requests were cancelled.
    Cancels,
}

/// See the [module](self). Clones share the state.
#[derive(Clone)]
pub(super) struct ResponseTracker {
    state: Arc<Mutex<State>>,
    /// Too many requests were cancelled.
    flooded: CancellationToken,
}

struct State {
    open: HashMap<u64, Progress>,
    next: u64,
    /// When the last answer ended.
    idle_since: Instant,
    begun: Instant,
    cancels: RateLimiter,
}

/// How a client takes one answer.
#[derive(Debug, Default)]
struct Progress {
    taken: u64,
    /// Time that its pieces have waited for the client, without the current wait.
    waited: Duration,
    waits_since: Option<Instant>,
    /// Resets the stream.
    reset: Option<CancellationToken>,
}

impl Progress {
    fn is_slow(&self, now: Instant) -> bool {
        let waited = self.waited + self.waits_since.map_or(Duration::ZERO, |since| now - since);
        waited > GRACE + Duration::from_secs(self.taken / RATE)
    }
}

impl ResponseTracker {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let cancels = RateLimiter::new(CANCELS_PER_SECOND, CANCELS);
        let state = State { open: HashMap::new(), next: 0, idle_since: now, begun: now, cancels };
        Self { state: Arc::new(Mutex::new(state)), flooded: CancellationToken::new() }
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn open(&self) -> OpenResponse {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.open.insert(number, Progress::default());
        OpenResponse { tracker: self.clone(), number, complete: false }
    }

    /// Resets slow answers until the connection is to end. `idle` is the time without a request.
    pub(super) async fn end_reason(&self, idle: Duration) -> ConnectionClose {
        loop {
            tokio::select! {
                () = self.flooded.cancelled() => return ConnectionClose::Cancels,
                () = sleep(CHECK.min(idle)) => {}
            }
            let (state, now) = (self.lock(), Instant::now());
            if state.open.is_empty() && now - state.idle_since >= idle {
                return ConnectionClose::Idle;
            }
            let slow = state.open.values().filter(|progress| progress.is_slow(now));
            for reset in slow.filter_map(|progress| progress.reset.as_ref()) {
                debug!("the client takes an answer too slowly; its stream is reset");
                reset.cancel();
            }
        }
    }

    // The state is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request and its answer. Dropping it before [`Self::complete`] means that the client has cancelled the request.
pub(super) struct OpenResponse {
    tracker: ResponseTracker,
    number: u64,
    complete: bool,
}

impl OpenResponse {
    /// The answer's body, which reports how the client takes it. Called in the task of the stream ([`StreamExecutor`]).
    pub(super) fn body(mut self, body: Body) -> Body {
        self.with(|progress| progress.reset = RESET.try_with(Clone::clone).ok());
        if body.is_end_stream() {
            self.complete();
        }
        Body::new(PacedBody { body, rest: Bytes::new(), split: false, answer: self })
    }

    /// The answer has been handed over.
    fn complete(&mut self) {
        self.complete = true;
    }

    /// A piece of `bytes` waits for the client from now on.
    fn offered(&self, bytes: usize) {
        self.with(|progress| {
            progress.taken += bytes as u64;
            progress.waits_since = Some(Instant::now());
        });
    }

    /// The client has taken the last piece, as far as its windows are concerned.
    fn taken(&self) {
        self.with(|progress| {
            if let Some(since) = progress.waits_since.take() {
                progress.waited += since.elapsed();
            }
        });
    }

    fn with(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.tracker.lock().open.get_mut(&self.number) {
            change(progress);
        }
    }
}

impl Drop for OpenResponse {
    fn drop(&mut self) {
        let mut state = self.tracker.lock();
        let now = Instant::now();
        state.open.remove(&self.number);
        state.idle_since = now;
        let since = now - state.begun;
        if !self.complete && !state.cancels.allows(1.0, since) {
            self.tracker.flooded.cancel();
        }
    }
}

/// A body in small pieces. hyper asks for the next piece when the client's windows have taken the one before.
struct PacedBody {
    body: Body,
    /// The part of the newest frame that was not handed over.
    rest: Bytes,
    /// Whether anything was handed over.
    split: bool,
    answer: OpenResponse,
}

impl PacedBody {
    fn next_piece(&mut self) -> Frame<Bytes> {
        let (length, small) = (self.rest.len(), self.rest.len() <= LAST);
        let piece = match length {
            _ if small => Bytes::copy_from_slice(&std::mem::take(&mut self.rest)),
            ..=PIECE => self.rest.split_to(length - LAST),
            _ => self.rest.split_to(PIECE),
        };
        self.answer.offered(piece.len());
        Frame::data(piece)
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        this.answer.taken();
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.next_piece())));
        }
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) if !data.is_empty() => {
                (this.rest, this.split) = (data, true);
                Poll::Ready(Some(Ok(this.next_piece())))
            }
            Some(Ok(Ok(empty))) => Poll::Ready(Some(Ok(Frame::data(empty)))),
            Some(Ok(Err(trailers))) => Poll::Ready(Some(Ok(trailers))),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                this.answer.complete();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // hyper drops a body that says so with its last piece, before the client has room for that.
        !self.split && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.split { SizeHint::default() } else { self.body.size_hint() }
    }
}
