#!/usr/bin/env bash
# Prints the flags, one a line, by which this machine's Bazel takes WORKSPACE and the system's packages: none for Bazel 4
# to 6, which know nothing else, and would reject the flags. So they can't stand in .bazelrc.
set -euo pipefail

version=$(bazel --version)  # "bazel 7.7.1"; Debian's Bazel 4 says "bazel no_version"
if [[ $version =~ ([0-9]+)\. ]] && [ "${BASH_REMATCH[1]}" -ge 7 ]; then
  printf '%s\n' --enable_workspace --noenable_bzlmod
fi
