#!/usr/bin/env bash
# embed.sh - run by Trunk when it has built the client: puts the script of <sightline-player> beside it, which other pages
# load by a name that does not change.
set -euo pipefail
cd "$(dirname "$0")/.."

# one PATTERN: the name of the only file like this that Trunk has made.
one() {
    local files
    mapfile -t files < <(compgen -G "$TRUNK_STAGING_DIR/$1")
    [ "${#files[@]}" = 1 ] || { echo "embed.sh: not one $1 in $TRUNK_STAGING_DIR" >&2; exit 1; }
    basename "${files[0]}"
}

sed -e "s/CLIENT_JS/$(one 'sightline-client-*.js')/" -e "s/CLIENT_WASM/$(one 'sightline-client-*_bg.wasm')/" \
    -e "s/CLIENT_CSS/$(one 'style-*.css')/" client/embed/sightline-player.js >"$TRUNK_STAGING_DIR/sightline-player.js"
