//! The protocol between relay and client: no sockets, no clocks, no browser.
//!
//! | module | contents |
//! | --- | --- |
//! | [`stream`] | names of streams, patterns of names, and variants |
//! | [`address`] | the addresses of a stream |
//! | [`backoff`] | the delays between attempts to reconnect or to restart a source |
//! | [`message`] | the JSON messages of the `sightline.v1` WebSocket dialect |
//! | [`close`] | the WebSocket close codes of both dialects |
//! | [`catalogue`] | the response of `GET /api/streams` |
//! | [`codec`] | RFC 6381 codec strings: parsing them, and whether one video codec covers another |
//! | [`fragment`] | the head of an fMP4 fragment: decode time, duration, key frame, capture time |

pub mod address;
pub mod backoff;
pub mod catalogue;
pub mod close;
pub mod codec;
pub mod fragment;
pub mod message;
pub mod stream;

/// The WebSocket subprotocol that selects the dialect of [`message`]. Without it a viewer gets the plain dialect.
pub const SUBPROTOCOL: &str = "sightline.v1";

/// The query parameter that selects a subprotocol instead of the header `Sec-WebSocket-Protocol`. Some proxies, such as
/// Trunk's, drop that header from the response. A browser that offered a subprotocol then fails the connection (RFC 6455,
/// section 4.1).
pub const SUBPROTOCOL_PARAMETER: &str = "subprotocol";

/// The version of this crate, which the relay and the page share. The page uses it to detect that the relay has changed.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
