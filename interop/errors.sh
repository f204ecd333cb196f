#!/usr/bin/env bash
# The compiler's messages for common mistakes with this crate. The compiler has to reject each program of
# interop/errors with the texts in its `//~` comments. A program whose name starts with `right_` has
# none, and has to compile.
#
# Usage: interop/errors.sh
. "$(dirname "$0")/lib.sh"

failures=0
for program in interop/errors/src/bin/*.rs; do
  name="$(basename "$program" .rs)"
  status=0
  cargo check --quiet --locked --manifest-path interop/errors/Cargo.toml \
    --target-dir "$tools/errors" --bin "$name" >"$work/log" 2>&1 || status=$?
  case "$name" in
    right_*) wanted=0 ;;
    *) wanted=101 ;;
  esac
  missing=
  while IFS= read -r text; do
    grep -qF -- "$text" "$work/log" || missing+="  $text"$'\n'
  done < <(sed -n 's|^//~ ||p' "$program")
  if [ "$status" -eq "$wanted" ] && [ -z "$missing" ]; then
    echo "ok      $name"
  else
    failures=$((failures + 1))
    printf 'FAILED  %s: status %s, missing:\n%s' "$name" "$status" "$missing"
    sed 's/^/    /' "$work/log"
  fi
done
[ "$failures" -eq 0 ]
