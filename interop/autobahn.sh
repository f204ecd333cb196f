#!/usr/bin/env bash
# Autobahn's cases, driven by kosoku as the client, against `/ws` of the example `echo`.
#
# Usage: interop/autobahn.sh
#
# Groups 12 and 13 are left out: they are about compression, which the example does not agree to.
. "$(dirname "$0")/lib.sh"

with_python kosoku==0.1.0
start echo
timeout 240 "$tools/venv/bin/kosoku" --outdir "$work/report" --exclude '12.*' --exclude '13.*' \
  "$address/ws" >"$work/kosoku.log" 2>&1 || { tail -20 "$work/kosoku.log" >&2; fail "kosoku"; }
"$python" interop/autobahn.py "$work/report/index.json"
