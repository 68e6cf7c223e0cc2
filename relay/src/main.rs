//! Sightline relay.
fn main() {}
