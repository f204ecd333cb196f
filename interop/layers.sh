#!/usr/bin/env bash
# Published layers around an UpgradeLayer. Builds and runs interop/layers, which fails if the outcome of
# a switch is not the one in its tables. Its output has to be the README there.
#
# Usage: interop/layers.sh            checks
#        interop/layers.sh --update   writes the README
. "$(dirname "$0")/lib.sh"

page="$work/layers.md"
cargo run --quiet --locked --manifest-path interop/layers/Cargo.toml --target-dir "$tools/layers" \
    >"$page"
if [ "${1-}" = --update ]; then
    cp "$page" interop/layers/README.md
fi
diff "$page" interop/layers/README.md ||
    fail "interop/layers/README.md is out of date: interop/layers.sh --update"
sed -n 5p "$page"
