#!/usr/bin/env bash
# The example `chat` over TLS and HTTP/2: Debian's Chromium and Firefox, driven by puppeteer-core.
#
# Usage: interop/browser_http2.sh
. "$(dirname "$0")/lib.sh"

need chromium chromium
need firefox-esr firefox-esr
need openssl openssl
with_node puppeteer-core@24.43.1
build chat

cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj '/CN=localhost' \
  -addext 'subjectAltName = IP:127.0.0.1' -keyout key.pem -out certificate.pem 2>openssl.log ||
  fail "no certificate: $(cat openssl.log)"
spki="$(openssl pkey -in key.pem -pubout -outform der | openssl dgst -sha256 -binary | base64)"
cd "$OLDPWD"

browse() { # puppeteer's name, command
  timeout --kill-after 5 120 node interop/browser_http2.cjs "$1" "$(command -v "$2")" "$program" \
    "$work/certificate.pem" "$work/key.pem" "$spki" || fail "$2"
}
browse chrome chromium
browse firefox firefox-esr
