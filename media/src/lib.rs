//! Media formats, sans-IO: bytes in, values out. Reads no clock, file or socket, and needs no operating system: the crate also
//! compiles for browsers.
//!
//! | module | input | output |
//! | --- | --- | --- |
//! | [`fmp4`] | fragmented MP4, in pieces of any length | init segments and fragments |
//! | [`g726`] | packets of G.726 | samples |
//! | [`nal`] | NAL units of H.264 and H.265 | their frame order, and parameter sets that declare it |
//! | [`nut`] | a source's audio in NUT, in pieces of any length | its codec, and the positions where reading can start |

pub mod fmp4;
pub mod g726;
pub mod nal;
pub mod nut;
