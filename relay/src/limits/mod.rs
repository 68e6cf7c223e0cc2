//! Limits of clients' resources, which can change at run time, and permits that count towards them.
//!
//! | module | limits |
//! | --- | --- |
//! | [`connections`] | connections to the HTTP port and by ICE-TCP, in total and per client |
//! | [`descriptors`] | the same, by the process's file descriptors |
//! | [`requests`] | requests per second and client |
//! | [`viewers`] | WebSocket and WebRTC sessions, in total, per stream and per client |
//! | [`transcodes`] | encoders of video |
//!
//! Each limiter returns a [`permit::Permit`]; dropping it returns it. Limits are read at each request for a permit ([`live`]);
//! lowering a limit revokes no permit.

pub(crate) mod connections;
pub(crate) mod descriptors;
pub mod live;
pub(crate) mod permit;
pub(crate) mod rate_limiter;
pub(crate) mod requests;
pub mod transcodes;
pub mod viewers;

pub use live::LiveLimits;
