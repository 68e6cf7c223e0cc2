//! Embeds the built client, or a page that says how to build it where there is none.

use std::path::Path;
use std::{env, fs};

fn main() {
    let dist = Path::new("../dist");
    println!("cargo::rerun-if-changed=../dist");
    println!("cargo::rerun-if-changed=build.rs");
    if dist.join("index.html").exists() {
        return embed(dist);
    }
    let placeholder = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("no-client");
    fs::create_dir_all(&placeholder).expect("OUT_DIR is writable");
    fs::write(
        placeholder.join("index.html"),
        "<!doctype html><title>Sightline</title><p>This relay was built without the client. \
         Run <code>make client</code>, then build the relay again.",
    )
    .expect("OUT_DIR is writable");
    embed(&placeholder);
}

/// Puts the folder into the program, and tells it where the page is: what is in it says what a browser may run.
fn embed(folder: &Path) {
    let page = folder.join("index.html").canonicalize().expect("the page is there");
    println!("cargo::rustc-env=SIGHTLINE_PAGE={}", page.display());
    memory_serve::load_directory(folder);
}
