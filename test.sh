#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the tests. Installs missing Debian packages on first use (see tools/setup.sh).
#
#   ./test.sh                            everything
#   ./test.sh //lib/...                  some tests
#   ./test.sh --config=asan //lib/...    with any options of "bazel test"
#
# The last line is "N passed, N failed", in test cases. The exit code is 0 only if at least one passed and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

flags=() patterns=()
for arg in "$@"; do
  case "$arg" in
    --*) flags+=("$arg") ;;
    *) patterns+=("$arg") ;;  # also "-//some:target", which excludes a target
  esac
done
[ ${#patterns[@]} -gt 0 ] || patterns=(//...)

tools/setup.sh build
mapfile -t by_version < <(tools/bazel_flags.sh)

events=$(mktemp "${TMPDIR:-/tmp}/tether-test.XXXXXX")
trap 'rm -f "$events"' EXIT

# Without a terminal, print a line of progress now and then.
[ -t 1 ] || flags=(--curses=no --noshow_loading_progress --show_progress_rate_limit=30 "${flags[@]}")

status=0
bazel test "${by_version[@]}" --keep_going --build_event_json_file="$events" "${flags[@]}" -- "${patterns[@]}" || status=$?

# The count comes last, so that nothing is printed after its last line.
tools/count_tests.py --bazel_exit_code="$status" "$events"
