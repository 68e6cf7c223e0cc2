//! Sightline's browser client.
//!
//! The path of a frame through the client, and the owner of each step:
//!
//! | step | module | role |
//! | --- | --- | --- |
//! | 1 | [`transport`] | one WebSocket per stream: typed messages in, acknowledgements and pings out, retry delays |
//! | 2 | [`session`] | owns one stream: its connection, its player, and the decisions that need both |
//! | 3 | [`player`] | plays fragments through Media Source Extensions or WebCodecs |
//! | 4 | [`state`] | the one reducer: events in, page state out |
//! | 5 | [`ui`] | renders the state; each tile owns its session |
//!
//! [`codec_probe`] lists the codec strings to test in the browser (pure). [`browser`] holds the bindings below all of them: each object unregisters its callbacks when it is dropped. Policies are
//! pure: the time ([`time`]) and observations go in, a decision comes out. Native tests run them. A fragment's bytes stay in
//! the browser's memory; only its head is copied into WebAssembly memory for parsing.

pub mod browser;
pub mod codec_probe;
pub mod player;
pub mod session;
pub mod state;
pub mod time;
pub mod transport;
pub mod ui;

/// Starts the page, if this is Sightline's own. `<sightline-player>` loads the same module into other pages.
pub fn run() {
    browser::report_panics();
    if browser::is_own_page() {
        yew::Renderer::<ui::AppView>::new().render();
    }
}
