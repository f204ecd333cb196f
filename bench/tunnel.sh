#!/usr/bin/env bash
# Measures the example `tunnel` beside nginx and HAProxy, and writes bench/TUNNEL.md. Installs the two on
# Debian. Takes three minutes, and needs two cores, of which nobody else should use much.
source "$(dirname "$0")/../interop/lib.sh"

need nginx nginx-light
need haproxy haproxy
need taskset util-linux
need setpriv util-linux
need chrt util-linux

target="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --locked --release --all-features --example tunnel
cargo build --quiet --locked --release --manifest-path bench/Cargo.toml \
  --target-dir "$target/bench" --no-default-features --bin bench
# The client and the upstream are on one core, and each proxy has the other for itself.
taskset --cpu-list 1 "$target/bench/release/bench" tunnel "$target/release/examples/tunnel" bench/TUNNEL.md
