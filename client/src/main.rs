//! Sightline client.
fn main() {}
