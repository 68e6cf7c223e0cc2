//! The unwritten rest of a WebSocket frame: a head of this viewer's own, which may be empty, and bytes that all viewers share.
//!
//! Both leave in one vectored write. The head's buffer is reused: a hundred-odd bytes per plain viewer.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct PendingFrame {
    head: Vec<u8>,
    /// Bytes of `head` that have been written.
    written: usize,
    shared: Bytes,
}

impl PendingFrame {
    /// Sets a frame without a head.
    pub(super) fn set_shared(&mut self, frame: Bytes) {
        self.head.clear();
        (self.written, self.shared) = (0, frame);
    }

    /// Sets a frame. `write_head` writes the head into the given buffer and returns the shared rest, or `None` to set no frame.
    pub(super) fn set_with_head(&mut self, write_head: impl FnOnce(&mut Vec<u8>) -> Option<Bytes>) -> Option<()> {
        self.set_shared(Bytes::new());
        match write_head(&mut self.head) {
            Some(shared) => self.shared = shared,
            None => {
                self.head.clear();
                return None;
            }
        }
        Some(())
    }

    /// Writes the rest. Cancel-safe.
    pub(super) async fn write_to(&mut self, connection: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        loop {
            let written = match &self.head[self.written..] {
                [] if self.shared.is_empty() => return Ok(()),
                [] => connection.write(&self.shared).await?,
                head => connection.write_vectored(&[IoSlice::new(head), IoSlice::new(&self.shared)]).await?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let of_head = written.min(self.head.len() - self.written);
            self.written += of_head;
            self.shared.advance(written - of_head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A connection that accepts the given numbers of bytes per write, in turn.
    struct Narrow {
        takes: Vec<usize>,
        writes: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let takes = self.takes[self.writes % self.takes.len()];
            let bytes: Vec<u8> = bytes.iter().flat_map(|slice| slice.iter().copied()).take(takes).collect();
            self.writes += 1;
            self.taken.extend(&bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(frame: &mut PendingFrame, connection: &mut Narrow) -> io::Result<()> {
        tokio::runtime::Builder::new_current_thread().build()?.block_on(frame.write_to(connection))
    }

    #[test]
    fn head_and_shared_bytes_leave_in_one_write() {
        let mut connection = Narrow { takes: vec![usize::MAX], writes: 0, taken: Vec::new() };
        let mut frame = PendingFrame::default();
        let head = |head: &mut Vec<u8>| {
            head.extend([1, 2]);
            Some(Bytes::from_static(&[3, 4]))
        };
        frame.set_with_head(head).unwrap();
        write(&mut frame, &mut connection).unwrap();
        assert_eq!((connection.writes, &connection.taken[..]), (1, &[1, 2, 3, 4][..]));
        write(&mut frame, &mut connection).unwrap();
        assert_eq!(connection.writes, 1, "nothing is left");
    }

    #[test]
    fn failed_head_leaves_nothing_to_write() {
        let mut connection = Narrow { takes: vec![usize::MAX], writes: 0, taken: Vec::new() };
        let mut frame = PendingFrame::default();
        let fails = |head: &mut Vec<u8>| {
            head.extend([1, 2]);
            None
        };
        assert_eq!(frame.set_with_head(fails), None);
        write(&mut frame, &mut connection).unwrap();
        assert_eq!(connection.writes, 0);
    }

    proptest! {
        #[test]
        fn partial_writes_lose_and_repeat_nothing(
            frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..400)), 1..8),
            takes in prop::collection::vec(1usize..120, 1..9),
        ) {
            let mut connection = Narrow { takes, writes: 0, taken: Vec::new() };
            let mut frame = PendingFrame::default();
            for (head, shared) in &frames {
                let shared = Bytes::copy_from_slice(shared);
                if head.is_empty() {
                    frame.set_shared(shared);
                } else {
                    frame.set_with_head(|buffer| { buffer.extend(head); Some(shared) }).unwrap();
                }
                write(&mut frame, &mut connection).unwrap();
            }
            let all: Vec<u8> = frames.iter().flat_map(|(head, shared)| [&head[..], shared].concat()).collect();
            prop_assert_eq!(connection.taken, all);
        }

        #[test]
        fn closed_connection_is_an_error(head in prop::collection::vec(any::<u8>(), 0..4)) {
            let mut connection = Narrow { takes: vec![0], writes: 0, taken: Vec::new() };
            let mut frame = PendingFrame::default();
            frame.set_with_head(|buffer| { buffer.extend(&head); Some(Bytes::from_static(&[1])) }).unwrap();
            prop_assert_eq!(write(&mut frame, &mut connection).unwrap_err().kind(), io::ErrorKind::WriteZero);
        }
    }
}
