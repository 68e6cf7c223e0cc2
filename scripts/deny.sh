#!/usr/bin/env bash
# deny.sh - whether everything in Cargo.lock has a licence and a source that deny.toml allows, and none has a known fault. Run by
# test.sh. Where the database of known faults cannot be had, that part is skipped, which the sum of tests counts.
. "$(dirname "$0")/common.sh"
use_rust

cargo deny check --hide-inclusion-graph licenses bans sources
if cargo deny fetch db; then
    cargo deny check --disable-fetch advisories
else
    say "SKIPPED: known faults (RustSec): their database cannot be fetched"
fi
