//! A connection that holds its permit while it is open, also after an upgrade.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::limits::permit::Permit;
use crate::net::forward_writes::forward_writes;

/// See the [module](self).
pub(super) struct PermittedConnection<S> {
    stream: S,
    _permit: Permit,
}

impl<S> PermittedConnection<S> {
    pub(super) fn new(stream: S, permit: Permit) -> Self {
        Self { stream, _permit: permit }
    }

    pub(super) fn inner(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PermittedConnection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

forward_writes!(PermittedConnection, stream);
