//! Sightline's relay. A module imports only modules below it; a unit test of this crate checks that (`layering.rs`).
//!
//! | module | input | output |
//! | --- | --- | --- |
//! | [`cli`] | the command line | a running relay, or the output of a subcommand |
//! | [`server`] | a configuration | a running relay: assembles all of the below |
//! | [`api`] | HTTP requests | catalogue, events, metrics, the client's files |
//! | [`egress`] | a cursor in the hub | WebSocket messages, HLS, RTP |
//! | [`access`] | HTTP requests | requests that may watch |
//! | [`cluster`] | fragments in the hub; messages of a NATS server | the same; fragments of other relays in the hub |
//! | [`ingest`] | a source, through FFmpeg or RTSP | fragments in the hub |
//! | [`hub`] | fragments | fragments, to any number of readers |
//! | [`limits`] | connections, viewers, transcodes | permits |
//! | [`net`] | a connection | its client's address, whether it is encrypted |
//! | [`config`] | a TOML file | values |
//! | [`clock`] | the system's clock | a clock that does not step |
//!
//! Media formats are in the crate [`sightline_media`], the wire format is in [`sightline_protocol`].

pub mod access;
pub mod api;
pub mod cli;
// Part of the build script; its tests run with the relay's.
#[cfg(test)]
#[path = "../build/client.rs"]
mod client_build;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod egress;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hub;
pub mod ingest;
#[cfg(test)]
mod layering;
pub mod limits;
pub mod net;
pub mod server;
