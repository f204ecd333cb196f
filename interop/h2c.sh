#!/usr/bin/env bash
# Published clients against examples/h2c. Installs the clients, builds and starts the example on a free
# port, and fails if a client does not get exactly the expected answer.
#
# Usage: interop/h2c.sh [long]
#
# With `long`, each client repeats its uploads 30 times, and a client reads 4 MB at 10 kB a second. That
# takes seven minutes.
. "$(dirname "$0")/lib.sh"
# A check that fails is counted, and the script goes on.
set +e
failed=0
runs=3 rate=1000000
if [ "${1:-}" == long ]; then
    runs=30 rate=10000
fi

check() { # name expected actual
    if [ "$2" == "$3" ]; then
        echo "ok    $1"
    else
        echo "FAIL  $1"
        printf '  expected: %q\n  got:      %q\n' "$2" "$3"
        failed=1
    fi
}

need curl curl
need nghttp nghttp2-client
need h2load nghttp2-client
need javac default-jdk-headless
with_python h2==4.3.0
javac -d "$work" interop/H2cClient.java || exit 1
start h2c
url="http://$address"

for bytes in 0 1 65535 65536 65537 8388608; do
    head -c $bytes /dev/zero > "$work/$bytes"
done

# curl: one transfer after the other on one connection.
curl() { command curl -sS --max-time 20 "$@" 2>&1; }
check "curl GET" "GET /a HTTP/2.0 0" "$(curl --http2 "$url/a")"
check "curl GET in HTTP/1.1" "GET /a HTTP/1.1 0" "$(curl --http1.1 "$url/a")"
check "curl GET with prior knowledge" "GET /a HTTP/2.0 0" "$(curl --http2-prior-knowledge "$url/a")"
for bytes in 0 1 65535 65536; do
    check "curl POST of $bytes" "POST /b HTTP/2.0 $bytes" \
        "$(curl --http2 --data-binary "@$work/$bytes" "$url/b")"
done
check "curl POST of 65537 goes on in HTTP/1.1" "POST /b HTTP/1.1 65537" \
    "$(curl --http2 --data-binary "@$work/65537" "$url/b")"
check "curl POST, chunked" "POST /b HTTP/2.0 65535" \
    "$(curl --http2 -H 'Transfer-Encoding: chunked' --data-binary "@$work/65535" "$url/b")"
check "curl POST that waits for 100" "POST /b HTTP/2.0 65535" \
    "$(curl --http2 -H 'Expect: 100-continue' --data-binary "@$work/65535" "$url/b")"
check "curl OPTIONS *" "OPTIONS * HTTP/2.0 0" \
    "$(curl --http2 -X OPTIONS --request-target '*' "$url/")"
check "curl absolute-form" "GET /c HTTP/2.0 0" \
    "$(curl --http2 --request-target "$url/c" "$url/")"
check "curl HEAD" "HTTP/1.1 101 Switching Protocols|HTTP/2 200 |content-length: 22" \
    "$(curl --http2 -I "$url/head" | tr -d '\r' | grep -E '^(HTTP|content-length)' | paste -sd '|')"
check "curl, three URLs on one connection" \
    "GET /1 HTTP/2.0 0|1 GET /2 HTTP/2.0 0|0 GET /3 HTTP/2.0 0|0 " \
    "$(curl --http2 -w '%{num_connects} ' "$url/1" "$url/2" "$url/3" | paste -sd '|')"
check "curl, three posts on one connection" \
    "POST /1 HTTP/2.0 65535|1 POST /2 HTTP/2.0 65535|0 POST /3 HTTP/2.0 65535|0 " \
    "$(curl --http2 -w '%{num_connects} ' --data-binary "@$work/65535" "$url/1" "$url/2" "$url/3" |
        paste -sd '|')"
large=$(head -c 10000 /dev/zero | tr '\0' x)
check "curl, 10,000 bytes of cookies" "GET /a HTTP/2.0 0" \
    "$(curl --http2 -H "Cookie: a=$large" "$url/a")"
check "curl, 60,000 bytes of cookies" "GET /a HTTP/2.0 0" \
    "$(curl --http2 -H "Cookie: a=$large" -H "X-B: $large" -H "X-C: $large" -H "X-D: $large" \
        -H "X-E: $large" -H "X-F: $large" "$url/a")"

check "curl, a host that is percent-encoded" "GET /a HTTP/2.0 0" \
    "$(curl --http2 -H 'Host: %2ftmp%2fx.sock' "$url/a")"

# A second body on the connection, after an upgrade with a body.
uploads() {
    local run
    for run in $(seq "$runs"); do
        curl --http2 -d x "$url/one" --next --http2 -w '%{num_connects}\n' -T "$work/8388608" "$url/two"
    done | sort | uniq -c | tr -s ' ' | paste -sd '|'
}
check "curl, $runs uploads of 8 MB behind an upgrade with a body" \
    " $runs 0| $runs POST /one HTTP/2.0 1| $runs PUT /two HTTP/2.0 8388608" "$(uploads)"

# nghttp: concurrent streams, whose answers come in any order.
nghttp() { timeout 20 nghttp -u "$@" 2>&1; }
check "nghttp GET" "GET /a HTTP/2.0 0" "$(nghttp "$url/a")"
check "nghttp, five URLs" "$(seq 5 | sed 's|.*|GET /& HTTP/2.0 0|')" \
    "$(nghttp "$url/1" "$url/2" "$url/3" "$url/4" "$url/5" | sort)"
check "nghttp -d, 65,535" "POST /b HTTP/2.0 65535" "$(nghttp -d "$work/65535" "$url/b")"
# nghttp upgrades with OPTIONS if it has a body, and sends the body on stream 3.
check "nghttp -d, 65,536" "POST /b HTTP/2.0 65536" "$(nghttp -d "$work/65536" "$url/b")"
# A window of 15 bytes cannot hold an answer.
check "nghttp -w 4" "GET /a-path-that-is-longer-than-the-window HTTP/2.0 0" \
    "$(nghttp -w 4 -W 4 "$url/a-path-that-is-longer-than-the-window")"
check "nghttp -w 4 -d" "POST /a HTTP/2.0 65535" \
    "$(nghttp -w 4 -W 4 -d "$work/65535" "$url/a")"
check "nghttp sees SETTINGS first and one ACK" "SETTINGS, flags=0x00|SETTINGS, flags=0x01" \
    "$(nghttp -nv -d "$work/65536" "$url/a" |
        sed -n 's/.*recv \([A-Z_]*\) frame <length=[0-9]*\(, flags=0x0[01]\),.*/\1\2/p' |
        sed -n '1p; 2,${/^SETTINGS/p}' | paste -sd '|')"

# h2load cannot upgrade. It shows that prior knowledge works on the same port.
check "h2load with prior knowledge" "2000 total, 2000 started, 2000 done, 2000 succeeded" \
    "$(h2load -n 2000 -c 4 -m 10 "$url/load" | sed -n 's/^requests: \(.* succeeded\).*/\1/p')"

check "Java's HttpClient" "ok" "$(timeout 60 java -cp "$work" H2cClient "$url" 2>&1)"
check "Java's HttpClient, $runs times uploads of 8 MB behind an upgrade with a body" "ok" \
    "$(timeout 120 java -cp "$work" H2cClient "$url" "$runs" 2>&1)"
check "Python's h2" "ok" "$(timeout 60 "$python" interop/h2c_client.py "$url" 2>&1)"
check "a slow reader of 4 MB gets all of it through a drain" "ok" \
    "$(timeout 600 "$python" interop/h2c_slow.py "$program" "$rate" 2>>"$work/slow.log")"
cat "$work/slow.log"

if [ "$failed" -ne 0 ] && [ -f "$work/h2c.log" ]; then
    echo "The server said:"
    cat "$work/h2c.log"
fi
exit "$failed"
