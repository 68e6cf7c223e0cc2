//! How messages reach the player: the `sightline.v1` dialect over one WebSocket per stream.
//!
//! | module | what it decides or does |
//! | --- | --- |
//! | [`websocket`] | the connection: events in, messages out |
//! | [`clock`] | what time it is at the relay, from its answers to pings (pure) |
//! | [`liveness`] | when an acknowledgement or a ping is due, and when a silent socket counts as dead (pure) |
//! | [`backoff`] | when to try again (pure) |
//! | [`probe`] | which codec strings to ask the browser about (pure) |

pub mod backoff;
pub mod clock;
pub mod liveness;
pub mod probe;
pub mod websocket;
