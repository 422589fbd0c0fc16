#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes the API reference, from the public headers, into build/reference/html. A warning of Doxygen is an error.
#
#   tools/reference.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -eq 0 ] || { echo "usage: tools/reference.sh" >&2; exit 2; }
tools/setup.sh reference

headers=()
while IFS= read -r file; do
  case "$file" in
    */testing/simulated_clock.h) headers+=("$file") ;;
    */internal/* | */testing/* | */fuzz/*) ;;
    *) [ ! -f "$file" ] || headers+=("$file") ;;
  esac
done < <(git ls-files --cached --others --exclude-standard -- 'lib/*.h' 'interceptors/*.h' 'observability/tether/*.h')

rm -rf build/reference
mkdir -p build/reference
{ cat docs/Doxyfile; echo "INPUT = docs/reference.dox ${headers[*]}"; } | doxygen -

# Checks that the page of an important class exists and has its comment.
page=build/reference/html/classtether_1_1Context.html
[ -f "$page" ] && grep "cheap to copy" "$page" >/dev/null || { echo "reference: the page of Context, or its comment, is missing" >&2; exit 1; }
echo "reference: ${#headers[@]} headers, build/reference/html/index.html"
