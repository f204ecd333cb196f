#!/usr/bin/env bash
# A rolling restart: HAProxy in front of two instances of the example `graceful`. Some clients hold
# WebSockets and reconnect, and others open one after the other. The script ends one instance with SIGTERM
# and starts it again, and then the other. No handshake may fail, and every session has to end with a
# close frame. Takes a few seconds.
#
# Usage: interop/haproxy.sh
. "$(dirname "$0")/lib.sh"

need haproxy haproxy
need python3 python3
build graceful
timeout 120 python3 interop/haproxy.py "$program"
