#!/usr/bin/env bash
# Runs fuzz targets, one on each core, each for so many seconds (30 by default), on the stable compiler:
# the coverage that libFuzzer goes by comes from an LLVM pass that every rustc has. New inputs stay in
# target/fuzz/TARGET/corpus, and those that fail in target/fuzz/TARGET/artifacts. Fails at the first.
#
# Usage: fuzz/run.sh [TARGET|all] [SECONDS [LIBFUZZER-OPTION...]]
# One input again: fuzz/run.sh TARGET 0 FILE
set -euo pipefail
cd "$(dirname "$0")/.."

targets=("${1:-all}")
seconds="${2:-30}"
options=("${@:3}")
[ "${targets[0]}" != all ] || targets=($(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml))

# libFuzzer is C++.
if ! command -v c++ >/dev/null; then
  [ "$(id -u)" -eq 0 ] || { echo "c++ is needed" >&2; exit 1; }
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends g++; } >/dev/null
fi

# As `cargo fuzz build --sanitizer none` does. With a target, build scripts are not instrumented.
host="$(rustc -vV | sed -n 's/^host: //p')"
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1"
bins=()
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml --target-dir target/fuzz/build \
  --target "$host" "${bins[@]}"

# run TARGET: fails with the end of its log.
run() {
  local target="$1" binary work
  binary="$PWD/target/fuzz/build/$host/release/$target"
  work="$PWD/target/fuzz/$target"
  mkdir -p "$work/corpus" "$work/artifacts" "fuzz/corpus/$target"
  if [ "$seconds" -eq 0 ]; then
    "$binary" "${options[@]}"
    return
  fi
  if ! "$binary" "$work/corpus" "fuzz/corpus/$target" -max_total_time="$seconds" -max_len=2048 \
    -len_control=10 -timeout=60 -rss_limit_mb=2048 -artifact_prefix="$work/artifacts/" \
    "${options[@]}" >"$work/log" 2>&1; then
    tail -60 "$work/log"
    echo "FAILED: $target. Again: fuzz/run.sh $target 0 $(ls -t "$work/artifacts"/* | head -1)"
    return 1
  fi
  echo "ok      $target: $(grep -E '^#.*(cov|ft):' "$work/log" | tail -1 | tr -s ' \t' ' ' | cut -d' ' -f1-6), $(tail -1 "$work/log")"
}

running=0
for target in "${targets[@]}"; do
  if [ "$running" -eq "$(nproc)" ]; then
    wait -n
    running=$((running - 1))
  fi
  run "$target" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
  wait -n
  running=$((running - 1))
done
