//! Embeds the built client, or a placeholder page with build instructions if there is none.

#[path = "build/client.rs"]
mod client;

use std::path::Path;
use std::{env, fs};

fn main() {
    let dist = Path::new("../dist");
    println!("cargo::rerun-if-changed=../dist");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    if let Ok(page) = fs::read_to_string(dist.join("index.html")) {
        let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
        if let Some(error) = client::refusal(&page).filter(|_| release) {
            println!("cargo::error={error}");
        }
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

/// Embeds the folder and passes its `index.html` to the crate, which derives the content security policy from it.
fn embed(folder: &Path) {
    let page = folder.join("index.html").canonicalize().expect("the page is there");
    println!("cargo::rustc-env=SIGHTLINE_PAGE={}", page.display());
    memory_serve::load_directory(folder);
}
