//! A camera, an encoder, a link and a viewer on a clock of their own, and between them the relay's real rings, window and
//! ladder: what a viewer sees through links that cannot be had on one machine. Seeded: the same every time.
//!
//! A step is a millisecond. [`World`](world::World) does what a session does, in the same order and with the same calls.

mod link;
mod source;
mod tests;
mod viewer;
mod world;
