#!/usr/bin/env bash
# Measures this crate beside its peers, and writes bench/RESULTS.md and two plots. Takes 15 minutes after the build, and needs
# two cores, of which nobody else should use much.
#
#     bench/run.sh [PEER...]    only these peers
source "$(dirname "$0")/../interop/lib.sh"

need valgrind valgrind
need taskset util-linux
need setpriv util-linux
need chrt util-linux
with_node ws@8

# 10,000 connections, in the server and in the client.
ulimit -n 20000 || ulimit -n "$(ulimit -Hn)"

target="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --locked --release --manifest-path bench/Cargo.toml \
  --target-dir "$target/bench" --features rama
# The client is on one core, and each server has the other for itself.
taskset --cpu-list 1 "$target/bench/release/bench" peers bench "$@"
