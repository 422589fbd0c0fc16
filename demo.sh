#!/usr/bin/env bash
# Starts three gRPC services, sends one request through all of them, and shows what each of them saw of its deadline,
# its cancellation and its trace id. Installs what the build needs the first time (Debian packages; see tools/setup.sh).
#
#   ./demo.sh                                             a page of the shop, in time
#   ./demo.sh --inventory_delay=1s                        a slow service: the page comes all the same
#   ./demo.sh --inventory_delay=1s --nofallback           … or the error does
#   ./demo.sh --deadline=200ms --inventory_delay=2s --inventory_timeout=10s       a deadline stops all three
#   ./demo.sh --cancel_after=100ms --inventory_delay=2s --inventory_timeout=10s   so does a client that leaves
#   ./demo.sh --track                                     a stream, until its deadline or Ctrl-C
#   ./demo.sh --html=FILE                                 also writes what happened as a page for a browser
#   ./demo.sh --help                                      all flags
#
# The exit code is 0 when the request ended as the flags ask, with an error or without.
set -euo pipefail
from=$PWD  # what FILE is relative to
cd "$(dirname "${BASH_SOURCE[0]}")"

tools/setup.sh build >&2
mapfile -t by_version < <(tools/bazel_flags.sh)

# The build speaks only when it fails. The mode is the tests' own, so that each finds the other's objects.
log=$(mktemp "${TMPDIR:-/tmp}/tether-demo.XXXXXX")
trap 'rm -f "$log"' EXIT
[ -e bazel-bin/services/demo/demo ] || echo "demo: building; the first time takes a minute or two" >&2
if ! bazel build "${by_version[@]}" --noshow_progress --color=no //services/demo >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
folder=$(bazel info "${by_version[@]}" bazel-bin 2>"$log") || { cat "$log" >&2; exit 1; }
rm -f "$log"

cd "$from"
exec "$folder/services/demo/demo" "$@"
