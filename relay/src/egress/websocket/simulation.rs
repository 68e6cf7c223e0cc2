//! Simulates a camera, an encoder, a link and a viewer on a virtual clock. The rings, the send window and the selector are the
//! relay's own. Covers links that one machine cannot provide. Seeded, and so deterministic.
//!
//! A step is a millisecond. [`World`](world::World) makes the same calls in the same order as a session.

mod link;
mod source;
mod tests;
mod viewer;
mod world;
