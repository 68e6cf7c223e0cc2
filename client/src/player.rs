//! Plays fragments as video.
//!
//! [`mse`] is the engine over Media Source Extensions, [`webcodecs`] the one that decodes by itself; [`either`] is both under one
//! surface, and [`outcome`] has their events. The pure modules beside them decide their actions:
//!
//! | module | decision |
//! | --- | --- |
//! | [`queue`] | what to append next, how many bytes at once, and what to drop while the SourceBuffer accepts no appends |
//! | [`timeline`] | the position of each fragment on the video's timeline, so that epochs follow each other without a gap |
//! | [`audio_sync`] | the position of audio, in sync with its video |
//! | [`live_edge`] | the playback position: start, live edge, gaps, stalls |
//! | [`latency_controller`] | the target lag behind the page's clock, and the playback rate |
//! | [`playout_delay`] | how long a frame is held before WebCodecs decodes it; [`arrivals`] measures the jitter for both |
//! | [`decoder_monitor`] | which decoded frame is painted, and whether the decoder keeps up |
//! | [`sample`] | what the decoder takes in the relay's boxes |
//! | [`frame_age`] | the age of the presented frame |
//! | [`stall_detector`] | whether the video is stale or frozen |
//! | [`eviction`] | the media that can be removed without stopping the video |
//! | [`quota`] | what to evict on a QuotaExceededError |
//! | [`recovery`] | the response to a playback failure |
//! | [`recording`] | the layout of a recorded file |
//! | [`frame_rate`] | the measured frame rate |
//!
//! The engine owns the state of these modules; the session owns that of [`recovery`] and [`recording`].
//!
//! Media positions and durations are in seconds (`f64`), as in the browser's interfaces.

mod arrivals;
pub mod audio_sync;
pub mod autoplay;
pub mod decoder_monitor;
pub mod either;
pub mod eviction;
pub mod frame_age;
pub mod frame_rate;
pub mod latency_controller;
pub mod live_edge;
pub mod mse;
pub mod outcome;
pub mod playout_delay;
pub mod queue;
pub mod quota;
pub mod recording;
pub mod recovery;
pub mod sample;
pub mod stall_detector;
pub mod timeline;
pub mod webcodecs;
