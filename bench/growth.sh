#!/usr/bin/env bash
# Counts what this crate costs as connections, registrations and headers grow, and writes bench/GROWTH.md. Fails if a
# curve is not straight. Takes five minutes after the build, and 3 GB for a million connections over pipes.
#
#     bench/growth.sh quick    up to 10,000 connections, instructions only, and no page
source "$(dirname "$0")/../interop/lib.sh"

need valgrind valgrind
need taskset util-linux
# 9,000 connections with both ends in one process.
ulimit -n 20000 || ulimit -n "$(ulimit -Hn)"

target="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --locked --release --manifest-path bench/Cargo.toml \
  --target-dir "$target/bench" --no-default-features --features growth --bins
file=(bench/GROWTH.md)
[ "${1-}" != quick ] || file=()
"$target/bench/release/bench" growth "$target/bench/release/growing" "${file[@]}"
