#!/usr/bin/env bash
# embed.sh - run by Trunk after a build of the client. Adds hls.js and the script of <sightline-player>, which pages load by
# fixed names. Writes the build profile into the page (relay/build/client.rs reads it).
set -euo pipefail
cd "$(dirname "$0")/.."

# one PATTERN: prints the name of the only file of Trunk's output that matches.
one() {
    local files
    mapfile -t files < <(compgen -G "$TRUNK_STAGING_DIR/$1")
    [ "${#files[@]}" = 1 ] || { echo "embed.sh: not one $1 in $TRUNK_STAGING_DIR" >&2; exit 1; }
    basename "${files[0]}"
}

sed -e "s/CLIENT_JS/$(one 'sightline-client-*.js')/" -e "s/CLIENT_WASM/$(one 'sightline-client-*_bg.wasm')/" \
    -e "s/CLIENT_CSS/$(one 'style-*.css')/" client/embed/sightline-player.js >"$TRUNK_STAGING_DIR/sightline-player.js"

sed -i "s|<head>|&\n    <meta name=\"sightline-build\" content=\"$TRUNK_PROFILE\" />|" "$TRUNK_STAGING_DIR/index.html"

# The page loads hls.js by name when a viewer needs it. Its light build plays no audio renditions.
hls=client/node_modules/hls.js
[ -d "$hls" ] || { echo "embed.sh: npm's packages are missing; run: ./scripts/install.sh demo" >&2; exit 1; }
{
    printf '/*! hls.js %s, Apache-2.0 */\n' "$(sed -n 's/^  "version": "\(.*\)",*$/\1/p' $hls/package.json)"
    grep -v '^//# sourceMappingURL=' $hls/dist/hls.min.js
} >"$TRUNK_STAGING_DIR/hls.js"
