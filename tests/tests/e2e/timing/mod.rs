//! Tests that assert milliseconds.

mod faults;
mod first_picture;
mod sound;
