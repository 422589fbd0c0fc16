#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs clang-tidy with the checks of .clang-tidy on the libraries' sources.
#
#   tools/tidy.sh
#
# clang-tidy spends most of its time on headers, and would parse them again for each source. So all sources of a library are
# combined into one file, as in a unity build. The bridge to OpenTelemetry is checked if its packages are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -eq 0 ] || { echo "usage: tools/tidy.sh" >&2; exit 2; }
tools/setup.sh tidy

# clang-tidy releases have different checks, so prefer the release for which the list was made.
clang_tidy=$(command -v clang-tidy-14 || command -v clang-tidy)
work=$(mktemp -d "${TMPDIR:-/tmp}/tether-tidy.XXXXXX")
trap 'rm -rf "$work"' EXIT
protoc -Iproto --cpp_out="$work" proto/tether/v1/*.proto
protoc -Iproto --grpc_out="$work" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" proto/tether/v1/inspector.proto
cp .clang-tidy "$work"

sources() { git ls-files --cached --others --exclude-standard -- "$1/*.cc" | grep -Ev '_test\.cc$|/testing/|/fuzz/|/print_metric_table\.cc$' | missing; }
# missing: leaves out what needs packages that this machine lacks.
missing() {
  local without=nothing
  [ -f /usr/include/civetweb.h ] || without+='|/status_(page|routes)\.'
  [ -d /usr/include/prometheus ] || without+='|/prometheus\.'
  # Its names are those of other sources, and all are compiled together.
  without+='|observability/opentelemetry'
  grep -Ev "$without"
}
libraries=(lib/tether interceptors/tether/grpc observability/tether/observability)
[ ! -d /usr/include/opentelemetry ] || libraries+=(interceptors/tether/opentelemetry)

jobs=()
for library in "${libraries[@]}"; do
  name=${library//\//_}
  while IFS= read -r file; do
    [ ! -f "$file" ] || echo "#include \"$file\""
  done < <(sources "$library") >"$work/$name.cc"
  "$clang_tidy" --quiet "$work/$name.cc" -- -std=c++17 -Ilib -Iinterceptors -Iobservability -I. -isystem "$work" >"$work/$name.log" 2>&1 &
  jobs+=("$!")
done

status=0
for i in "${!jobs[@]}"; do
  name=${libraries[$i]//\//_}
  count=$(wc -l <"$work/$name.cc")
  if wait "${jobs[$i]}" && [ "$count" -gt 0 ]; then
    echo "tidy: ${libraries[$i]}: $count sources"
  else
    status=1
    cat "$work/$name.log"
    echo "tidy: ${libraries[$i]}: FAILED" >&2
  fi
done
exit "$status"
