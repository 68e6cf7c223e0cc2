#!/usr/bin/env bash
# client.sh build       - builds the client into dist/, without network beside crates. Run by make when it has changed.
# client.sh serve ARG.. - the same in a folder of its own, served with live reload (`make dev`).
# client.sh cargo ARG.. - cargo with a Rust that can build for the browser (lint, unit tests in browsers).
. "$(dirname "$0")/common.sh"

use_wasm_rust || die "no Rust that can build for the browser." "Run: ./scripts/install.sh demo"
case $1 in
build | serve)
    have trunk || die "Trunk is missing." "Run: ./scripts/install.sh demo"
    # Trunk itself stays offline: the wasm-bindgen that it would download is on PATH.
    cargo fetch --quiet ${CI:+--locked}
    export TRUNK_OFFLINE=true
    unset NO_COLOR # Trunk wants true or false where others want it set or not
    ;;
esac
case $1 in
build)
    heading "Building the client"
    trunk build --release --dist dist
    touch dist/index.html # make compares its time with that of the sources
    ;;
serve)
    # Trunk's proxy loses the WebSocket's subprotocol: the page goes to the relay itself for that.
    export SIGHTLINE_RELAY=${SIGHTLINE_RELAY:-http://127.0.0.1:8080}
    trunk serve --dist "$TARGET_DIR/dev" "${@:2}"
    ;;
cargo) cargo "${@:2}" ;;
*) die "usage: client.sh build|serve|cargo" ;;
esac
