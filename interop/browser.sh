#!/usr/bin/env bash
# The example `chat` in a real browser: Debian's Chromium, driven by playwright-core.
#
# Usage: interop/browser.sh [SCREENSHOT.png]
. "$(dirname "$0")/lib.sh"

need chromium chromium
with_node playwright-core@1.65.1
build chat
timeout 180 node interop/browser.cjs "$program" "$(command -v chromium)" "${@:1:1}"
