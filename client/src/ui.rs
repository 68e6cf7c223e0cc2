//! What the page displays: components that take state and send events, and decide nothing.
//!
//! | module | what it displays |
//! | --- | --- |
//! | [`app`] | the page: a grid of tiles, or a notice in its place |
//! | [`tile`] | one stream; owns the stream's session |
//! | [`grid`] | how many columns fit (pure) |

pub mod app;
pub mod grid;
pub mod tile;

pub use app::App;
