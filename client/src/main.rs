//! The client's entry: Trunk turns this binary into the page's script.

fn main() {
    sightline_client::run();
}
