#!/usr/bin/env bash
# TLS against published clients. The example `tls`, which upgrades to it: CUPS (libcups and its program
# lpstat) and Python's ssl. The example `chat` with a certificate, which is HTTPS: curl.
#
# Usage: interop/tls.sh
. "$(dirname "$0")/lib.sh"

need curl curl
need openssl openssl
need python3 python3
need gcc gcc
need lpstat cups-client
[ -e /usr/include/cups/http.h ] || install libcups2-dev

curl() { command curl --silent --show-error --max-time 10 "$@"; }

openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$work/key.pem" -out "$work/certificate.pem" 2>"$work/openssl.log" ||
    fail "no certificate: $(cat "$work/openssl.log")"
gcc -Wall -Werror interop/cups.c -lcups -o "$work/cups"

# libcups keeps the certificates of servers that it has seen in the home directory.
cups() { HOME="$work" "$work/cups" "${address%:*}" "${address##*:}"; }
lpstat() { HOME="$work" command lpstat -E -h "$address" -r 2>&1; }

# RFC 2817.
start echo
expect 'libcups, of a server without TLS' 'no connection: Encryption is not supported.' \
    "$(cups || true)"
expect 'lpstat -E, of a server without TLS' 'scheduler is not running' \
    "$(lpstat)"

start tls "$work/certificate.pem" "$work/key.pem"
host="${address%:*}"
port="${address##*:}"
expect 'curl, which does not ask' 'GET /x: asked and answered in clear' "$(curl "http://$address/x")"
expect 'libcups, two requests' "encrypted 200 GET /one: asked and answered in TLS
encrypted 200 GET /two: asked and answered in TLS" "$(cups)"
expect 'lpstat -E' 'scheduler is running' "$(lpstat)"

# python VERSION METHOD TARGET [ALPN]: upgrades, and prints the version of TLS, the answer to the request that
# asked, and the answer to one that came in TLS.
python() {
    timeout 20 python3 - "$work/certificate.pem" "$host" "$port" "$@" <<'PYTHON'
import http.client, socket, ssl, sys

certificate, host, port, version, method, target, *alpn = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
if alpn:
    context.set_alpn_protocols(alpn)
io = socket.create_connection((host, int(port)), timeout=10)
io.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\n"
           "Upgrade: TLS/1.2\r\n\r\n".encode())
head = b""
while not head.endswith(b"\r\n\r\n"):
    # The rest belongs to TLS.
    head += io.recv(1)
assert head.startswith(b"HTTP/1.1 101 "), head
assert b"\r\nupgrade: TLS/1.2, HTTP/1.1\r\n" in head, head
try:
    io = context.wrap_socket(io, server_hostname="localhost")
except ssl.SSLError as error:
    # Not every version has a name for the alert.
    text = "no application protocol"
    sys.exit(print(text if text in str(error) else error))

def answer(method):
    response = http.client.HTTPResponse(io, method=method)
    response.begin()
    return response.read().decode().strip()

first = answer(method)
io.sendall(b"GET /two HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
print(io.version(), first, answer("GET"), sep=" | ")
assert io.recv(1) == b"", "the server did not close the connection"
PYTHON
}
second='GET /two: asked and answered in TLS'
expect 'Python, OPTIONS *, TLS 1.3' "TLSv1.3 | OPTIONS *: asked in clear, answered in TLS | $second" \
    "$(python TLSv1_3 OPTIONS '*')"
expect 'Python, GET, TLS 1.2' "TLSv1.2 | GET /one: asked in clear, answered in TLS | $second" \
    "$(python TLSv1_2 GET /one)"
expect 'Python, HEAD, TLS 1.3' "TLSv1.3 |  | $second" "$(python TLSv1_3 HEAD /one)"
for version in TLSv1_2 TLSv1_3; do
    expect "a client for https: that an attacker connects to the upgrade, $version" \
        'no application protocol' "$(python "$version" GET /evil http/1.1)"
done

# HTTPS.
start chat "$work/certificate.pem" "$work/key.pem"
url="https://$address"
curl() {
    command curl --silent --show-error --max-time 10 --cacert "$work/certificate.pem" -o "$work/page" \
        -w '%{http_version} %{http_code}' "$@"
}
expect 'curl, HTTP/2 by ALPN' '2 200' "$(curl "$url/")"
expect 'curl, HTTP/1.1' '1.1 200' "$(curl --http1.1 "$url/")"
expect 'curl, a WebSocket' 'HTTP/1.1 101' "$(command curl --silent --include --http1.1 --max-time 3 \
    --cacert "$work/certificate.pem" -H "Origin: $url" -H 'Connection: upgrade' -H 'Upgrade: websocket' \
    -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
    "$url/rooms/lobby" | head -c 12 || true)"
# Connections that do not even begin their handshake.
for _ in 1 2 3 4 5; do
    exec {silent}<>"/dev/tcp/${address%:*}/${address##*:}"
done
expect 'curl, beside clients that say nothing' '2 200' "$(curl "$url/")"

[ "$failures" -eq 0 ]
