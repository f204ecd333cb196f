#!/usr/bin/env bash
# Clients of all kinds at the same time, for 60 seconds or as many as are given: upgrades, with bodies and
# through a tunnel, refusals, plain requests, HTTP/2 by upgrade, extended CONNECT, one byte a second, aborted
# handshakes, resets, and layers that are drained over a second and replaced. Fails if the server's memory or
# descriptors grow, or if it counts a failure that was not injected.
#
# With VALGRIND=1 the server runs under memcheck, and may not lose any memory.
#
# Usage: interop/soak.sh [SECONDS]
. "$(dirname "$0")/lib.sh"

seconds="${1:-60}"
need python3 python3
build soak_server
command=("$program")
if [ -n "${VALGRIND:-}" ]; then
  need valgrind valgrind
  command=(valgrind --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite
    --error-exitcode=9 --log-file="$work/valgrind.log" "$program")
fi
: >"$work/server.log"
"${command[@]}" 127.0.0.1:0 >"$work/server.log" 2>&1 &
pid=$!
started+=("$pid")
until address="$(sed -n 's|^listening on http://||p' "$work/server.log")" && [ -n "$address" ]; do
  kill -0 "$pid" || fail "the server ended: $(cat "$work/server.log")"
  sleep 0.1
done
python3 interop/soak.py "${address##*:}" "$pid" "$seconds" || fail "$(cat "$work/server.log")"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
[ -z "${VALGRIND:-}" ] || cat "$work/valgrind.log"
[ "$status" -eq 0 ] || fail "the server ended with $status: $(cat "$work/server.log")"
[ "$(wc -l <"$work/server.log")" -eq 1 ] || fail "the server printed: $(cat "$work/server.log")"
