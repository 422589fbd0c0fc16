#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests bazel_flags.sh with fake Bazels.
set -euo pipefail

flags=$PWD/tools/bazel_flags.sh
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/flags.XXXXXX")
failures=0
check() {  # check VERSION FLAGS
  printf '#!/bin/sh\n[ "$*" = --version ] && echo "%s"\n' "$1" >"$work/bazel"
  chmod +x "$work/bazel"
  local got
  got=$(PATH="$work:$PATH" bash "$flags" | tr '\n' ' ')
  [ "$got" = "$2" ] || { echo "FAILED: $1: '$got' instead of '$2'"; failures=$((failures + 1)); }
}

check "bazel no_version" ""  # Debian's Bazel 4.2
check "bazel 4.2.3" ""
check "bazel 6.5.0" ""
check "bazel 7.7.1" "--enable_workspace --noenable_bzlmod "
check "bazel 8.0.0rc1" "--enable_workspace --noenable_bzlmod "
check "bazel 10.0.0" "--enable_workspace --noenable_bzlmod "
exit $((failures > 0))
