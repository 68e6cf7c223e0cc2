//! A connection that reads its peer at a limited rate.
//!
//! HTTP/2 has frames that cost the sender nine bytes and need no answer, or one that is never read: SETTINGS, PING, CONTINUATION,
//! WINDOW_UPDATE, RST_STREAM, empty DATA (RFC 9113, section 10.5). A limit of bytes limits all of them. Beyond it the relay reads
//! later, so that the peer's frames wait in its own kernel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::rate_limiter::RateLimiter;
use crate::net::forward_writes::forward_writes;

/// Bytes per second. A browser with nine tiles sends a few kB a second: compressed request heads, and a WINDOW_UPDATE for each
/// 16 kB or more that it receives.
const RATE: f64 = 256.0 * 1024.0;
/// Bytes that are read at once: several of the largest bodies.
const BURST: f64 = 1024.0 * 1024.0;

/// See the [module](self).
pub(super) struct ReadRate<S> {
    stream: S,
    limiter: RateLimiter,
    began: Instant,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> ReadRate<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, limiter: RateLimiter::new(RATE, BURST), began: Instant::now(), pause: None }
    }

    fn took(&mut self, bytes: usize) {
        let ahead = self.limiter.takes(bytes as f64, self.began.elapsed());
        self.pause = (!ahead.is_zero()).then(|| Box::pin(sleep(ahead)));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadRate<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.took(buffer.filled().len() - before);
        read
    }
}

forward_writes!(ReadRate, stream);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Reads `count` bytes that all wait to be read, and returns the time that it took.
    async fn read(count: usize) -> Duration {
        let (mut peer, relay) = tokio::io::duplex(16 * 1024);
        tokio::spawn(async move { peer.write_all(&vec![0; count]).await });
        let (mut reader, begun) = (ReadRate::new(relay), Instant::now());
        reader.read_exact(&mut vec![0; count]).await.unwrap();
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn flood_is_read_at_the_rate_and_a_burst_at_once() {
        assert_eq!(read(1 << 20).await, Duration::ZERO);
        let took = read(11 << 20).await.as_secs_f64();
        assert!((39.0..41.0).contains(&took), "10 MiB at 256 KiB/s: {took} s");
    }
}
