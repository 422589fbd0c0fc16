#!/usr/bin/env bash
# The version is said in lib/tether/version.h; modules repeat it.
#   tools/version_test.sh MODULE.bazel…    from tether's root
set -euo pipefail

# part NAME: one number of version.h.
part() { sed -n "s/^#define TETHER_VERSION_$1 \([0-9]*\)$/\1/p" lib/tether/version.h; }
version=$(part MAJOR).$(part MINOR).$(part PATCH)
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "version.h has no version: $version"; exit 1; }

failures=0
check() {  # check FILE: that what it says of tether's version is that
  # The lines of a file, in one, so that a call may be on several.
  tr '\n' ' ' <"$1" | grep -Eq "(module|bazel_dep)\( *name = \"tether\", *version = \"${version//./\\.}\"" ||
    { echo "FAILED: $1 doesn't have version $version"; failures=$((failures + 1)); }
}
[ $# -gt 0 ] || { echo "no files"; exit 1; }
for file in "$@"; do check "$file"; done
exit $((failures > 0))
