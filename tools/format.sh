#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Formats all C++ sources of the repository. With --check, lists the files that would change, and fails if there are any.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1-}" in
  "") options=(-i) ;;
  --check) options=(--dry-run --Werror) ;;
  *) echo "usage: tools/format.sh [--check]" >&2; exit 2 ;;
esac

# clang-format releases differ, so prefer the release that the repository was formatted with.
clang_format=$(command -v clang-format-14 || command -v clang-format) ||
  { echo "format: clang-format is missing; run tools/setup.sh" >&2; exit 1; }

# Includes new files that aren't tracked yet. Excludes deleted files that are still tracked.
git ls-files -z --cached --others --exclude-standard -- '*.h' '*.cc' |
  while IFS= read -r -d '' file; do
    if [ -f "$file" ]; then printf '%s\0' "$file"; fi
  done | xargs -0 -r "$clang_format" "${options[@]}"
