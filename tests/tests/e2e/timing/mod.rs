//! Tests that assert milliseconds.

mod faults;
mod first_frame;
mod hls_sound;
mod solo;
mod sound;
mod webrtc_sound;
