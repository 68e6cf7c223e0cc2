# shellcheck shell=bash
# common.sh - sourced by every other script: paths, output functions, choice of the Rust toolchain.
#
# Environment variables:
#   XDG_CACHE_HOME    tools and a wasm32 standard library are installed into $XDG_CACHE_HOME/sightline
#   CARGO_TARGET_DIR  cargo's target folder (default: target)
#   SIGHTLINE_RUST    "debian": use Debian's rustc-web even if another Rust is suitable
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sightline
TOOLS=$CACHE/tools                # cargo install --root
DEBIAN_RUST=$CACHE/debian-rust    # made by debian-rust.sh: Debian's compiler with a wasm32 standard library
TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$TARGET_DIR
WASM=wasm32-unknown-unknown
RUST_VERSION=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)

# Some distributions omit the sbin folders from PATH. Our own tools take precedence.
PATH=$TOOLS/bin:$PATH:/usr/sbin:/sbin
# A check such as `rustc --version` must not start a download.
export RUSTUP_AUTO_INSTALL=0

have() { command -v "$1" >/dev/null 2>&1; }
heading() { printf '\n==> %s\n' "$*"; }
say() { printf '    %s\n' "$*"; }
die() {
    printf '\nsightline: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '    %s\n' "$@" >&2
    exit 1
}

# at_least FOUND WANTED: compares dotted versions.
at_least() { [ -n "$1" ] && [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# rust_version [PATH]: prints the version of the rustc in PATH, if PATH also contains cargo.
rust_version() {
    PATH=${1:-$PATH} command -v cargo >/dev/null 2>&1 || return 0
    PATH=${1:-$PATH} rustc --version 2>/dev/null | awk '{print $2}'
}

# use_rust: adds a sufficiently new Rust to this process's PATH. Fails if the machine has none.
use_rust() {
    if [ "${SIGHTLINE_RUST:-}" != debian ]; then
        at_least "$(rust_version)" "$RUST_VERSION" && return
        local cargo_bin=${CARGO_HOME:-$HOME/.cargo}/bin
        if at_least "$(rust_version "$cargo_bin:$PATH")" "$RUST_VERSION"; then
            PATH=$cargo_bin:$PATH
            return
        fi
        # The toolchain that rust.sh adds to an older default.
        if at_least "$(RUSTUP_TOOLCHAIN=$RUST_VERSION rust_version "$cargo_bin:$PATH")" "$RUST_VERSION"; then
            PATH=$cargo_bin:$PATH
            export RUSTUP_TOOLCHAIN=$RUST_VERSION
            return
        fi
    fi
    [ -x "$DEBIAN_RUST/bin/cargo" ] && use_debian_rust && at_least "$(rust_version)" "$RUST_VERSION"
}

# has_wasm_std RUSTC: whether that compiler can build programs and tests for the browser.
has_wasm_std() {
    local libs
    libs=$("$1" --print target-libdir --target "$WASM" 2>/dev/null) &&
        compgen -G "$libs/libcore-*.rlib" >/dev/null && compgen -G "$libs/libtest-*.rlib" >/dev/null
}

use_debian_rust() {
    PATH=$DEBIAN_RUST/bin:$PATH
    export SYSROOT=$DEBIAN_RUST # clippy reads its sysroot from this variable, not from rustc
}

# use_wasm_rust: as use_rust, for builds for the browser. They have a separate target folder, so that they and native builds
# neither block nor rebuild each other.
use_wasm_rust() {
    use_rust || return
    export CARGO_TARGET_DIR=$TARGET_DIR/client
    has_wasm_std rustc && return
    [ -x "$DEBIAN_RUST/bin/rustc" ] && use_debian_rust && has_wasm_std rustc
}

# locked CRATE: prints the version of a crate in Cargo.lock.
locked() { awk -v name="\"$1\"" '$1 == "name" { hit = $3 == name } hit && $1 == "version" { gsub(/"/, "", $3); print $3; exit }' Cargo.lock; }
