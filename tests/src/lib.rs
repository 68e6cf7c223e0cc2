//! The harness of the end-to-end tests: the real relay, the real FFmpeg, a real RTSP server and real browsers, on
//! loopback only.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`run`] | one test at a time, each with a time limit |
//! | [`process`] | child processes that end with their owner, and what `/proc` says about them |
//! | [`lines`] | the lines a process prints, to be waited for |
//! | [`camera`] | an RTSP camera whose picture carries a mark, and which counts its connections |
//! | [`recording`] | recordings with the parameter sets of cameras, to be read as sources |
//! | [`relay`] | the relay under test: start, stop, kill, restart, look inside |
//! | [`road`] | a bad road between browser and relay: delays, throttles, stalls, cuts, resets |
//! | [`nginx`], [`caddy`] | a proxy between browser and relay |
//! | [`namespace`] | a network of the test's own, with walls in it |
//! | [`faults`] | what happens to viewers, and in what time it heals |
//! | [`provider`] | an identity provider: who signs tokens, and where its keys are |
//! | [`routes`] | every address that shows or tells of a camera |
//! | [`tls`] | certificates of the test's own, and who trusts them |
//! | [`tracks`] | what a viewer got of video and audio, decoded |
//! | [`viewer`] | a viewer without a browser, for both WebSocket dialects |
//! | [`slow`] | such a viewer behind a tunnel and a slow link |
//! | [`peer`] | a viewer of WebRTC without a browser |
//! | [`browser`] | Chromium, Firefox and WebKitGTK by WebDriver, and what their pages show |
//! | [`known_delay`] | a page whose pictures are of a known age: how far the eye is from the truth |
//! | [`saved`] | a file that a page saved, and what is in it |
//! | [`figures`] | the median and percentiles of what was measured |
//! | [`sound_card`] | a sound card that plays into nothing, and an ear on it |
//! | [`beeps`] | where the camera's beeps begin in what was heard |
//! | [`http`] | the few lines of HTTP the tests need |
//! | [`playlist`] | media playlists of HLS as a player reads them |
//!
//! A helper whose wait is over or whose world is broken panics with a sentence that says what was expected: here a
//! panic is the report of a failed test. Within a test nothing is tried twice but a look at the page whose answer the
//! driver lost.

pub mod beeps;
pub mod browser;
pub mod caddy;
pub mod camera;
pub mod faults;
pub mod figures;
pub mod http;
pub mod known_delay;
pub mod lines;
pub mod namespace;
pub mod nginx;
pub mod peer;
pub mod playlist;
pub mod process;
pub mod provider;
pub mod recording;
pub mod relay;
pub mod road;
pub mod routes;
pub mod run;
pub mod saved;
pub mod slow;
pub mod sound_card;
pub mod tls;
pub mod tracks;
pub mod viewer;
