#!/usr/bin/env bash
# The example `chat` in a real browser: Debian's Chromium, driven by playwright-core.
#
# Usage: interop/browser.sh [tunnel] [SCREENSHOT.png]
#
# With `tunnel` the example of that name stands between the browser and the server.
. "$(dirname "$0")/lib.sh"

need chromium chromium
with_node playwright-core@1.65.1
tunnel=
if [ "${1-}" = tunnel ]; then
  shift
  build tunnel
  tunnel="$program"
fi
build chat
timeout 180 node interop/browser.cjs "$program" "$(command -v chromium)" "$tunnel" "${@:1:1}"
