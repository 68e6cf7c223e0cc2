#!/usr/bin/env bash
# deb.sh - packages the relay that `make relay` has built for Debian, in target/debian, and checks the package's contents by
# unpacking it. Run by `make deb` and `make test`.
. "$(dirname "$0")/common.sh"

use_rust || die "no Rust $RUST_VERSION or newer." "Run: ./scripts/install.sh deb"
have cargo-deb || die "cargo-deb is missing." "Run: ./scripts/install.sh deb"
built=$TARGET_DIR/release/sightline
[ -x "$built" ] || die "there is no relay to package." "Run: make relay"

heading "Debian package"
papers=$TARGET_DIR/release/packaging
rm -rf "$papers" "$TARGET_DIR/debian"
"$built" man "$papers/man"
gzip -9 --no-name "$papers"/man/*
"$built" completions bash >"$papers/sightline"
"$built" completions zsh >"$papers/_sightline"
"$built" completions fish >"$papers/sightline.fish"
cargo deb --quiet --no-build --package sightline-relay --output "$TARGET_DIR/debian/" >/dev/null

found=("$TARGET_DIR"/debian/sightline_*.deb)
package=${found[0]}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dpkg-deb --extract "$package" "$work"
dpkg-deb --control "$package" "$work/control"
has() { [ -f "$work/$1" ] || die "the package lacks /$1."; }

[ "$("$work/usr/bin/sightline" --version)" = "$("$built" --version)" ] || die "the program in the package does not run."
unit=$work/usr/lib/systemd/system/sightline.service
has usr/lib/systemd/system/sightline.service
started=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$unit")
[ -x "$work/$started" ] || die "the unit starts $started, which the package does not bring."
grep -q "ExecStart=$started --config /etc/sightline/sightline.toml" "$unit" || die "the unit reads another configuration."
grep -qx /etc/sightline/sightline.toml "$work/control/conffiles" || die "an upgrade would overwrite the configuration."
# Not grep -q, which ends before its input does.
dpkg-deb --contents "$package" | grep '^-rw-r----- .*/etc/sightline/sightline.toml$' >/dev/null ||
    die "every account could read the configuration."
grep -q '^User=sightline$' "$unit" || die "the unit has another account than the configuration's group."
grep -q 'useradd --system' "$work/control/postinst" || die "nothing creates the service's account."
grep -q 'deb-systemd-helper' "$work/control/postinst" || die "the package's postinst does not know the unit."
grep -q '^Depends: .*ffmpeg' "$work/control/control" || die "the package does not depend on ffmpeg."
for script in postinst prerm postrm; do [ -x "$work/control/$script" ] || die "the package lacks its $script for systemd."; done
has usr/share/man/man1/sightline.1.gz
has usr/share/bash-completion/completions/sightline
has usr/share/zsh/vendor-completions/_sightline
has usr/share/fish/vendor_completions.d/sightline.fish
has usr/share/doc/sightline/examples/fail2ban/sightline.conf
say "$package, $(du -k "$package" | cut -f1) KiB"
