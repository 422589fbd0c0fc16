#!/usr/bin/env bash
# Builds and runs the tests, and installs what that needs the first time (Debian packages; see tools/setup.sh).
#
#   ./test.sh                            everything
#   ./test.sh //lib/...                  some of it
#   ./test.sh --config=asan //lib/...    with any options of "bazel test"
#
# The last line is "N passed, N failed", in test cases. The exit code is 0 only if some passed and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

flags=() patterns=()
for arg in "$@"; do
  case "$arg" in
    --*) flags+=("$arg") ;;
    *) patterns+=("$arg") ;;  # among them "-//some:target", which Bazel takes as "all but"
  esac
done
[ ${#patterns[@]} -gt 0 ] || patterns=(//...)

tools/setup.sh build
mapfile -t by_version < <(tools/bazel_flags.sh)

events=$(mktemp "${TMPDIR:-/tmp}/tether-test.XXXXXX")
trap 'rm -f "$events"' EXIT

# Where nobody watches, a line of progress now and then is enough.
[ -t 1 ] || flags=(--curses=no --noshow_loading_progress --show_progress_rate_limit=30 "${flags[@]}")

status=0
bazel test "${by_version[@]}" --keep_going --build_event_json_file="$events" "${flags[@]}" -- "${patterns[@]}" || status=$?

# Counting is the last thing to do, so that nothing is printed after its last line.
tools/count_tests.py --bazel_exit_code="$status" "$events"
