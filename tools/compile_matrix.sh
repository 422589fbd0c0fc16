#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles tether with strict options, with each installed compiler or with the named ones.
#
#   tools/compile_matrix.sh                      g++, clang++, and all their installed versions
#   tools/compile_matrix.sh g++-16 clang++-22    these
#
# With each compiler, all with -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror:
#
#  - each public header separately, as C++17 (as C++20 for the two that need it)
#  - all public headers together, as C++20 and C++23
#  - each source of the libraries, as C++17
#  - all sources of a library in one file, like a unity build
#  - all public headers without exceptions, as a user's program may include them
#  - each public header as C++14: the compiler must say that a newer standard is needed
#  - the sources without exceptions and without RTTI (above: without exceptions; gRPC's own headers need RTTI)
#
# Nothing is linked or run. Warnings in system headers don't count. The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compilers=("$@")
if [ $# -eq 0 ]; then
  for compiler in g++ clang++ $(compgen -c | grep -E '^(g|clang)\+\+-[0-9]+$' | sort -u); do
    command -v "$compiler" >/dev/null || continue
    # A compiler with two names counts once.
    path=$(realpath "$(command -v "$compiler")")
    [[ " ${paths[*]-} " == *" $path "* ]] || { compilers+=("$compiler"); paths+=("$path"); }
  done
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/tether-matrix.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/proto" "$work/cases"
[ ${#compilers[@]} -gt 0 ] || { echo "compile_matrix: no compiler found" >&2; exit 1; }
protoc -Iproto --cpp_out="$work/proto" proto/tether/v1/*.proto
protoc -Iproto --grpc_out="$work/proto" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" proto/tether/v1/inspector.proto

is_public() { [[ $1 != */internal/* && $1 != */testing/* && $1 != */fuzz/* && ! $1 =~ $manual ]]; }
# What needs packages besides gRPC.
manual="opentelemetry|/prometheus\.|/status_"
headers=() sources_lib=() sources_grpc=()
while IFS= read -r file; do
  [[ ! $file =~ $manual ]] || continue
  case "$file" in
    *_test.cc | */testing/* | */fuzz/* | */print_metric_table.cc) ;;
    lib/*.cc) sources_lib+=("$file") ;;
    interceptors/*.cc | observability/*.cc) sources_grpc+=("$file") ;;
    *.h) ! is_public "$file" || headers+=("$file") ;;
  esac
done < <(git ls-files --cached --others --exclude-standard -- 'lib/*.cc' 'lib/*.h' 'interceptors/*.cc' 'interceptors/*.h' 'observability/tether/*.cc' 'observability/tether/*.h')
must_fail="-Wfatal-errors -DTETHER_MUST_NAME_ITS_STANDARD" # for cases that must fail, at the first error
any_standard=" lib/tether/version.h "
needs_20=" lib/tether/coroutine.h lib/tether/stop_token.h "

# The path that a user includes.
include() { local path=${1#lib/}; path=${path#interceptors/}; echo "#include \"${path#observability/}\""; }
all() { local file; for file in "$@"; do include "$file"; done; }
for header in "${headers[@]}"; do include "$header" >"$work/$(tr / _ <<<"$header").cc"; done
all "${headers[@]}" >"$work/all_headers.cc"
printf '#include "%s"\n' "${sources_lib[@]}" >"$work/unity_lib.cc"
printf '#include "%s"\n' "${sources_grpc[@]}" >"$work/unity_grpc.cc"

# case COMPILER FLAGS FILE: queues a compilation, to run in parallel later.
count=0
new_case() { count=$((count + 1)); printf '%s\n' "$@" >"$work/cases/$count"; }
for compiler in "${compilers[@]}"; do
  knows() { "$compiler" "-std=$1" -fsyntax-only -x c++ /dev/null 2>/dev/null; }
  for header in "${headers[@]}"; do
    standard=c++17
    [[ $needs_20 != *" $header "* ]] || standard=c++20
    new_case "$compiler" "-std=$standard" "$work/$(tr / _ <<<"$header").cc"
  done
  for standard in c++20 c++23; do
    ! knows "$standard" || new_case "$compiler" "-std=$standard" "$work/all_headers.cc"
  done
  for source in "${sources_lib[@]}" "${sources_grpc[@]}"; do new_case "$compiler" -std=c++17 "$source"; done
  new_case "$compiler" "-std=c++20 -fno-exceptions" "$work/all_headers.cc"
  for header in "${headers[@]}"; do
    [[ $any_standard == *" $header "* ]] || new_case "$compiler" "-std=c++14 $must_fail" "$work/$(tr / _ <<<"$header").cc"
  done
  new_case "$compiler" -std=c++17 "$work/unity_lib.cc"
  new_case "$compiler" -std=c++17 "$work/unity_grpc.cc"
  new_case "$compiler" "-std=c++17 -fno-exceptions -fno-rtti" "$work/unity_lib.cc"
  new_case "$compiler" "-std=c++17 -fno-exceptions" "$work/unity_grpc.cc"
done

cat >"$work/run" <<'END'
{ read -r compiler; read -r flags; read -r file; } <"$2"
# Protobuf's generated code isn't checked.
# shellcheck disable=SC2086  # a list of words on purpose
if ! $compiler $flags -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Ilib -Iinterceptors -Iobservability -I. \
  -isystem "$1/proto" "$file" >"$2.log" 2>&1; then
  if [[ $flags == *TETHER_MUST_NAME_ITS_STANDARD* ]]; then
    abseil="C++ versions less than C++17 are not supported"
    first=$(grep -E ": (fatal )?error: " "$2.log" | sed -n 1p)
    # Newer Abseil says it, too, and may be the first.
    if [[ $first =~ "tether needs C++17"|"compile with -std=c++20"|"$abseil" ]]; then : >"$2.log"; fi
  fi
  if [ -s "$2.log" ]; then
    echo "FAILED: $compiler $flags ${file#"$1/"}"
    head -n 30 "$2.log"
  fi
elif [[ $flags == *TETHER_MUST_NAME_ITS_STANDARD* ]]; then
  echo "FAILED: $compiler $flags ${file#"$1/"} compiles" | tee "$2.log"
fi
[ -s "$2.log" ] || touch "$2.passed"
END
seq "$count" | sed "s|^|$work/cases/|" | xargs -P "$(nproc)" -I{} bash "$work/run" "$work" {}

passed=$(find "$work/cases" -name '*.passed' | wc -l)
for compiler in "${compilers[@]}"; do "$compiler" --version | sed -n 1p; done  # "head" would close the pipe early
echo "$passed passed, $((count - passed)) failed"
[ "$passed" -gt 0 ] && [ "$passed" -eq "$count" ]
