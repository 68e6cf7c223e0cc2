#!/usr/bin/env bash
# rust.sh demo|lint|deb|fuzz|test - installs, if missing, a sufficiently new Rust (rust-version in Cargo.toml) that can build
# for the browser. For lint and test also clippy and rustfmt. Run by install.sh. Uses the first of these that is suitable:
#   compiler: the Rust on PATH or in ~/.cargo · a toolchain added by rustup · rustup's installer · Debian's rustc-web
#   wasm32:   already there · rustup target add · standard library built from Debian's sources (debian-rust.sh)
. "$(dirname "$0")/common.sh"

PATIENCE=${SIGHTLINE_RUSTUP_TIMEOUT:-60} # time limit in seconds for a download by rustup, before the script tries another source
export RUSTUP_MAX_RETRIES=1

rustup_has() { have rustup || { PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH && have rustup; }; }

install_compiler() {
    if [ "${SIGHTLINE_RUST:-}" = debian ]; then
        ./scripts/debian-rust.sh && use_rust
        return
    elif rustup_has; then
        heading "Installing Rust $RUST_VERSION by rustup, beside the toolchains it has"
        timeout "$((PATIENCE * 5))" rustup toolchain install "$RUST_VERSION" --profile minimal -c clippy -c rustfmt &&
            use_rust && return
    else
        have curl || ./scripts/packages.sh apt curl
        local installer
        # The first redirects to the second. Some networks permit only one of them.
        for installer in https://sh.rustup.rs https://static.rust-lang.org/rustup/rustup-init.sh; do
            curl -sSfL --connect-timeout 5 --max-time 20 "$installer" -o "$TARGET_DIR/rustup.sh" 2>/dev/null || continue
            heading "Installing Rust by rustup's installer (https://rustup.rs) into ~/.cargo and ~/.rustup"
            timeout "$((PATIENCE * 5))" sh "$TARGET_DIR/rustup.sh" -y --no-modify-path --profile minimal \
                -c clippy -c rustfmt -t "$WASM" && use_rust && return
            break
        done
    fi
    say "rustup cannot download here; trying Debian's packages"
    ./scripts/debian-rust.sh && use_rust
}

install_wasm() {
    if [ "${SIGHTLINE_RUST:-}" != debian ] && have rustup && rustup which rustc >/dev/null 2>&1; then
        heading "Adding Rust's target $WASM by rustup"
        timeout "$PATIENCE" rustup target add "$WASM" && has_wasm_std rustc && return
        say "rustup could not; building its standard library from Debian's packages"
    fi
    ./scripts/debian-rust.sh && use_wasm_rust
}

mkdir -p "$TARGET_DIR"
use_rust || install_compiler || die "no Rust $RUST_VERSION or newer, and none could be installed." \
    "Install it from https://rustup.rs and run this again."
# After an update of Debian's compiler by apt, the standard library is rebuilt.
case $(command -v rustc) in "$DEBIAN_RUST"/*) ./scripts/debian-rust.sh ;; esac
use_wasm_rust || install_wasm || die "Rust cannot build for the browser here: the target $WASM is missing." \
    "Where rustup can download: rustup target add $WASM" \
    "On Debian 12 and 13, as root: apt-get install rustc-web cargo-web rust-web-src lld-22" \
    "With a Rust from another distribution's packages: its libstd-rust-dev-wasm32 and lld"

if [[ ${1:-} = @(lint|test) ]] && ! { cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1; then
    heading "Adding clippy and rustfmt by rustup"
    { have rustup && timeout "$PATIENCE" rustup component add clippy rustfmt; } ||
        die "Rust's linter or formatter is missing." "Install clippy and rustfmt the way Rust was installed here."
fi
