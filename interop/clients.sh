#!/usr/bin/env bash
# WebSocket clients that others wrote, against `/ws` of the example `echo`, and with compression
# against `/yawc` of the example `frames`.
#
# Each sends its first message in the same packet as the handshake, then texts, bytes and a large
# message, and closes; every message has to come back, and the close code too. With compression each
# runs once for every parameter of permessage-deflate that it can ask for.
#
# Usage: interop/clients.sh
. "$(dirname "$0")/lib.sh"

with_node ws@8.23.0
with_python websockets==17.4
build tungstenite_client
client="$program"

start echo
timeout 60 node interop/clients.cjs plain "ws://$address/ws" || fail "Node's ws"
timeout 60 "$python" interop/clients.py plain "ws://$address/ws" || fail "Python's websockets"
timeout 60 "$client" "$address" || fail "tokio-tungstenite"

start frames
timeout 60 node interop/clients.cjs deflate "ws://$address/yawc" ||
  fail "Node's ws with compression"
timeout 60 "$python" interop/clients.py deflate "ws://$address/yawc" ||
  fail "Python's websockets with compression"
