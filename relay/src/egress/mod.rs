//! Egress: turns a place in a rendition's ring into what a protocol sends.

pub mod hls;
mod origin;
pub mod websocket;
pub mod whep;

mod select;
