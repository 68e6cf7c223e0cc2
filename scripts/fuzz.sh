#!/usr/bin/env bash
# fuzz.sh SECONDS [TARGET...] - builds the fuzz targets and runs each (or those named) for so long, as many at a time as
# there are cores. An input that fails is kept in target/fuzz/found: after the fix it goes into fuzz/seeds as a seed,
# which `cargo test` runs from then on. Run by `make fuzz`, which has installed what it takes.
. "$(dirname "$0")/common.sh"

seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(basename -s .rs fuzz/targets/*.rs)

use_rust || die "no Rust $RUST_VERSION or newer." "Run: ./scripts/install.sh fuzz"
export CARGO_TARGET_DIR=$TARGET_DIR/fuzz
# The versions that the relay is built with; libFuzzer is all that comes beside them.
cp Cargo.lock fuzz/Cargo.lock
# Without a sanitizer, which is for code that is unsafe and takes a nightly compiler: ours is not, and panics do.
# The target is named because Debian's Rust says its own in another way.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo fuzz build --fuzz-dir fuzz --sanitizer none --target "$host"

# What has been found interesting is where the next run begins, until `make clean`.
found=$CARGO_TARGET_DIR/found corpus=$CARGO_TARGET_DIR/corpus logs=$CARGO_TARGET_DIR/logs
mkdir -p "$found" "$logs"

# run TARGET: fuzzes it and says in a line how that went.
run() {
    local target=$1 log=$logs/$1.log
    mkdir -p "$corpus/$target"
    # An offer with all codecs has 8 KiB, a GOP of the seeds less; an input that takes ten seconds is a finding too.
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
