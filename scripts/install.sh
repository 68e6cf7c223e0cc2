#!/usr/bin/env bash
# install.sh demo|lint|deb|fuzz|test - installs the missing requirements of `make demo`, `lint`, `deb`, `fuzz` or `test`: system
# packages, Rust, commands built by cargo into $XDG_CACHE_HOME/sightline/tools, and npm packages into client/node_modules.
# Prints what it installs. Takes a fraction of a second if nothing is missing.
. "$(dirname "$0")/common.sh"
what=${1:?usage: install.sh demo|lint|deb|fuzz|test}

# Trunk 0.22 needs a newer Rust than Sightline.
TRUNK=0.21.14
GECKODRIVER=0.37.1
CARGO_DEB=3.8.0
CARGO_DENY=0.20.2
CARGO_FUZZ=0.13.2

# tool COMMAND CRATE VERSION: installs exactly this version of a command, unless it is installed.
tool() {
    local command=$1 crate=$2 version=$3
    [ "$("$command" --version 2>/dev/null | awk '{ print $2; exit }')" = "$version" ] && return
    heading "Installing $crate $version into $TOOLS (cargo install, one to three minutes)"
    # Unoptimised builds take a third of the time and slow the client's build by less than a second.
    # One target folder for all tools, so that common dependencies are built once.
    CARGO_TARGET_DIR=$CACHE/build CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=symbols CARGO_INCREMENTAL=0 \
        cargo install "$crate@$version" --root "$TOOLS" --debug --locked --no-default-features --force ||
        die "cargo could not install $crate $version." "By hand: cargo install $crate@$version --locked"
}

# npm_packages client|all: installs the exact packages of client/package-lock.json and checks their hashes. `client` installs
# the client's dependencies, `all` also those of the tests. npm ci first removes the installed packages. A copy of the lock
# file, written last, marks a complete installation.
#   hls.js    plays HLS in browsers without native HLS: Chrome on most systems, Firefox
#   axe-core  machine-checkable accessibility rules of the WCAG, for a test (tests/tests/e2e/browser/accessibility.rs)
#   whip-whep a third-party WHEP client, for a test (tests/tests/e2e/browser/one_browser/whep_client.rs)
#   @eyevinn/webrtc-player, mediamtx-webrtc-react  more of them (tests/tests/e2e/browser/one_browser/whep_players.rs)
#   video.js, shaka-player, hls-video-element  third-party HLS players (tests/tests/e2e/browser/one_browser/hls_players.rs)
npm_packages() {
    local marks=(client/node_modules/.installed-client) omitted=(--omit=dev)
    [ "$1" = client ] || { marks+=(client/node_modules/.installed-all); omitted=(--include=dev); }
    cmp -s client/package-lock.json "${marks[-1]}" && return
    heading "Installing npm packages into client/node_modules"
    # Packages' own scripts do not run. The arguments select the packages, independent of NODE_ENV.
    (cd client && npm ci "${omitted[@]}" --ignore-scripts --no-audit --no-fund --no-update-notifier) ||
        die "npm could not install the packages of client/package-lock.json." "By hand: cd client && npm ci --ignore-scripts"
    local mark
    for mark in "${marks[@]}"; do cp client/package-lock.json "$mark"; done
}

./scripts/packages.sh "$what"
./scripts/rust.sh "$what"
[ "$what" = lint ] && exit

case $what in test) npm_packages all ;; *) npm_packages client ;; esac
use_rust
tool trunk trunk "$TRUNK"
# The command must have the same version as the client's library.
tool wasm-bindgen wasm-bindgen-cli "$(locked wasm-bindgen)"
case $what in deb | test) tool cargo-deb cargo-deb "$CARGO_DEB" ;; esac
[ "$what" != test ] || tool cargo-deny cargo-deny "$CARGO_DENY"
[ "$what" != fuzz ] || tool cargo-fuzz cargo-fuzz "$CARGO_FUZZ"
[ "$what" != test ] || tool geckodriver geckodriver "$GECKODRIVER"
rm -rf "$CACHE/build"
