#!/usr/bin/env bash
# The log and the metrics of one run of the example `graceful`. Fails if they are not those in the
# documentation (`src/guide/operating.rs`), but for times.
#
# Usage: interop/operating.sh           checks
#        interop/operating.sh --print   prints both
. "$(dirname "$0")/lib.sh"

need python3 python3
build graceful
timeout 120 python3 interop/operating.py "$program" "$work/metrics" "$work/log"
if [ "${1-}" = --print ]; then
    cat "$work/log" "$work/metrics"
    exit
fi
without_times() {
    sed 's/duration=[0-9.]*[^0-9 ]*s/duration=/'
}
sed -n 's|^//! \(http_upgrade[^ ]* [0-9]*\)$|\1|p' src/guide/operating.rs >"$work/documented"
diff "$work/documented" "$work/metrics" ||
    fail "src/guide/operating.rs has other metrics: interop/operating.sh --print"
sed -n 's|^//! \( *[A-Z]* .*tower_upgrade: .*\)$|\1|p' src/guide/operating.rs | without_times >"$work/documented"
diff "$work/documented" <(without_times <"$work/log") ||
    fail "src/guide/operating.rs has another log: interop/operating.sh --print"
echo "ok      the log and the metrics in the documentation are those of a run"
