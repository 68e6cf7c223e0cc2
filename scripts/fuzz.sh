#!/usr/bin/env bash
# fuzz.sh SECONDS [TARGET...] - builds the fuzz targets and runs all of them, or the named ones, for this time each, in parallel
# on all cores. Failing inputs are stored in target/fuzz/found. After the fix, add the input to fuzz/seeds, where `cargo test`
# runs it. Run by `make fuzz`, which installs the tools first.
. "$(dirname "$0")/common.sh"

seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(basename -s .rs fuzz/targets/*.rs)

use_rust || die "no Rust $RUST_VERSION or newer." "Run: ./scripts/install.sh fuzz"
export CARGO_TARGET_DIR=$TARGET_DIR/fuzz
# Uses the relay's versions of all crates. Only libFuzzer is added.
cp Cargo.lock fuzz/Cargo.lock
# No sanitizer: it needs a nightly compiler and finds faults of unsafe code, which we do not have. Panics suffice.
# --target is explicit because Debian's Rust reports its own target differently.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo fuzz build --fuzz-dir fuzz --sanitizer none --target "$host"

# The next run starts from the corpus of this one, until `make clean`.
found=$CARGO_TARGET_DIR/found corpus=$CARGO_TARGET_DIR/corpus logs=$CARGO_TARGET_DIR/logs
mkdir -p "$found" "$logs"

# run TARGET: fuzzes a target and prints the result in one line.
run() {
    local target=$1 log=$logs/$1.log
    mkdir -p "$corpus/$target"
    # An offer with all codecs has 8 KiB, a GOP of the seeds less. An input that takes ten seconds is a failure as well.
    if "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$found/$target-" "$corpus/$target" "fuzz/seeds/$target" >"$log" 2>&1; then
        say "$target: $(sed -n 's/^Done \(.*\) in .*/\1/p' "$log"), $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
    else
        say "$target: FAILED, see $log"
        grep -a -m 1 -A 4 'panicked at\|ERROR:' "$log" | sed 's/^/        /'
        grep -a -o 'Test unit written to .*' "$log" | sed 's/^/        /'
        return 1
    fi
}
export -f run say
export seconds host found corpus logs
heading "Fuzzing ${#targets[@]} targets for $seconds s each"
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I '{}' bash -c 'set -euo pipefail; run {}'
