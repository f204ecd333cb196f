#!/usr/bin/env bash
# Published clients against the example `echo`: curl, bash, Python's http.client and Node's http.
#
# Usage: interop/echo.sh
. "$(dirname "$0")/lib.sh"

need curl curl
need python3 python3
need node nodejs
start echo
url="http://$address"
host="${address%:*}"
port="${address##*:}"

curl() { command curl --silent --show-error --max-time 10 "$@"; }

expect 'curl without an offer' plain "$(curl "$url/")"
expect 'curl --http2, whose offer no handler takes' 'plain 1.1' \
    "$(curl --http2 -w ' %{http_version}' "$url/")"
expect 'curl with a body and an offer' plain \
    "$(curl -H 'Connection: upgrade' -H 'Upgrade: echo' -d hello "$url/")"

status='%{http_code} %header{upgrade} %{http_version}'
expect 'curl, where an upgrade is demanded' '426 websocket, echo, shout/2 1.1' \
    "$(curl -o /dev/null -w "$status" "$url/required")"
expect 'curl in HTTP/1.0, which has no upgrade' '505  1' \
    "$(curl --http1.0 -o /dev/null -w "$status" "$url/required")"

# bash: sends its standard input, and prints the status line and this many bytes after the head.
talk() {
    exec 3<>"/dev/tcp/$host/$port"
    cat >&3
    IFS= read -r -t 10 line <&3
    echo "${line%$'\r'}"
    while [ "$line" != $'\r' ]; do IFS= read -r -t 10 line <&3; done
    timeout 10 head -c "$1" <&3
    exec 3>&-
}
offer() { printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: %s\r\n\r\n' "$1"; }
switched='HTTP/1.1 101 Switching Protocols'
expect 'bash, echo' "$switched"$'\nhello' "$({ offer echo; printf hello; } | talk 5)"
expect 'bash, shout in version 2 of two' "$switched"$'\nHELLO' \
    "$({ offer 'shout/1, shout/2'; printf hello; } | talk 5)"
expect 'bash, shout in version 1, which is not served' $'HTTP/1.1 200 OK\nplain' \
    "$(offer shout/1 | talk 5)"

expect 'Python, http.client' "101 shout/2 HELLO" "$(python3 - "$host" "$port" <<'PYTHON'
import http.client, sys

connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
connection.request("GET", "/", headers={"Connection": "upgrade", "Upgrade": "shout/1, shout/2"})
# getresponse() would look for a body after the 101, so the script reads the socket.
stream = connection.sock.makefile("rb")
status = stream.readline().split()[1].decode()
headers = http.client.parse_headers(stream)
connection.sock.sendall(b"hello")
print(status, headers["upgrade"], stream.read(5).decode())
PYTHON
)"

expect 'Python, which upgrades after a 426 on the same connection' \
    "426 websocket, echo, shout/2 upgrade 101 echo hello" "$(python3 - "$host" "$port" <<'PYTHON'
import http.client, sys

connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
connection.request("GET", "/required")
first = connection.sock
demand = connection.getresponse()
demand.read()
connection.request("GET", "/required", headers={"Connection": "upgrade", "Upgrade": "echo"})
assert connection.sock is first, "the connection was closed"
stream = first.makefile("rb")
status = stream.readline().split()[1].decode()
headers = http.client.parse_headers(stream)
first.sendall(b"hello")
print(demand.status, demand.headers["upgrade"], demand.headers["connection"],
      status, headers["upgrade"], stream.read(5).decode())
PYTHON
)"

expect 'Node, http' '101 echo early and late' "$(node - "$host" "$port" <<'NODE'
const http = require('node:http');
const [host, port] = process.argv.slice(2);
const request = http.request({ host, port, headers: { connection: 'upgrade', upgrade: 'echo' } });
request.on('upgrade', (response, socket, head) => {
  let text = head.toString();
  socket.write('early and late');
  socket.on('data', (bytes) => {
    text += bytes;
    if (text.length === 14) {
      console.log(response.statusCode, response.headers.upgrade, text);
      socket.end();
    }
  });
});
request.on('response', (response) => { throw new Error(`no upgrade: ${response.statusCode}`); });
request.setTimeout(10000, () => { throw new Error('timed out'); });
request.end();
NODE
)"

[ "$failures" -eq 0 ]
