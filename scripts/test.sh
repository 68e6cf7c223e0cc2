#!/usr/bin/env bash
# test.sh - every check there is, one after the other, each under a heading; a failing one does not stop the others.
# Run by `make test`, which has installed and built all that is needed. Ends with the sum of all tests on one line,
# `N passed, N failed, N skipped`, and fails if anything has failed.
#   test.sh lint - formatting and lints alone (`make lint`)
. "$(dirname "$0")/common.sh"

use_rust || die "no Rust $RUST_VERSION or newer." "Run: ./scripts/install.sh test"
logs=$TARGET_DIR/test-logs
mkdir -p "$logs"
rm -f "$logs"/*.log
failed=()
# How many end-to-end tests may fail once and pass when they run again.
AGAIN_AT_MOST=3
# With a terminal, Ctrl-C must reach what runs; without one, a time limit must end all that it started.
limit=(timeout --kill-after=10)
[ ! -t 0 ] || limit+=(--foreground)

# step NAME SECONDS COMMAND...: runs one check.
step() {
    local name=$1 seconds=$2 begun=$SECONDS
    shift 2
    heading "$name"
    if "${limit[@]}" "$seconds" "$@" 2>&1 | tee "$logs/${name//[^A-Za-z0-9]/-}.log"; then
        say "$name: passed in $((SECONDS - begun)) s"
    else
        say "$name: FAILED after $((SECONDS - begun)) s"
        failed+=("$name")
    fi
}

lint() {
    step "Formatting" 60 cargo fmt --all --check
    step "Lints, native" 600 cargo clippy --workspace --all-targets -- -D warnings
    step "Lints, wasm32" 600 ./scripts/client.sh cargo clippy -p sightline-client --target "$WASM" --all-targets -- -D warnings
    ! have shellcheck || step "Lints, scripts" 60 shellcheck -x -P SCRIPTDIR scripts/*.sh .ci/run
}

# in_browser NAME DRIVER-VARIABLE DRIVER: the client's unit tests in one browser; their runner looks for a driver in
# the environment and must find exactly one.
in_browser() {
    step "Client in $1" 600 env -u CHROMEDRIVER -u GECKODRIVER -u SAFARIDRIVER "$2=$(command -v "$3")" \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner WASM_BINDGEN_TEST_TIMEOUT=120 \
        ./scripts/client.sh cargo test -p sightline-client --target "$WASM" --no-fail-fast
}

# Adds up cargo's "test result:" lines. A test that says SKIPPED: has been counted by cargo as passed.
total() {
    cat "$logs"/*.log | awk -v broken="$1" '
        /^test result:/ { gsub(/;/, ""); for (i = 2; i <= NF; i++) n[$i] += $(i - 1) }
        /SKIPPED:/ { skipped++ }
        END {
            failures = n["failed"] > broken ? n["failed"] : broken
            printf "%d passed, %d failed, %d skipped\n", n["passed"] - skipped, failures, n["ignored"] + skipped
        }'
}

lint
if [ "${1:-}" != lint ]; then
    step "Unit and property tests" 900 cargo test --workspace --exclude sightline-tests --no-fail-fast
    in_browser Chromium CHROMEDRIVER chromedriver
    in_browser Firefox GECKODRIVER geckodriver
    step "Dependencies" 300 ./scripts/deny.sh
    step "Debian package" 120 ./scripts/deb.sh
    step "End to end" 2400 env SIGHTLINE_BIN="$(realpath "$TARGET_DIR/release/sightline")" \
        GECKODRIVER="$(command -v geckodriver)" SIGHTLINE_REQUIRE_BROWSERS=1 SIGHTLINE_TESTS_AGAIN=1 \
        cargo test -p sightline-tests --no-fail-fast -- --test-threads=1
fi

heading "Result"
# Three browsers and their encoders share a machine's cores with whatever else it does. What fails is told even so.
mapfile -t again < <(cat "$logs"/*.log | grep -o "AGAIN:.*")
if [ ${#again[@]} -gt 0 ]; then
    say "${#again[@]} failed, ran again and are to be looked into:"
    printf '        %s\n' "${again[@]}"
    [ ${#again[@]} -le "$AGAIN_AT_MOST" ] || failed+=("more than $AGAIN_AT_MOST ran again")
fi
[ ${#failed[@]} -eq 0 ] || printf '    FAILED: %s\n' "${failed[@]}"
[ "${1:-}" = lint ] || total "${#failed[@]}"
[ ${#failed[@]} -eq 0 ]
