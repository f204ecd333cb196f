#!/usr/bin/env bash
# WebSocket and other protocols by extended CONNECT: clients of HTTP/2 that others wrote, against the
# example `echo`, in cleartext with prior knowledge.
#
# Usage: interop/http2.sh
. "$(dirname "$0")/lib.sh"

with_python h2==4.3.0 wsproto==1.3.2
with_node ws@8.23.0
start echo
timeout 60 "$python" interop/http2_client.py "$address" || fail "Python's h2"
timeout 60 node interop/http2_client.cjs "$address" || fail "Node's http2"

# It is Python's second reset. A reset with CANCEL is EOF to the handler.
failures="$(grep -c '^websocket: the upgraded connection ended with an error: stream error' "$work/echo.log")"
[ "$failures" -eq 1 ] || fail "a reset is not in the log: $(cat "$work/echo.log")"
others="$(grep -v -e '^websocket: .*stream error' -e '^listening on ' "$work/echo.log" || true)"
[ -z "$others" ] || fail "the server's log has more than the reset: $others"
