#!/usr/bin/env bash
# The example `graceful` with 10,000 idle WebSockets over real sockets. SIGTERM closes all of them with
# code 1001. In a second run a tenth of the handlers are stuck, and are aborted at the deadline. In a third
# run one connection is moved on by its id, and the others over five seconds. Takes three quarters of a
# minute, and needs some 10,100 descriptors for each of two processes.
#
# Usage: interop/graceful.sh
. "$(dirname "$0")/lib.sh"

need python3 python3
build graceful
timeout 240 python3 interop/graceful.py "$program"
