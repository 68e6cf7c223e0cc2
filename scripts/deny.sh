#!/usr/bin/env bash
# deny.sh - checks every crate in Cargo.lock against the licences and sources that deny.toml allows, and against the database
# of known vulnerabilities. Run by test.sh. If the database cannot be fetched, that check is skipped and counts as skipped.
. "$(dirname "$0")/common.sh"
use_rust

cargo deny check --hide-inclusion-graph licenses bans sources
if cargo deny fetch db; then
    cargo deny check --disable-fetch advisories
else
    say "SKIPPED: known faults (RustSec): their database cannot be fetched"
fi
