//! Egress: turns a place in a rendition's ring into what a protocol sends.

pub mod websocket;
pub mod whep;

mod origin;
mod select;
