# Shared by the scripts in this directory, which source it. Cleans up when they exit.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools="$PWD/target/interop"
work="$(mktemp -d)"
started=()
mkdir -p "$tools"

cleanup() {
  local pid
  for pid in "${started[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# install PACKAGE...: Debian packages.
install() {
  [ "$(id -u)" -eq 0 ] || fail "$* is needed: install it, or run this as root on Debian"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } \
    </dev/null >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; fail "cannot install $*"; }
}

# need COMMAND PACKAGE: installs the Debian package if the command is not there.
need() {
  command -v "$1" >/dev/null || install "$2"
}

# with_python PACKAGE==VERSION...: makes an environment that has them, and sets $python.
with_python() {
  need python3 python3
  if ! [ -x "$tools/venv/bin/pip" ]; then
    # On Debian, environments need a package of their own.
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    python3 -m venv --clear "$tools/venv"
  fi
  python="$tools/venv/bin/python"
  "$python" -m pip install -q --disable-pip-version-check --root-user-action ignore "$@"
}

# with_node PACKAGE@VERSION...: installs them where `require` finds them.
with_node() {
  need node nodejs
  need npm npm
  local log="$work/npm.log"
  npm install --no-audit --no-fund --no-save --prefix "$tools" "$@" >"$log" 2>&1 ||
    { cat "$log" >&2; fail "cannot install $*"; }
  export NODE_PATH="$tools/node_modules"
}

# build EXAMPLE: builds it, and sets $program.
build() {
  cargo build --quiet --locked --all-features --example "$1"
  program="${CARGO_TARGET_DIR:-$PWD/target}/debug/examples/$1"
}

# start EXAMPLE [ARGUMENT...]: runs it on a port of its choice, and sets $address once it listens there.
start() {
  build "$1"
  serve "$1" "$program" 127.0.0.1:0 "${@:2}"
}

# serve NAME COMMAND...: runs it, and sets $address once it says where it listens.
serve() {
  # The loop may read it before the program's shell has opened it.
  : >"$work/$1.log"
  "${@:2}" >"$work/$1.log" 2>&1 &
  local pid=$! deadline=$((SECONDS + 20))
  # Without this, the shell reports that the program was killed.
  disown "$pid"
  started+=("$pid")
  until address="$(sed -n 's|^listening on https\{0,1\}://||p' "$work/$1.log")" && [ -n "$address" ]; do
    kill -0 "$pid" 2>/dev/null || fail "$1 ended: $(cat "$work/$1.log")"
    [ "$SECONDS" -lt "$deadline" ] || fail "$1 does not listen"
    sleep 0.05
  done
}

# ended PID: waits until that process has ended.
ended() {
  local deadline=$((SECONDS + 20))
  while kill -0 "$1" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || fail "process $1 does not end"
    sleep 0.05
  done
}

# expect WHAT EXPECTED GOT: prints whether they are the same, and counts in $failures.
failures=0
expect() {
  if [ "$2" = "$3" ]; then
    echo "ok      $1"
  else
    failures=$((failures + 1))
    printf 'FAILED  %s\n  expected %q\n  got      %q\n' "$1" "$2" "$3"
  fi
}
