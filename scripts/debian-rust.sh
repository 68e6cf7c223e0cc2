#!/usr/bin/env bash
# debian-rust.sh - installs Debian's Rust (rustc-web, which Debian updates for its browsers) with a standard library for
# wasm32, in $XDG_CACHE_HOME/sightline/debian-rust/bin. Run by rust.sh if rustup cannot download. Takes half a minute, once per
# version of Debian's compiler.
#
# Debian packages the sources of that standard library and of its dependencies, but no binary. cargo builds it
# (-Z build-std) into a sysroot with links to Debian's native standard library.
. "$(dirname "$0")/common.sh"

version_of() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || true; }
stamp() { echo "$(version_of rustc-web) $(version_of rust-web-src) layout 1"; }
built() { [ "$(cat "$DEBIAN_RUST/stamp" 2>/dev/null)" = "$(stamp)" ] && has_wasm_std "$DEBIAN_RUST/bin/rustc"; }

built && exit 0

have apt-get || die "this way needs Debian's packages, and there is no apt-get here."
./scripts/packages.sh apt rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web
found=$(/usr/bin/rustc --version | awk '{print $2}')
at_least "$found" "$RUST_VERSION" || die "Debian's rustc-web is $found here; Sightline needs $RUST_VERSION."
host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
./scripts/packages.sh apt "lld-$llvm"

heading "Building Rust's standard library for $WASM (rustc $found)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
: >"$work/src/lib.rs"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "stdonly"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
panic = "abort"
opt-level = "s"
codegen-units = 1
TOML
# -Cembed-bitcode: link-time optimisation requires it in the libraries.
# The clean environment excludes the user's cargo settings.
(cd "$work" && env -i PATH=/usr/bin:/bin HOME="$work" CARGO_TARGET_DIR="$work/target" RUSTC_BOOTSTRAP=1 \
    RUSTFLAGS='-Cembed-bitcode=yes --remap-path-prefix=/usr/src=/rustc' \
    cargo build --quiet --offline --release --target "$WASM" -Z build-std=std,panic_abort,test,proc_macro \
    --config 'source.crates-io.replace-with="vendored"' \
    --config 'source.vendored.directory="/usr/lib/rustlib/src/rust/library/vendor"' \
    --message-format=json >"$work/messages") || die "the standard library did not build."

new=$DEBIAN_RUST.new
rm -rf "$new"
mkdir -p "$new/bin" "$new/lib/rustlib/$WASM/lib" "$new/lib/rustlib/$host/bin"
# Copies every library that cargo reported.
grep -o '"/[^"]*\.\(rlib\|rmeta\)"' "$work/messages" | tr -d '"' | grep "/$WASM/" | grep -v stdonly | sort -u |
    xargs cp -t "$new/lib/rustlib/$WASM/lib"
ln -s "/usr/lib/rustlib/$host/lib" "$new/lib/rustlib/$host/lib"
ln -s /usr/lib/rustlib/src "$new/lib/rustlib/src"
# rustc calls `rust-lld -flavor wasm`, which LLVM's generic driver accepts.
ln -s "/usr/lib/llvm-$llvm/bin/lld" "$new/lib/rustlib/$host/bin/rust-lld"
for program in rustc rustdoc; do
    printf '#!/bin/sh\nexec /usr/bin/%s --sysroot "%s" "$@"\n' "$program" "$DEBIAN_RUST" >"$new/bin/$program"
    chmod +x "$new/bin/$program"
done
for program in cargo cargo-clippy clippy-driver cargo-fmt rustfmt; do ln -s "/usr/bin/$program" "$new/bin/$program"; done
stamp >"$new/stamp"
rm -rf "$DEBIAN_RUST"
mv "$new" "$DEBIAN_RUST"
has_wasm_std "$DEBIAN_RUST/bin/rustc" || die "the standard library built, but rustc does not find it in $DEBIAN_RUST."
