//! Egress: reads fragments at a cursor in a rendition's ring and sends them in each protocol's form. WebSocket and WHEP read
//! through one [`variant_reader`]; HLS packages each variant for all its viewers; a snapshot is one frame. [`go2rtc`] offers three of
//! them in another API.

pub(crate) mod address;
pub mod go2rtc;
pub mod hls;
pub mod snapshot;
pub mod websocket;
pub mod whep;

mod select;
#[cfg(test)]
mod test_stream;
mod variant_reader;

use sightline_protocol::stream::StreamName;

/// The error text for a stream that is not configured.
pub(crate) fn no_stream(name: &StreamName) -> String {
    format!("there is no stream named {name}; the relay's configuration names those there are")
}

/// Time limit for a starting source, longer than the slowest one takes.
const SOURCE_START_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(25);
