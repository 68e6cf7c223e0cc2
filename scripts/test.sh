#!/usr/bin/env bash
# test.sh - runs every check and test, each under a heading. A failure does not stop the others, and nothing is retried. Run by
# `make test`, which installs and builds the requirements. The last line is the sum of all tests, `N passed, N failed, N
# skipped`. Exits with an error if anything has failed.
#   test.sh lint    - formatting and lints alone (`make lint`)
#   test.sh quick   - formatting, lints, unit tests and one test in a browser (`make quick`)
#   test.sh only T  - the unit and end-to-end tests with T in their path (`make test T=hls`)
. "$(dirname "$0")/common.sh"

use_rust || die "no Rust $RUST_VERSION or newer." "Run: ./scripts/install.sh test"
what=${1:-all}
logs=$TARGET_DIR/test-logs
mkdir -p "$logs"
rm -f "$logs"/*
failed=()
# With a terminal, Ctrl-C must reach the command. Without one, the time limit must end the command's whole process group.
limit=(timeout --kill-after=10)
[ ! -t 0 ] || limit+=(--foreground)
# Tests of the protocol lane mostly wait, so several run at once. Timing tests have every core to themselves.
PROTOCOL_THREADS=${PROTOCOL_THREADS:-8}
records=$logs/records.jsonl

log_of() { echo "$logs/${1//[^A-Za-z0-9]/-}.log"; }

# GLib 2.74's message when it aborts WebKitGTK's web process: see CONTRIBUTING.md.
GLIB_ABORT="getauxval () failed: Interrupted system call"
known=0

# ended NAME BEGUN STATUS: prints the result of a check. Lanes determine the outcome of each of their tests.
ended() {
    if [ "$3" -eq 0 ]; then
        say "$1: passed in $((SECONDS - $2)) s"
    elif [ "$1" = "Client in WebKitGTK" ] && grep -qF "$GLIB_ABORT" "$(log_of "$1")"; then
        say "$1: KNOWN after $((SECONDS - $2)) s: $GLIB_ABORT"
        known=$((known + 1))
    else
        say "$1: FAILED after $((SECONDS - $2)) s"
        failed+=("$1")
    fi
}

# step NAME SECONDS COMMAND...: runs one check.
step() {
    local name=$1 seconds=$2 begun=$SECONDS status=0
    shift 2
    heading "$name"
    "${limit[@]}" "$seconds" "$@" 2>&1 | tee "$(log_of "$name")" || status=$?
    ended "$name" "$begun" "$status"
}

# beside NAME SECONDS COMMAND...: runs one check concurrently with the following steps, until `join`.
besides=()
beside() {
    local name=$1 seconds=$2
    shift 2
    timeout --kill-after=10 "$seconds" "$@" >"$(log_of "$name")" 2>&1 </dev/null &
    besides+=("$name|$SECONDS|$!")
}

# join: waits for the concurrent checks and prints their output.
join() {
    local item name begun pid status
    for item in "${besides[@]}"; do
        IFS='|' read -r name begun pid <<<"$item"
        status=0
        wait "$pid" || status=$?
        heading "$name"
        cat "$(log_of "$name")"
        ended "$name" "$begun" "$status"
    done
    besides=()
}

lint() {
    step "Formatting" 60 cargo fmt --all --check
    ! have shellcheck || beside "Lints, scripts" 60 shellcheck -x -P SCRIPTDIR scripts/*.sh .ci/run
    step "Lints, native" 600 cargo clippy --workspace --all-targets -- -D warnings
    step "Lints, wasm32" 600 ./scripts/client.sh cargo clippy -p sightline-client --target "$WASM" --all-targets -- -D warnings
    join
}

# Builds all tests with the features of the whole workspace, so that no crate is compiled twice.
unit() { step "Unit and property tests" 900 cargo test --workspace --lib --bins --no-fail-fast "$@"; }

# end_to_end ARGUMENT...: runs tests of tests/tests/e2e, selected by libtest's arguments.
end_to_end() { cargo test --workspace --test e2e --no-fail-fast -- "$@"; }
export -f end_to_end
# lane HOW NAME SECONDS ARGUMENT...: runs one lane, by `step` or `beside`.
lane() {
    local how=$1 name=$2 seconds=$3
    shift 3
    # shellcheck disable=SC2016
    "$how" "End to end, $name" "$seconds" bash -c 'end_to_end "$@"' - "$@"
}
e2e_environment() {
    SIGHTLINE_BIN=$(realpath "$TARGET_DIR/release/sightline")
    GECKODRIVER=$(command -v geckodriver)
    export SIGHTLINE_BIN GECKODRIVER SIGHTLINE_REQUIRE_BROWSERS=1 SIGHTLINE_TESTS_RECORDS=$records
}

report() {
    [ -s "$records" ] || return 0
    # Built with the end-to-end tests. `cargo run` would recompile its dependencies with the features of one package.
    step "Times and what did not pass" 60 "$TARGET_DIR/debug/report" "$records"
}

# outcomes WORD: counts the end-to-end tests with this outcome. The test's path is the second word of a line.
outcomes() { cat "$logs"/End-to-end*.log 2>/dev/null | awk -v word="$1:" '$1 == word && !seen[$2]++ { n++ } END { print n + 0 }'; }

# Sums cargo's "test result:" lines. Excused and skipped tests are subtracted from the passed ones.
total() {
    local inconclusive quarantined glib
    inconclusive=$(outcomes INCONCLUSIVE) quarantined=$(outcomes QUARANTINED) glib=$(outcomes KNOWN)
    local excused=$((inconclusive + quarantined + glib))
    [ $((excused + known)) -eq 0 ] ||
        say "not passed, not failed: $inconclusive inconclusive, $((glib + known)) known, $quarantined quarantined"
    find "$logs" -name '*.log' ! -name 'Times*' -exec cat {} + | awk -v broken="${#failed[@]}" -v excused="$excused" '
        /^test result:/ { gsub(/;/, ""); for (i = 2; i <= NF; i++) n[$i] += $(i - 1) }
        /SKIPPED: / { skipped++ }
        END {
            failures = n["failed"] > broken ? n["failed"] : broken
            printf "%d passed, %d failed, %d skipped\n", n["passed"] - excused - skipped, failures, n["ignored"] + skipped
        }'
}

case $what in
lint) lint ;;
quick)
    lint
    unit
    e2e_environment
    lane step "smoke test" 120 --exact browser::playback::h264_is_untouched_in_every_browser --test-threads=1
    ;;
only)
    unit "${2:?usage: test.sh only T}"
    e2e_environment
    lane step "$2" 3600 "$2" --test-threads=1
    report
    ;;
all)
    beside "Dependencies" 300 ./scripts/deny.sh
    lint
    beside "Debian package" 120 ./scripts/deb.sh
    unit
    join
    step "Client in Chromium" 600 ./scripts/client.sh test chromium
    beside "Client in Firefox" 600 ./scripts/client.sh test firefox
    step "Client in WebKitGTK" 600 ./scripts/client.sh test webkit
    join
    e2e_environment
    # Alone: cameras and attacks that use all of the processor would take it from browsers that decode.
    # The longest waits begin first: absent cameras, restarts and clock changes.
    lane beside outages 1800 unbreakable:: --test-threads=1
    lane step protocol 1800 --skip browser:: --skip timing:: --skip unbreakable:: --test-threads="$PROTOCOL_THREADS"
    join
    # Two halves of the browser tests. Three browsers leave a core idle while the test waits.
    lane beside "one browser, plain client" 1800 one_browser:: plain_client::browser:: --skip timing:: --test-threads=1
    lane step browser 2400 browser:: --skip one_browser:: --skip plain_client:: --skip timing:: --test-threads=1
    join
    # They wait for media most of the time, and leave the cores to each other.
    lane step "timing without a browser" 600 audio::timing:: flow::timing:: hls::timing:: sub_streams::timing:: --test-threads=5
    # Each has a sound card and a Chromium of its own, which decodes one small stream.
    lane step "timing of sound" 900 timing::sound:: timing::hls_sound:: timing::webrtc_sound:: --test-threads=3
    lane step timing 1800 timing:: --skip audio:: --skip flow:: --skip hls::timing:: --skip sub_streams:: --skip sound:: \
        --test-threads=1
    report
    ;;
*) die "usage: test.sh [lint|quick|only T]" ;;
esac

heading "Result"
[ ${#failed[@]} -eq 0 ] || printf '    FAILED: %s\n' "${failed[@]}"
[ "$what" = lint ] || total
[ ${#failed[@]} -eq 0 ]
