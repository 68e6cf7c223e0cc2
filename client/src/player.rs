//! From fragments to a moving picture.
//!
//! [`mse`] is the engine over Media Source Extensions; what it does and when is decided by the pure modules:
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`queue`] | what to append next, how much at once, and what to drop when the browser takes nothing |
//! | [`timeline`] | where a fragment goes on the video's timeline, so that epochs follow each other without a hole |
//! | [`alignment`] | where audio goes, so that it is heard with its video |
//! | [`edge`] | where to play: start, live edge, holes, stalls |
//! | [`pace`] | how far behind the page's clock to play, and how fast |
//! | [`latency`] | how old the picture on screen is |
//! | [`trim`] | what may be removed without stopping the picture |
//! | [`quota`] | what to give up when the browser says the buffer is full |
//! | [`repair`] | what to do when playing fails |
//! | [`recording`] | what a file of it looks like |
//! | [`frame_rate`] | the measured frame rate |
//!
//! Positions and durations of media are in seconds (`f64`), as the browser's interfaces have them.

pub mod alignment;
pub mod edge;
pub mod frame_rate;
pub mod freshness;
pub mod latency;
pub mod mse;
pub mod pace;
pub mod queue;
pub mod quota;
pub mod recording;
pub mod repair;
pub mod timeline;
pub mod trim;
