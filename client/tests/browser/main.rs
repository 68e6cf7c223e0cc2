//! The bindings and the player in a real browser.
//!
//! Run by `make test-client BROWSER=chromium`, `firefox` or `webkit` (`scripts/client.sh`).

// This file is empty in native builds, which have no browser.
#![cfg(target_arch = "wasm32")]

mod bytes;
mod components;
mod fixture;
mod guards;
mod media;
mod page;
mod player;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
