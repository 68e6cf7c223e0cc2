//! Socket options of the connections that carry media.

use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;

/// Unsent bytes that the kernel buffers per connection (`TCP_NOTSENT_LOWAT`). The default holds seconds of video on a slow
/// link, which the relay can no longer skip; one or two fragments keep a fast link busy.
const NOTSENT_LOWAT_BYTES: u32 = 64 * 1024;
/// Time limit for the acknowledgement of sent data, after which the kernel closes the connection (`TCP_USER_TIMEOUT`). An HTTP
/// response has no time limit of its own, and a stuck one keeps its segment in memory.
#[cfg(any(target_os = "linux", target_os = "android"))]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends each fragment at once and limits the kernel's send buffer.
pub(crate) fn set_nodelay(stream: &TcpStream) {
    // With Nagle's algorithm (RFC 896) a fragment waits for the acknowledgement of the previous one.
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES));
    if let Err(error) = set {
        debug!(%error, "cannot set TCP_NODELAY or TCP_NOTSENT_LOWAT");
    }
}

/// Makes the kernel close the connection when the peer acknowledges nothing for 30 s.
pub(crate) fn set_user_timeout(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT)) {
        debug!(%error, "cannot set TCP_USER_TIMEOUT");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

/// Whether an error of `accept` means that the peer closed the connection before it was accepted. The listener has no error
/// then.
pub(crate) fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
