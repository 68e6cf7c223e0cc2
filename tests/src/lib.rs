//! The harness of the end-to-end tests: the real relay, the real FFmpeg, a real RTSP server and real browsers, on
//! loopback only.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`run`] | one test at a time, each with a time limit |
//! | [`process`] | child processes that end with their owner, and what `/proc` says about them |
//! | [`lines`] | the lines a process prints, to be waited for |
//! | [`camera`] | an RTSP camera whose picture carries a mark, and which counts its connections |
//! | [`relay`] | the relay under test: start, stop, kill, restart, look inside |
//! | [`viewer`] | a viewer without a browser, for both WebSocket dialects |
//! | [`browser`] | Chromium, Firefox and WebKitGTK by WebDriver, and what their pages show |
//! | [`http`] | the few lines of HTTP the tests need |
//!
//! A helper whose wait is over or whose world is broken panics with a sentence that says what was expected: here a
//! panic is the report of a failed test. Nothing is tried twice.

pub mod browser;
pub mod camera;
pub mod http;
pub mod lines;
pub mod process;
pub mod relay;
pub mod run;
pub mod viewer;
