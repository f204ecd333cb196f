#!/usr/bin/env bash
# Autobahn's cases, driven by kosoku as the client: groups 1 to 10 against `/ws` of the example
# `echo`, and groups 12 and 13, which are about compression, against `/yawc` of the example `frames`.
#
# Usage: interop/autobahn.sh [tunnel] [all]
#
# With `tunnel` the example of that name stands in front of the others.
#
# `all` runs every case of groups 12 and 13, which takes many minutes. The default is their messages
# of 16 and 1,024 bytes, and those of 8,192 bytes in fragments of 256.
. "$(dirname "$0")/lib.sh"

with_python kosoku==0.1.0

# run NAME URL OPTION...: runs the cases that the options select, and judges their results.
run() {
  local name="$1" url="$2"
  shift 2
  timeout "$limit" "$tools/venv/bin/kosoku" --outdir "$work/$name" "$@" "$url" \
    >"$work/kosoku.log" 2>&1 || { tail -20 "$work/kosoku.log" >&2; fail "kosoku"; }
  "$python" interop/autobahn.py "$work/$name/index.json" "$name"
}

behind=
[ "${1:-}" != tunnel ] || { behind=tunnel; shift; }

# serving EXAMPLE: starts it, behind a tunnel if there is to be one.
serving() {
  start "$1"
  [ -z "$behind" ] || start "$behind" "http://$address"
}

limit=240
serving echo
run framing "$address/ws" --exclude '12.*' --exclude '13.*'

serving frames
if [ "${1:-}" = all ]; then
  limit=3600
  run deflate "$address/yawc" --include '12.*' --include '13.*'
else
  some=()
  # One by one: `12.*.1` includes 12.1.18 too.
  for case in 12.{1..5}.{1,4,11} 13.{1..7}.{1,4,11}; do
    some+=(--include "$case")
  done
  run some-deflate "$address/yawc" "${some[@]}"
fi
