#!/usr/bin/env bash
# Counts what the layer costs, in instructions and in allocations, against a server without it: a table, with
# one line for each comparison. Needs valgrind. The start of the program is subtracted.
set -euo pipefail
cd "$(dirname "$0")/.."

times=1000
results=$(mktemp -d)
trap 'rm -r "$results"' EXIT
CARGO_PROFILE_BENCH_DEBUG=line-tables-only \
    cargo bench --quiet --no-run --features axum,websocket --bench instructions \
    --message-format json > "$results/build"
program=$(sed -n 's/.*"executable":"\([^"]*instructions-[^"]*\)".*/\1/p' "$results/build" | tail -1)

# Instructions and allocations of one run.
run() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2> "$results/callgrind"
    valgrind --leak-check=no "$program" "$@" 2> "$results/memcheck"
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$results/callgrind"
    sed -n 's/.*total heap usage: \([0-9,]*\) allocs.*/\1/p' "$results/memcheck" | tr -d ,
}

# What one more costs.
each() {
    local few many
    mapfile -t few < <(run "$@" "$times")
    mapfile -t many < <(run "$@" $((2 * times)))
    # Rounded: a few allocations come once in many times.
    echo $(((many[0] - few[0] + times / 2) / times)) $(((many[1] - few[1] + times / 2) / times))
}

printf '%-10s %-10s %12s %12s\n' counted side instructions allocations
for what in ${*:-handshake websocket message request offer axum places}; do
    sides=(without layer outermost)
    [ "$what" != places ] || sides=(without apart together around)
    for side in "${sides[@]}"; do
        read -r instructions allocations < <(each "$what" "$side")
        printf '%-10s %-10s %12d %12d\n' "$what" "$side" "$instructions" "$allocations"
    done
done
