//! The page's components: they take state, send events, and decide nothing.
//!
//! | module | content |
//! | --- | --- |
//! | [`app`] | the page: owns the state and stores the settings |
//! | [`multiview`] | all videos, or a notice in their place |
//! | [`test_page`] | one video and all its details |
//! | [`sidebar`] | the settings for all streams |
//! | [`tile`] | one stream; owns the stream's session |
//! | [`embed`] | one stream in a foreign page |
//! | [`grid`] | computes the positions of tiles (pure) |
//! | [`curve`], [`icons`], [`choose`] | small shared parts |

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

pub use app::AppView;
