#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the flags, one per line, that make this machine's Bazel use WORKSPACE and the system's packages. Bazel 4 to 6 need no
# flags, and would reject them. So the flags can't be in .bazelrc.
set -euo pipefail

version=$(bazel --version)  # "bazel 7.7.1"; Debian's Bazel 4 says "bazel no_version"
if [[ $version =~ ([0-9]+)\. ]] && [ "${BASH_REMATCH[1]}" -ge 7 ]; then
  printf '%s\n' --enable_workspace --noenable_bzlmod
fi
