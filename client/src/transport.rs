//! Carries messages to the player: the `sightline.v1` subprotocol over one WebSocket per stream.
//!
//! | module | role |
//! | --- | --- |
//! | [`websocket`] | the connection: events in, messages out |
//! | [`clock`] | estimates the relay's clock from its answers to pings (pure) |
//! | [`liveness`] | decides when an acknowledgement or a ping is due, and when a silent socket is dead (pure) |

pub mod clock;
pub mod liveness;
pub mod websocket;
