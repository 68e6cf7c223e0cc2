//! Limits the bytes that a viewer sends, whatever frames they are in. Messages alone are no limit: a fragmented message has any
//! number of empty frames (RFC 6455, section 5.4), and it never ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::limits::rate_limiter::RateLimiter;
use crate::net::forward_writes::forward_writes;

/// Bytes per second, five times a busy viewer's. The smallest masked frame has six bytes.
const RATE: f64 = 256.0 * 1024.0;
/// Bytes at once.
const BURST: f64 = 1024.0 * 1024.0;
/// The error beyond it.
const EXCEEDED: &str = "more bytes a second than a viewer has to send";

/// See the [module](self).
pub(super) struct Metered<T> {
    inner: T,
    limiter: RateLimiter,
    began: Instant,
}

impl<T> Metered<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, limiter: RateLimiter::new(RATE, BURST), began: Instant::now() }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let (received, now) = ((buffer.filled().len() - before) as f64, self.began.elapsed());
        if !self.limiter.allows(received, now) {
            return Poll::Ready(Err(io::Error::other(EXCEEDED)));
        }
        read
    }
}

forward_writes!(Metered, inner);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::time::sleep;

    use super::*;

    /// Seconds for which a viewer can send `bytes_per_second`, up to 100.
    async fn lasts(bytes_per_second: usize) -> u64 {
        let mut metered = Metered::new(tokio::io::repeat(0));
        let mut piece = vec![0; bytes_per_second / 10];
        let began = Instant::now();
        for _ in 0..1000 {
            sleep(Duration::from_millis(100)).await;
            if metered.read_exact(&mut piece).await.is_err() {
                break;
            }
        }
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn viewer_that_sends_too_fast_is_refused() {
        assert_eq!(lasts(200_000).await, 100, "fast, and for ever");
        assert!((1..=2).contains(&lasts(1_000_000).await));
        assert_eq!(lasts(90_000_000).await, 0, "fifteen million empty frames a second");
    }
}
