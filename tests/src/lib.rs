//! The harness of the end-to-end tests: the real relay, the real FFmpeg, a real RTSP server and real browsers, on loopback
//! only.
//!
//! | module | contents |
//! | --- | --- |
//! | [`run`] | runs a test in a thread, with a time limit |
//! | [`outcome`] | the outcome of a test, and its record |
//! | [`quarantine`] | unreliable tests, with cause and last day |
//! | [`machine_load`] | the machine's load during a timing test |
//! | [`process`] | child processes that end with their owner, and their entries in `/proc` |
//! | [`lines`] | the lines that a process prints, and waiting for one |
//! | [`camera`] | an RTSP camera that marks its frames and counts its connections |
//! | [`scripted_camera`] | an RTSP camera that does exactly what a test describes, down to its packets |
//! | [`recording`] | recordings with the parameter sets of cameras, as sources |
//! | [`relay`] | the relay under test: start, stop, kill, restart, inspect |
//! | [`impaired_link`] | an impaired link between browser and relay: delays, throttles, stalls, cuts, resets |
//! | [`nats`] | a NATS server between relays |
//! | [`nginx`], [`caddy`] | a proxy between browser and relay |
//! | [`namespace`] | a network namespace of one test, with packet filters |
//! | [`landlock`] | what of Landlock the kernel supports |
//! | [`container`] | a command as the image's container runs it |
//! | [`faults`] | faults, and the time limit for recovery from each |
//! | [`provider`] | an identity provider: signs tokens and serves its keys |
//! | [`routes`] | every address that reveals a camera |
//! | [`tls`] | certificates of a test, and clients that trust them |
//! | [`tracks`] | a viewer's video and audio, decoded |
//! | [`viewer`] | a viewer without a browser, for both WebSocket dialects |
//! | [`slow`] | the same viewer behind a tunnel and a slow link |
//! | [`peer`] | a WebRTC viewer without a browser |
//! | [`rtp_sync`], [`ogg`] | its sound and frames by the sender reports; Opus packets as a file |
//! | [`offer`] | the WHEP offer of a viewer that never connects |
//! | [`stun`] | its STUN messages, from any socket |
//! | [`browser`] | Chromium, Firefox and WebKitGTK by WebDriver, and the state of their pages |
//! | [`known_delay`] | a page with frames of known age, to measure the error of the latency probe |
//! | [`download`] | a file that a page saved, and its contents |
//! | [`stats`] | the median and percentiles of measurements |
//! | [`sound_card`] | a sound card without a loudspeaker, and a recorder of its output |
//! | [`beeps`] | the beginnings of the camera's beeps in recorded sound |
//! | [`http`] | a minimal HTTP client and server |
//! | [`playlist`] | HLS media playlists as a player reads them |
//!
//! A helper panics when its wait times out or its environment is broken. The message states the expectation, and the panic is
//! the report of the failed test. Helpers do not retry, except for reading a page after the driver lost a result.

pub mod beeps;
pub mod browser;
pub mod caddy;
pub mod camera;
pub mod container;
pub mod download;
pub mod faults;
pub mod http;
pub mod http2;
pub mod impaired_link;
pub mod known_delay;
pub mod landlock;
pub mod lines;
pub mod machine_load;
pub mod namespace;
pub mod nats;
pub mod nginx;
pub mod offer;
pub mod ogg;
pub mod outcome;
pub mod peer;
pub mod playlist;
pub mod process;
pub mod provider;
pub mod quarantine;
pub mod recording;
pub mod relay;
pub mod routes;
pub mod rtp_sync;
pub mod run;
pub mod scripted_camera;
pub mod slow;
pub mod sound_card;
pub mod stats;
pub mod stun;
#[cfg(test)]
mod threat_model;
pub mod tls;
pub mod tracks;
pub mod viewer;
pub mod wav;
