//! Limits of request bodies: one layer around every route.
//!
//! | limit | beyond it |
//! | --- | --- |
//! | 4 KiB for a form or another small body; WHEP has a limit of its own | 413 |
//! | [`GRACE`], and a second for each [`RATE`] bytes; at most [`LONGEST`] | 408, and the connection is closed |

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONNECTION};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// Maximum size of a body that an extractor reads as a whole, in bytes. The login form has a few hundred.
pub(super) const FORM_MAX: usize = 4 * 1024;
/// Time for the first bytes. A round trip by satellite takes less.
const GRACE: Duration = Duration::from_secs(5);
/// Minimum rate after that, in bytes per second: slower than any link that carries video.
const RATE: u64 = 8 * 1024;
/// Time limit of the longest body.
const LONGEST: Duration = Duration::from_secs(15);

/// Limits the time of the request's body, for every handler inside.
pub(super) async fn limit(request: Request, next: Next) -> Response {
    let late = Arc::new(AtomicBool::new(false));
    let timed = late.clone();
    let response = next.run(request.map(|body| Body::new(Timed::new(body, timed)))).await;
    if !late.load(Ordering::Relaxed) {
        return response;
    }
    // The handler answers a body that broke off.
    let headers = [(CONNECTION, "close"), (CACHE_CONTROL, "no-store")];
    (StatusCode::REQUEST_TIMEOUT, headers, "the request's body took too long\n").into_response()
}

/// A body that fails when it is late.
struct Timed {
    body: Body,
    begun: Instant,
    received: u64,
    deadline: Pin<Box<Sleep>>,
    late: Arc<AtomicBool>,
}

impl Timed {
    fn new(body: Body, late: Arc<AtomicBool>) -> Self {
        let begun = Instant::now();
        Self { body, begun, received: 0, deadline: Box::pin(sleep_until(begun + GRACE)), late }
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = self.get_mut();
        // The deadline comes first: a body that always has a byte ready must not outlast it.
        if this.deadline.as_mut().poll(cx).is_ready() {
            this.late.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else { return Poll::Pending };
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            this.received += data.len() as u64;
            let earned = Duration::from_millis(this.received * 1000 / RATE);
            this.deadline.as_mut().reset(this.begun + (GRACE + earned).min(LONGEST));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;

    /// Reads a body of `count` pieces of `size` bytes, one each `interval`. Returns the time that it took, and whether it was
    /// complete.
    async fn read(count: usize, size: usize, interval: Duration) -> (Duration, bool) {
        let pieces = stream::unfold(0, move |n| async move {
            sleep(interval).await;
            (n < count).then(|| (Ok::<_, axum::BoxError>(Bytes::from(vec![b'x'; size])), n + 1))
        });
        let begun = Instant::now();
        let late = Arc::new(AtomicBool::new(false));
        let read = Timed::new(Body::from_stream(pieces), late.clone()).collect().await;
        assert_eq!(read.is_err(), late.load(Ordering::Relaxed));
        (begun.elapsed(), read.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn slow_body_ends_at_its_deadline() {
        let (took, complete) = read(1, 1, Duration::from_secs(3600)).await;
        assert_eq!((took, complete), (GRACE, false), "silent");
        let (took, complete) = read(usize::MAX, 1, Duration::from_millis(900)).await;
        assert!(!complete && took < GRACE + Duration::from_secs(1), "a byte a second: {took:?}");
        let (took, complete) = read(usize::MAX, 1024, Duration::from_millis(1)).await;
        assert_eq!((took, complete), (LONGEST, false), "endless");
    }

    #[tokio::test(start_paused = true)]
    async fn offer_over_a_slow_link_arrives() {
        let (_, complete) = read(64, 1024, Duration::from_millis(120)).await;
        assert!(complete);
    }
}
