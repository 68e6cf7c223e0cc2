//! Simulates a camera, an encoder, a link and a viewer on a virtual clock. The hub and the session are the relay's own; only the
//! socket is not. Covers links that one machine cannot provide. Seeded, and so deterministic.
//!
//! A step is a millisecond. [`World`](world::World) does what the session's loop does.

mod link;
mod source;
mod tests;
mod viewer;
mod world;
