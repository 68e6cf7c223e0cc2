//! Sightline's relay, in the order a frame passes it:
//!
//! | module | what enters | what leaves |
//! | --- | --- | --- |
//! | [`config`] | a TOML file | the streams and their sources |
//! | [`ingest`] | a source, through FFmpeg | bytes of fragmented MP4 |
//! | [`fmp4`] | those bytes | init segments and fragments |
//! | [`nal`] | NAL units of H.264 and H.265 | what they say of the order of pictures |
//! | [`nut`] | a source's audio in NUT, from FFmpeg | what codec it is, and where reading can begin |
//! | [`hub`] | fragments | fragments, to any number of readers |
//! | [`egress`] | a place in the hub | WebSocket messages, HLS, RTP |
//! | [`access`] | HTTP requests | those of people who may watch |
//! | [`api`] | HTTP requests | the catalogue, and the client |
//! | [`server`] | all of the above | a running relay |
//! | [`check`] | a configuration | what its sources deliver |
//!
//! All of them tell time by [`clock`] and count with [`counts`].

pub mod access;
pub mod api;
pub mod check;
pub mod clock;
pub mod config;
pub mod counts;
pub mod egress;
pub mod fmp4;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hub;
pub mod ingest;
pub mod nal;
pub mod nut;
pub mod server;
