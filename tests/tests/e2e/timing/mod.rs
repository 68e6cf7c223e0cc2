//! Tests that assert milliseconds.

mod faults;
mod first_frame;
mod sound;
mod webrtc_sound;
