#!/usr/bin/env bash
# A rolling restart: HAProxy in front of two instances of the example `graceful`, clients that hold
# WebSockets and reconnect, and clients that open one after the other. One instance is ended with
# SIGTERM and started again, then the other: no handshake fails, and every session ends with a
# close frame. Takes a few seconds.
#
# Usage: interop/haproxy.sh
. "$(dirname "$0")/lib.sh"

need haproxy haproxy
need python3 python3
build graceful
timeout 120 python3 interop/haproxy.py "$program"
