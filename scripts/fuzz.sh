#!/usr/bin/env bash
# fuzz.sh [TARGET…]: builds the fuzz targets and runs each, all unless some are named, for FUZZ_SECONDS (default 10). An
# input that breaks one is kept in DROVER_CACHE/fuzz/findings; the corpus grows in DROVER_CACHE/fuzz/corpus.
# To see one again: DROVER_CACHE/fuzz/target/TRIPLE/release/TARGET FILE
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
cache=${DROVER_CACHE:-$HOME/.cache/drover}/fuzz
seconds=${FUZZ_SECONDS:-10}
manifest=$here/fuzz/Cargo.toml
triple=$(rustc -vV | sed -n 's/^host: //p')

# What cargo-fuzz would pass, but for the sanitizers, which stable Rust does not have. With --target, build scripts and
# macros are compiled without.
flags=(--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares)
export CARGO_TARGET_DIR=$cache/target
RUSTFLAGS="${flags[*]}" cargo build --locked --release --bins --target "$triple" --manifest-path "$manifest"
programs=$CARGO_TARGET_DIR/$triple/release

names=$("$programs/seeds" "$cache/seeds")
mapfile -t known <<<"$names"
targets=("$@")
((${#targets[@]})) || targets=("${known[@]}")
mkdir -p "$cache/findings"

# Runs one target; its log tells the rest.
fuzz() {
  local target=$1
  mkdir -p "$cache/corpus/$target"
  # New inputs go into the first folder.
  "$programs/$target" "$cache/corpus/$target" "$cache/seeds/$target" -max_total_time="$seconds" -max_len=4096 \
    -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$cache/findings/$target-" -print_final_stats=1 \
    >"$cache/$target.log" 2>&1
}

failed=()
# As many at a time as there are cores: a target has one thread.
cores=$(nproc)
for ((first = 0; first < ${#targets[@]}; first += cores)); do
  running=()
  for target in "${targets[@]:first:cores}"; do
    echo "==> fuzz $target, $seconds s"
    fuzz "$target" &
    running+=("$!:$target")
  done
  for one in "${running[@]}"; do
    target=${one#*:}
    if wait "${one%%:*}"; then
      sed -n "s/^stat::number_of_executed_units: */    $target: runs: /p" "$cache/$target.log"
    else
      failed+=("$target")
      tail -n 40 "$cache/$target.log" >&2
    fi
  done
done
((${#failed[@]} == 0)) || { echo "fuzz: failed: ${failed[*]}; the inputs are in $cache/findings" >&2; exit 1; }
