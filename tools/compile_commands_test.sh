#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks that the commands from tools/compile_commands.sh compile, for a source of each kind.
set -euo pipefail
cd "$(dirname "$(realpath README.md)")"  # the source tree, of which Bazel knows nothing

folder=${TEST_TMPDIR:-$(mktemp -d)}
tools/compile_commands.sh "$folder"
for file in lib/tether/select.cc lib/tether/coroutine_test.cc services/hop_event.cc proto/none.cc; do
  command=$(python3 -c '
import json, shlex, sys
found = [e for e in json.load(open(sys.argv[1])) if e["file"] == sys.argv[2]]
print(" ".join(map(shlex.quote, ["c++", "-fsyntax-only"] + found[0]["arguments"][1:])) if found else "")
' "$folder/compile_commands.json" "$file")
  if [ "$file" = proto/none.cc ]; then
    [ -z "$command" ] || { echo "FAILED: a command for a file that doesn't exist" >&2; exit 1; }
    continue
  fi
  [ -n "$command" ] || { echo "FAILED: no command for $file" >&2; exit 1; }
  eval "$command" || { echo "FAILED: $command" >&2; exit 1; }
done
# The standard is the BUILD file's.
grep -A7 '"lib/tether/coroutine_test.cc"' "$folder/compile_commands.json" | grep -q -e -std=c++20
