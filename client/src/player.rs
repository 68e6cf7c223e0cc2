//! Plays fragments as video.
//!
//! [`mse`] is the engine over Media Source Extensions, [`webcodecs`] the one that decodes by itself; [`either`] is both under one
//! surface, and [`outcome`] has their events. The pure modules beside them decide their actions:
//!
//! | module | decision |
//! | --- | --- |
//! | [`queue`] | what to append next, how many bytes at once, and what to drop while the SourceBuffer accepts no appends |
//! | [`timeline`] | the position of each fragment on the video's timeline, so that epochs follow each other without a gap |
//! | [`alignment`] | the position of audio, in sync with its video |
//! | [`edge`] | the playback position: start, live edge, gaps, stalls |
//! | [`pace`] | the target lag behind the page's clock, and the playback rate |
//! | [`hold`] | how long a frame is held before WebCodecs decodes it; [`arrivals`] measures the jitter for both |
//! | [`decoding`] | which decoded frame is painted, and whether the decoder keeps up |
//! | [`sample`] | what the decoder takes in the relay's boxes |
//! | [`latency`] | the age of the presented frame |
//! | [`freshness`] | whether the video is stale or frozen |
//! | [`trim`] | the media that can be removed without stopping the video |
//! | [`quota`] | what to evict on a QuotaExceededError |
//! | [`repair`] | the response to a playback failure |
//! | [`recording`] | the layout of a recorded file |
//! | [`frame_rate`] | the measured frame rate |
//!
//! The engine owns the state of these modules; the session owns that of [`repair`] and [`recording`].
//!
//! Media positions and durations are in seconds (`f64`), as in the browser's interfaces.

pub mod alignment;
mod arrivals;
pub mod decoding;
pub mod edge;
pub mod either;
pub mod frame_rate;
pub mod freshness;
pub mod hold;
pub mod latency;
pub mod mse;
pub mod outcome;
pub mod pace;
pub mod queue;
pub mod quota;
pub mod recording;
pub mod repair;
pub mod sample;
pub mod timeline;
pub mod trim;
pub mod webcodecs;
