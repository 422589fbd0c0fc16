#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of tether's lib and interceptors with MODULE.bazel, which needs Bazel 7 or newer, and with the system's
# packages ("tools/setup.sh build" installs them). Users' workspaces are in integration_tests/newcomer_test.sh.
#
#   packaging/module_test.sh               all of them
#   packaging/module_test.sh //lib/...     some
#
# The last line is "N passed, N failed". The exit code is 0 only if at least one passed and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/tether-module.XXXXXX")")
bazel() { command bazel --output_user_root="$work/bazel" "$@"; }
finish() {
  # Otherwise the Bazel server would stay for hours, and its outputs forever.
  bazel shutdown >/dev/null 2>&1 || true
  chmod -R u+w "$work/bazel" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

tools/system_registry.py "$work/registry" packaging/bazel/MODULE.bazel
# Otherwise Bazel 7 would also read WORKSPACE, or a default one.
flags=(--registry="file://$work/registry" --noenable_workspace --lockfile_mode=off)
[ $# -gt 0 ] || set -- //lib/... //interceptors/...
status=0
bazel test "${flags[@]}" --noshow_progress --keep_going --build_event_json_file="$work/events" "$@" ||
  status=$?
tools/count_tests.py --bazel_exit_code="$status" "$work/events"
