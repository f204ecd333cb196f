#!/usr/bin/env bash
# A rolling restart: HAProxy in front of two instances of the example `graceful`, clients that hold
# WebSockets and reconnect, and clients that open one after the other. One instance is ended with
# SIGTERM and started again, then the other: no handshake fails, and every session ends with a
# close frame. Takes a few seconds.
#
# Usage: interop/haproxy.sh
set -euo pipefail
cd "$(dirname "$0")/.."

for package in haproxy python3; do
  command -v "$package" >/dev/null ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"; } >&2
done
cargo build --quiet --locked --features websocket --example graceful
timeout 120 python3 interop/haproxy.py "${CARGO_TARGET_DIR:-target}/debug/examples/graceful"
