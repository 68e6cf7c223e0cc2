//! The end-to-end tests: the real relay, FFmpeg, RTSP servers and browsers, on loopback.
//!
//! A test's path declares its lane, which `scripts/test.sh` runs by that name:
//!
//! | lane | path | runs |
//! | --- | --- | --- |
//! | `protocol` | none of the below | no browser; several at once; `unbreakable::` in a separate process |
//! | `browser` | contains `browser::` | decoded frames in real browsers; after `protocol`; `one_browser::` and `plain_client::` in a separate process |
//! | `timing` | contains `timing::` | asserts milliseconds; last; alone, but for tests without a browser and tests of sound, which run beside each other |

mod access;
mod attacks;
mod audio;
mod bad_input;
mod browser;
mod cameras;
mod check;
mod cluster;
mod command_line;
mod confinement;
mod decoder_delay;
mod direct;
mod events;
mod flow;
mod go2rtc;
mod harness;
mod hls;
mod hls_audio;
mod http;
mod http2;
mod impaired_link;
mod limits;
mod metrics;
mod oidc;
mod package;
mod plain_client;
mod processes;
mod quality;
mod reload;
mod service;
mod snapshots;
mod stream_names;
mod sub_streams;
mod timing;
mod tls;
mod unbreakable;
mod whep;
mod whep_audio;
mod wire;
