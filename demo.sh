#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts three gRPC services, sends one request through all of them, and shows the deadline, the cancellation and the trace
# id that each service saw. Installs the build's missing Debian packages on first use (see tools/setup.sh).
#
#   ./demo.sh                                             a page of the shop, on time
#   ./demo.sh --inventory_delay=1s                        a slow service: the page still arrives
#   ./demo.sh --inventory_delay=1s --nofallback           the same, but the error arrives
#   ./demo.sh --deadline=200ms --inventory_delay=2s --inventory_timeout=10s       a deadline stops all three services
#   ./demo.sh --cancel_after=100ms --inventory_delay=2s --inventory_timeout=10s   a client that leaves stops them too
#   ./demo.sh --track                                     a stream, until its deadline or Ctrl-C
#   ./demo.sh --live                                      keeps the services running, and shows them live; see docs/operations.md
#   ./demo.sh --live --faults                             the same, with faults to find
#   ./demo.sh --sidecar                                   services in Node, Python and C++ that don't know tether, behind sidecars,
#                                                         and without; see docs/sidecar.md
#   ./demo.sh --html=FILE                                 also writes the result as a page for a browser
#   ./demo.sh --help                                      all flags
#
# The exit code is 0 if the request ended as the flags require, even if that is an error.
set -euo pipefail
from=$PWD  # FILE is relative to this
cd "$(dirname "${BASH_SOURCE[0]}")"

groups=(build) targets=(//services/demo) program=demo options=()
if [ "${1-}" = --live ]; then
  shift
  groups+=(observability)
  targets=(//services/demo:live //observability/tetherctl)
  program=live
elif [ "${1-}" = --sidecar ]; then
  shift
  groups+=(sidecar)
  targets=(//services/demo:sidecar //sidecar:tether-sidecar)
  program=sidecar
  options=("--run=$PWD/sidecar/apps/run.sh")
fi
tools/setup.sh "${groups[@]}" >&2
mapfile -t by_version < <(tools/bazel_flags.sh)

# The build prints output only if it fails. It uses the tests' build mode, so the demo and the tests share objects.
log=$(mktemp "${TMPDIR:-/tmp}/tether-demo.XXXXXX")
trap 'rm -f "$log"' EXIT
[ -e "bazel-bin/services/demo/$program" ] || echo "demo: building; the first time takes a minute or two" >&2
if ! bazel build "${by_version[@]}" --noshow_progress --color=no "${targets[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
folder=$(bazel info "${by_version[@]}" bazel-bin 2>"$log") || { cat "$log" >&2; exit 1; }
rm -f "$log"
[ $program != live ] || options=("--tetherctl=$folder/observability/tetherctl/tetherctl")

cd "$from"
exec "$folder/services/demo/$program" "${options[@]}" "$@"
