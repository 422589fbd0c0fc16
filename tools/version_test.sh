#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks that the modules have the version of lib/tether/version.h.
#   tools/version_test.sh MODULE.bazel…    from tether's root
set -euo pipefail

# part NAME: prints one number of version.h.
part() { sed -n "s/^#define TETHER_VERSION_$1 \([0-9]*\)$/\1/p" lib/tether/version.h; }
version=$(part MAJOR).$(part MINOR).$(part PATCH)
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "version.h has no version: $version"; exit 1; }

failures=0
check() {  # check FILE: checks that the file names this version of tether
  # Join the lines of the file, because a call may span several.
  tr '\n' ' ' <"$1" | grep -Eq "(module|bazel_dep)\( *name = \"tether\", *version = \"${version//./\\.}\"" ||
    { echo "FAILED: $1 doesn't have version $version"; failures=$((failures + 1)); }
}
[ $# -gt 0 ] || { echo "no files"; exit 1; }
for file in "$@"; do check "$file"; done
exit $((failures > 0))
