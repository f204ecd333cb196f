#!/usr/bin/env bash
# The example `graceful` with 10,000 idle WebSockets, over real sockets: SIGTERM closes every one of
# them with code 1001, and where a tenth of the handlers are stuck, those are aborted at the
# deadline. Takes half a minute; needs some 10,100 descriptors for each of two processes.
#
# Usage: interop/graceful.sh
set -euo pipefail
cd "$(dirname "$0")/.."

command -v python3 >/dev/null || { apt-get update -qq && apt-get install -y -qq python3; } >&2
cargo build --quiet --locked --features websocket --example graceful
timeout 180 python3 interop/graceful.py "${CARGO_TARGET_DIR:-target}/debug/examples/graceful"
