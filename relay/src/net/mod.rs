//! Determines a connection's client, origin and encryption, sets its socket options, and counts what is rejected.
//!
//! | module | input | output |
//! | --- | --- | --- |
//! | [`peer`] | an accepted connection | both addresses and whether it is encrypted, as a request extension |
//! | [`client`] | peer address, `X-Forwarded-For`, trusted proxies | the client's address |
//! | [`origin`] | `Origin` and `Host` | whether the page belongs to the relay or to an allowed origin |
//! | [`host`] | `Host` and the names of the relay | whether the name is one of them |
//! | [`forward_writes`] | a connection that wraps another one | its `AsyncWrite` |
//! | [`foreign`] | foreign text | the same text, escaped and cut |
//! | [`log_interval`] | a cause of log lines | whether the next line is due |
//! | [`rejections`] | rejected requests | counts, and one log line a minute |
//! | [`tcp`] | a TCP socket | the same socket with low-latency options set |
//! | [`tls`] | a TCP connection and the configured certificate | an encrypted connection |

pub(crate) mod acceptor;
pub(crate) mod client;
pub(crate) mod escaped;
pub(crate) mod forward_writes;
pub(crate) mod host;
pub(crate) mod log_interval;
pub(crate) mod origin;
pub(crate) mod peer;
pub mod rejections;
pub(crate) mod tcp;
pub mod tls;
