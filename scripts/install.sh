#!/usr/bin/env bash
# install.sh demo|lint|deb|fuzz|test - installs whatever `make demo`, `lint`, `deb`, `fuzz` or `test` needs and this machine lacks:
# packages, Rust, commands built by cargo into $XDG_CACHE_HOME/sightline/tools, and npm packages into
# client/node_modules. Says what it installs; takes a fraction of a second where nothing is missing.
. "$(dirname "$0")/common.sh"
what=${1:?usage: install.sh demo|lint|deb|fuzz|test}

# Trunk 0.22 needs a newer Rust than Sightline does.
TRUNK=0.21.14
GECKODRIVER=0.37.1
CARGO_DEB=3.8.0
CARGO_DENY=0.20.2
CARGO_FUZZ=0.13.2

# tool COMMAND CRATE VERSION: makes sure of a command of exactly this version.
tool() {
    local command=$1 crate=$2 version=$3
    [ "$("$command" --version 2>/dev/null | awk '{ print $2; exit }')" = "$version" ] && return
    heading "Installing $crate $version into $TOOLS (cargo install, one to three minutes)"
    # Built without optimisation: a third of the work, and the client's build becomes slower by less than a second.
    # One target folder for all of them: what they have in common is built once.
    CARGO_TARGET_DIR=$CACHE/build CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=symbols CARGO_INCREMENTAL=0 \
        cargo install "$crate@$version" --root "$TOOLS" --debug --locked --no-default-features --force ||
        die "cargo could not install $crate $version." "By hand: cargo install $crate@$version --locked"
}

# npm_packages: those of client/package-lock.json, exactly and with their hashes checked. npm ci removes what was there
# first, so that the copy of the lock, put there last, says that all of it is there.
#   hls.js    plays HLS where the browser does not do that itself: Chrome on most systems, Firefox
#   axe-core  the accessibility rules of the WCAG that a program can check, for a test (tests/tests/accessibility.rs)
#   whip-whep a WHEP client that is not ours, for a test (tests/tests/whep_client.rs)
npm_packages() {
    cmp -s client/package-lock.json client/node_modules/.installed && return
    heading "Installing npm packages into client/node_modules"
    # No package's own scripts run, and NODE_ENV leaves nothing out.
    (cd client && npm ci --include=dev --ignore-scripts --no-audit --no-fund --no-update-notifier) ||
        die "npm could not install the packages of client/package-lock.json." "By hand: cd client && npm ci"
    cp client/package-lock.json client/node_modules/.installed
}

./scripts/packages.sh "$what"
./scripts/rust.sh "$what"
[ "$what" = lint ] && exit

npm_packages
use_rust
tool trunk trunk "$TRUNK"
# It must be of the same version as the library in the client that it works on.
tool wasm-bindgen wasm-bindgen-cli "$(locked wasm-bindgen)"
case $what in deb | test) tool cargo-deb cargo-deb "$CARGO_DEB" ;; esac
[ "$what" != test ] || tool cargo-deny cargo-deny "$CARGO_DENY"
[ "$what" != fuzz ] || tool cargo-fuzz cargo-fuzz "$CARGO_FUZZ"
[ "$what" != test ] || tool geckodriver geckodriver "$GECKODRIVER"
rm -rf "$CACHE/build"
