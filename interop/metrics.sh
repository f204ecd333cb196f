#!/usr/bin/env bash
# The metrics of one run of the example `graceful`, as Prometheus sees them. Fails if they are not those in
# the documentation (`src/guide/operating.rs`).
#
# Usage: interop/metrics.sh           checks
#        interop/metrics.sh --print   prints the metrics
. "$(dirname "$0")/lib.sh"

need python3 python3
build graceful
timeout 120 python3 interop/metrics.py "$program" >"$work/metrics"
if [ "${1-}" = --print ]; then
    cat "$work/metrics"
    exit
fi
sed -n 's|^//! \(http_upgrade[^ ]* [0-9]*\)$|\1|p' src/guide/operating.rs >"$work/documented"
diff "$work/documented" "$work/metrics" ||
    fail "src/guide/operating.rs has other metrics: interop/metrics.sh --print"
echo "ok      the metrics in the documentation are those of a run"
