#!/usr/bin/env bash
# Formats all C++ sources of the repository; with --check only says which ones would change, and fails if any would.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1-}" in
  "") options=(-i) ;;
  --check) options=(--dry-run --Werror) ;;
  *) echo "usage: tools/format.sh [--check]" >&2; exit 2 ;;
esac

# Releases format differently: take the one that the repository was formatted with where it is installed.
clang_format=$(command -v clang-format-14 || command -v clang-format) ||
  { echo "format: clang-format is missing; run tools/setup.sh" >&2; exit 1; }

# New files that aren't tracked yet count too; deleted ones that still are don't.
git ls-files -z --cached --others --exclude-standard -- '*.h' '*.cc' |
  while IFS= read -r -d '' file; do
    if [ -f "$file" ]; then printf '%s\0' "$file"; fi
  done | xargs -0 -r "$clang_format" "${options[@]}"
