//! Entry point: Trunk builds this binary into the page's script.

fn main() {
    sightline_client::run();
}
