#!/usr/bin/env bash
# client.sh build        - builds the client into dist/. Downloads only crates. make runs it after a change to the client.
# client.sh serve ARG..  - runs `trunk serve ARG..`: a development build in a separate folder, with live reload (`make dev`).
# client.sh test BROWSER - runs the client's tests in headless chromium, firefox or webkit (`make test-client BROWSER=..`).
# client.sh cargo ARG..  - runs cargo with a Rust that can build for the browser (lints).
. "$(dirname "$0")/common.sh"

usage="usage: client.sh build | serve ARG.. | test chromium|firefox|webkit | cargo ARG.."

# trunk ARG..: runs Trunk offline: the wasm-bindgen that it would download is on PATH.
trunk() {
    have trunk || die "Trunk is missing." "Run: ./scripts/install.sh demo"
    cargo fetch --quiet ${CI:+--locked}
    unset NO_COLOR # Trunk accepts only true or false
    TRUNK_OFFLINE=true command trunk "$@"
}

# in_browser NAME: runs the tests in one browser. wasm-bindgen-test-runner uses the first driver that the environment names.
in_browser() {
    local driver variable display=()
    case $1 in
    chromium) variable=CHROMEDRIVER driver=chromedriver ;;
    firefox) variable=GECKODRIVER driver=geckodriver ;;
    webkit)
        # The runner has no variable for this driver, and sends Safari's no special requests.
        variable=SAFARIDRIVER driver=WebKitWebDriver
        have xvfb-run || die "Xvfb, WebKit's display, is missing." "Run: ./scripts/install.sh test"
        display=(xvfb-run --auto-servernum)
        # Without an address GLib starts a program to find one, for every player.
        export DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent
        # WebKit's sandbox needs user namespaces, which root in a container lacks.
        [ "$(id -u)" -ne 0 ] || export WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS=1
        ;;
    *) die "no browser named ${1:-}." "$usage" ;;
    esac
    have "$driver" || die "$driver is missing." "Run: ./scripts/install.sh test"
    unset CHROMEDRIVER GECKODRIVER SAFARIDRIVER
    export "$variable=$(command -v "$driver")"
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner WASM_BINDGEN_TEST_TIMEOUT=120
    "${display[@]}" cargo test -p sightline-client --target "$WASM" --no-fail-fast
}

use_wasm_rust || die "no Rust that can build for the browser." "Run: ./scripts/install.sh demo"
case ${1:-} in
build)
    heading "Building the client"
    trunk build --release --dist dist
    touch dist/index.html # make compares its time with the sources' times
    ;;
serve) trunk serve "${@:2}" ;;
test) in_browser "${2:-}" ;;
cargo) cargo "${@:2}" ;;
*) die "$usage" ;;
esac
