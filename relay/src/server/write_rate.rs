//! A connection that fails when its peer takes an HTTP answer too slowly.
//!
//! TCP_USER_TIMEOUT ends a connection if its peer acknowledges nothing ([`crate::net::tcp`]). A peer that takes a few bytes now and
//! then would hold an answer for hours, and with it a segment that has left the playlist. Time counts only while the answer waits
//! for the peer: an event stream without events, and an answer that fits the kernel's buffer, never wait. After an upgrade the
//! WebSocket has limits of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::debug;

/// Time over which the rate is measured. A phone that loses its network for half of it keeps its answer, and it is as long as
/// the kernel's limit for a peer that is gone (`TCP_USER_TIMEOUT`).
const WINDOW: Duration = Duration::from_secs(30);
/// The least that a peer takes in one window: 48 kbit/s, half of the rate of the slowest phone's link (100 kbit/s). It allows
/// such a link two downloads at a time.
const LEAST_BYTES: usize = 180_000;

/// Tells a [`WriteRate`] that its connection was upgraded.
#[derive(Debug, Clone, Default)]
pub(super) struct Upgraded(Arc<AtomicBool>);

impl Upgraded {
    /// The rate does not matter any more.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// See the [module](self).
pub(super) struct WriteRate<S> {
    stream: S,
    upgraded: Upgraded,
    /// Bytes that the peer took in this window.
    taken: usize,
    /// Waiting time in this window, without the current wait.
    waited: Duration,
    /// The start of the current wait.
    waits_since: Option<Instant>,
    /// Wakes the task at the end of the window.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteRate<S> {
    pub(super) fn new(stream: S, upgraded: Upgraded) -> Self {
        Self { stream, upgraded, taken: 0, waited: Duration::ZERO, waits_since: None, alarm: None }
    }

    /// The peer has to take bytes before more can be written. Fails at the end of a window in which it took too few.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.upgraded.0.load(Ordering::Relaxed) {
            self.alarm = None;
            return Poll::Pending;
        }
        let now = Instant::now();
        let mut since = *self.waits_since.get_or_insert(now);
        if self.waited + (now - since) >= WINDOW {
            if self.taken < LEAST_BYTES {
                debug!(bytes = self.taken, "the client takes its answer too slowly");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "it takes its answer too slowly")));
            }
            (self.taken, self.waited, self.waits_since, since) = (0, Duration::ZERO, Some(now), now);
        }
        let end = since + (WINDOW - self.waited);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        alarm.as_mut().reset(end);
        if alarm.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The peer took `bytes`, perhaps without a wait.
    fn took(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(bytes);
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.wait(cx),
            Poll::Ready(Ok(bytes)) => {
                self.took(bytes);
                Poll::Ready(Ok(bytes))
            }
            failed => failed,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteRate<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteRate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.wait(cx),
            flushed => {
                self.took(0);
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.wait(cx),
            shut => shut,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::sleep;

    use super::*;

    /// Larger than the connection's buffer.
    const SEGMENT: usize = 2 << 20;

    /// Writes a segment in writes of `size` bytes, each flushed, to a peer that reads `piece` bytes each `interval`.
    async fn write(size: usize, piece: usize, interval: Duration, upgraded: bool) -> io::Result<()> {
        let (mut peer, relay) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            let mut bytes = vec![0; piece];
            loop {
                sleep(interval).await;
                if peer.read_exact(&mut bytes).await.is_err() {
                    return;
                }
            }
        });
        let flag = Upgraded::default();
        if upgraded {
            flag.set();
        }
        let (mut writer, bytes) = (WriteRate::new(relay, flag), vec![0; size]);
        for _ in 0..SEGMENT / size {
            writer.write_all(&bytes).await?;
            writer.flush().await?;
        }
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn slow_reader_fails_after_a_window() {
        for (size, piece, seconds) in [(SEGMENT, 70_000, 14), (SEGMENT, 1, 1), (1024, 70_000, 14), (1024, 1, 1)] {
            let begun = Instant::now();
            let written = write(size, piece, Duration::from_secs(seconds), false).await;
            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut, "{piece} bytes in {seconds} s");
            // The first bytes pass without a wait and count for the first window.
            assert!(begun.elapsed() <= WINDOW * 2, "{piece} bytes in {seconds} s: {:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reader_that_stops_later_fails_within_two_windows() {
        let (mut peer, relay) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            peer.read_exact(&mut vec![0; SEGMENT / 2]).await.unwrap();
            sleep(Duration::from_secs(3600)).await;
        });
        let (mut writer, begun) = (WriteRate::new(relay, Upgraded::default()), Instant::now());
        let written = writer.write_all(&vec![0; SEGMENT]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() <= WINDOW * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn phone_of_100_kbit_per_second_gets_its_segment() {
        // Evenly, and in bursts.
        for (piece, milliseconds) in [(1250, 100), (12_500, 1000), (187_500, 15_000)] {
            for size in [SEGMENT, 1024] {
                let written = write(size, piece, Duration::from_millis(milliseconds), false).await;
                assert!(written.is_ok(), "{piece} bytes in {milliseconds} ms: {written:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_an_answer_does_not_count() {
        let (mut peer, relay) = tokio::io::duplex(64 * 1024);
        let mut writer = WriteRate::new(relay, Upgraded::default());
        let mut bytes = vec![0; 100 * 1024];
        for _ in 0..20 {
            let read = async {
                sleep(Duration::from_secs(1)).await;
                peer.read_exact(&mut bytes).await.map(drop)
            };
            tokio::try_join!(writer.write_all(&[0; 100 * 1024]), read).unwrap();
            sleep(Duration::from_secs(600)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn upgraded_connection_is_left_alone() {
        let slow = write(SEGMENT, 1024, Duration::from_secs(60), true);
        assert!(tokio::time::timeout(Duration::from_secs(600), slow).await.is_err(), "it still waits");
    }
}
