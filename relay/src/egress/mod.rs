//! Egress: turns a place in a rendition's ring into what a protocol sends.

pub mod hls;
pub(crate) mod origin;
pub mod viewers;
pub mod websocket;
pub mod whep;

mod select;
