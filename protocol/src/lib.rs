//! What the relay and the client say to each other, and nothing else: no sockets, no clocks, no browser.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`stream`] | the names of streams and variants |
//! | [`message`] | the JSON messages of the `sightline.v1` WebSocket dialect |
//! | [`close`] | the WebSocket close codes of both dialects |
//! | [`catalogue`] | what `GET /api/streams` answers |
//! | [`codec`] | RFC 6381 codec strings: reading them, and whether one of video covers another |
//! | [`fragment`] | what the head of an fMP4 fragment tells: decode time, duration, key frame, capture time |

pub mod catalogue;
pub mod close;
pub mod codec;
pub mod fragment;
pub mod message;
pub mod stream;

/// The WebSocket subprotocol that selects the dialect of [`message`]. Without it a viewer gets the plain dialect.
pub const SUBPROTOCOL: &str = "sightline.v1";

/// The version of this crate, which the relay and the page have in common: the page knows by it whether the relay is still
/// the one that it came from.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
