//! What the page displays: components that take state and send events, and decide nothing.
//!
//! | module | what it displays |
//! | --- | --- |
//! | [`app`] | the page: keeps the state and what the user chose |
//! | [`multiview`] | all pictures, or a notice in their place |
//! | [`test_page`] | one picture and all that is known about it |
//! | [`sidebar`] | what can be chosen for all pictures |
//! | [`tile`] | one stream; owns the stream's session |
//! | [`embed`] | one stream in a page of somebody else's |
//! | [`grid`] | where tiles go (pure) |
//! | [`curve`], [`icons`], [`choose`] | the small parts of all of them |

pub mod app;
pub mod choose;
pub mod curve;
pub mod embed;
pub mod grid;
pub mod icons;
pub mod multiview;
pub mod sidebar;
pub mod test_page;
pub mod tile;

pub use app::App;
