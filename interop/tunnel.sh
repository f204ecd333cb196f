#!/usr/bin/env bash
# The example `tunnel` in front of servers that others wrote: Node's `ws`, Python's `websockets`,
# socket.io, Vite with a page in Chromium, and a daemon that answers as Docker's does.
#
# Usage: interop/tunnel.sh [ws|websockets|socketio|vite|docker]...
. "$(dirname "$0")/lib.sh"

# in_front: starts a tunnel to $address, which is then $upstream, and sets $address to its own.
in_front() {
  upstream="$address"
  start tunnel "http://$address"
  tunnel="${started[-1]}"
}

check() {
  timeout 60 "$@" || { tail -n +1 "$work"/*.log >&2; fail "$*"; }
}

# websocket NAME: clients of the server at $address, and a graceful shutdown.
websocket() {
  in_front
  check node interop/clients.cjs plain "ws://$address/ws"
  check "$python" interop/clients.py messages "ws://$address/ws"
  check node interop/tunnel/ws_client.cjs "$address" "$1" "$upstream" "$tunnel"
  ended "$tunnel"
  expect 'the tunnel ends' '5 connections finished, 0 were aborted' "$(tail -n 1 "$work/tunnel.log")"
}

ws() {
  serve ws node interop/tunnel/ws_server.cjs
  websocket ws
}

websockets() {
  serve websockets "$python" interop/tunnel/websockets_server.py
  websocket websockets
}

socketio() {
  serve socketio node interop/tunnel/socketio_server.cjs
  in_front
  check node interop/tunnel/socketio_client.cjs "$address"
}

vite() {
  need chromium chromium
  mkdir "$work/vite"
  build tunnel
  check node interop/tunnel/vite.cjs "$program" "$(command -v chromium)" "$work/vite"
}

docker() {
  serve daemon "$python" interop/tunnel/docker_daemon.py
  in_front
  check "$python" interop/tunnel/docker_client.py "$address"
  if ! type -P docker >/dev/null; then
    echo 'skipped docker: its client is not installed'
    return
  fi
  export DOCKER_CONFIG="$work/docker"
  expect 'docker: exec' $'hello\n6 bytes' \
    "$(echo hello | check docker -H "tcp://$address" exec -i x cat)"
  expect 'docker: attach' $'hello\n6 bytes' \
    "$(echo hello | check docker -H "tcp://$address" attach x)"
}

with_node ws@8.23.0 socket.io@4.8.4 socket.io-client@4.8.4 vite@8.3.8 playwright-core@1.65.1
with_python websockets==17.4
[ $# -gt 0 ] || set -- ws websockets socketio vite docker
for server in "$@"; do
  "$server"
done
[ "$failures" -eq 0 ]
