#!/usr/bin/env bash
# demo.sh - runs the relay that make has built, in the foreground. Run by `make demo`.
#   PORT    its port on 127.0.0.1 (default: 8080)
#   CONFIG  a configuration file with your cameras (default: the built-in demo streams)
. "$(dirname "$0")/common.sh"

arguments=(--listen "127.0.0.1:${PORT:-8080}")
if [ -n "${CONFIG:-}" ]; then arguments+=(--config "$CONFIG"); else arguments+=(--demo); fi
exec "$TARGET_DIR/release/sightline" "${arguments[@]}"
