//! Egress: reads fragments at a cursor in a rendition's ring and sends them in each protocol's form.

pub(crate) mod address;
pub mod hls;
pub mod websocket;
pub mod whep;

mod select;
#[cfg(test)]
mod test_stream;
mod variant_reader;
