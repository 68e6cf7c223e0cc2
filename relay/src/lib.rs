//! Sightline's relay, in the order a frame passes it:
//!
//! | module | what enters | what leaves |
//! | --- | --- | --- |
//! | [`config`] | a TOML file | the streams and their sources |
//! | [`ingest`] | a source, through FFmpeg | bytes of fragmented MP4 |
//! | [`fmp4`] | those bytes | init segments and fragments |
//! | [`hub`] | fragments | fragments, to any number of readers |
//! | [`egress`] | a place in the hub | WebSocket messages |
//! | [`api`] | HTTP requests | the catalogue, and the client |
//! | [`server`] | all of the above | a running relay |

pub mod api;
pub mod config;
pub mod egress;
pub mod fmp4;
pub mod hub;
pub mod ingest;
pub mod server;
