//! Sightline's browser client.
//!
//! A frame's way through it, and who owns what:
//!
//! | step | module | what it does |
//! | --- | --- | --- |
//! | 1 | [`transport`] | one WebSocket per stream: typed messages in, acknowledgements and pings out, when to retry |
//! | 2 | [`session`] | owns one stream: its connection, its player, and the decisions that need both |
//! | 3 | [`player`] | from fragments to a moving picture through Media Source Extensions |
//! | 4 | [`state`] | the one reducer: what happened in, what the page shows out |
//! | 5 | [`ui`] | displays the state; every tile owns its session |
//!
//! [`browser`] holds the bindings below all of them: each object unregisters what it registered when it is dropped.
//! Policies are pure: the time ([`time`]) and what is known go in, a decision comes out, so that they are tested
//! natively. The bytes of a fragment stay in the browser's memory; only a fragment's head is copied to be read.

pub mod browser;
pub mod player;
pub mod session;
pub mod state;
pub mod time;
pub mod transport;
pub mod ui;

/// Starts the page, if this is Sightline's own: the module is also loaded into others, by `<sightline-player>`.
pub fn run() {
    browser::report_panics();
    if browser::is_own_page() {
        yew::Renderer::<ui::App>::new().render();
    }
}
