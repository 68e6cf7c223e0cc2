//! The bindings and the player in a real browser.
//!
//! Run with `CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner` and one of CHROMEDRIVER, GECKODRIVER:
//! `cargo test -p sightline-client --target wasm32-unknown-unknown --test browser`.

// Natively there is no browser: this file is empty then.
#![cfg(target_arch = "wasm32")]

mod bytes;
mod components;
mod fixture;
mod guards;
mod media;
mod page;
mod player;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
