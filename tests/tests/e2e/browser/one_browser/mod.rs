//! Tests in one browser engine: their results do not depend on the engine, or they need a feature of only one.

mod accessibility;
mod bad_page;
mod hls_players;
mod hls_sound;
mod proxies;
mod quick_start;
mod trunk_serve;
mod webrtc_variant;
mod whep_client;
mod whep_players;
