#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Follows README's "In your own workspace" by the letter, outside this tree. The files, the commands and the expected output
# are README's blocks (newcomer_files.py). Bazel and CMake run with their default options.
#
#   integration_tests/newcomer_test.sh [KIND…]    workspace (Bazel 4 to 7), module (Bazel 7 and newer), cmake
#
# The default is every kind that this machine's Bazel supports. All dependencies are the system's packages. The last line is
# "N passed, N failed". The exit code is 0 only if at least one passed and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tether=$PWD

mapfile -t system_flags < <(tools/bazel_flags.sh)  # empty up to Bazel 6
kinds=("$@")
if [ $# -eq 0 ]; then
  kinds=(workspace cmake)
  [ ${#system_flags[@]} -eq 0 ] || kinds=(workspace module cmake)
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/tether-newcomer.XXXXXX")
work=$(realpath "$work")
# The newcomer's settings are empty, except for what saves time and network access.
cache=$HOME/.cache
export HOME=$work/home
mkdir "$HOME"
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_DIR=${CCACHE_DIR:-$cache/ccache} CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=yes
fi
finish() {
  local folder
  # Otherwise the Bazel servers would stay for hours, and their outputs forever.
  for folder in "$work"/{workspace,module}; do
    [ ! -d "$folder" ] || (cd "$folder" && bazel shutdown) >/dev/null 2>&1 || true
  done
  chmod -R u+w "$HOME" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

passed=0 failed=0
# result NAME COMMAND…: runs one test case, and shows its output if it fails.
result() {
  local name=$1
  shift
  if ("$@") >"$work/log" 2>&1 </dev/null; then
    echo "passed: $name"
    passed=$((passed + 1))
  else
    tail -n 100 "$work/log"
    echo "FAILED: $name"
    failed=$((failed + 1))
  fi
}

# workspace KIND: the folder as README describes it.
workspace() {
  local folder=$work/$1
  mkdir -p "$folder/third_party/tether" &&
    git ls-files -z | tar -cf - --null -T - | tar -C "$folder/third_party/tether" -xf - &&
    integration_tests/newcomer_files.py "$1" "$work/shown-$1" && cd "$folder" && bash -eux "$work/shown-$1/prepare.sh" &&
    cp -r "$work/shown-$1/files/." .
}

# alike PRINTED SHOWN: succeeds if the two files differ only in times and other figures.
alike() { diff <(sed 's/[0-9.]*[0-9]\(m\?s\)\?/N/g' "$2") <(sed 's/[0-9.]*[0-9]\(m\?s\)\?/N/g' "$1"); }

# prints KIND: runs README's commands. The last lines that they print are those that README shows.
prints() {
  local shown=$work/shown-$1
  cd "$work/$1"
  bash -eux "$shown/build.sh" >"$work/printed-$1" 2>"$work/noise-$1" || { cat "$work/noise-$1"; return 1; }
  tail -n "$(wc -l <"$shown/printed")" "$work/printed-$1" >"$work/end-$1"
  alike "$work/end-$1" "$shown/printed"
}

# quiet KIND: the first build wrote little to the terminal. Bazel's messages on success are a dozen lines.
quiet() {
  local lines
  lines=$(wc -l <"$work/noise-$1")
  [ "$lines" -le 40 ] || { cat "$work/noise-$1"; echo "the build wrote $lines lines"; return 1; }
}

# mistake KIND: the messages for an error in a source are short.
mistake() {
  cd "$work/$1"
  sed -i '1i #error "a mistake"' quickstart.cc
  if bazel build //:quickstart >"$work/mistake-$1" 2>&1; then echo "it was built"; return 1; fi
  cat "$work/mistake-$1"
  grep '#error "a mistake"' "$work/mistake-$1" && [ "$(wc -c <"$work/mistake-$1")" -lt 4000 ]
}

# tests KIND: tests whose libraries call gRPC and Abseil.
tests() {
  cp -r "$tether/packaging/bazel/warehouse" "$work/$1/"
  cd "$work/$1" && bazel test --test_output=errors //warehouse/...
}

# bazel_user KIND FLAG…
bazel_user() {
  local kind=$1
  shift
  # The cache also keeps the debug lines of other builds' actions, so this one is separate. Test results don't come from it.
  printf '%s\n' "build --disk_cache=$cache/tether-bazel/newcomer" "build --noshow_progress" "test --nocache_test_results" >"$HOME/.bazelrc"
  [ $# -eq 0 ] || printf 'common %s\n' "$@" >>"$HOME/.bazelrc"
  result "$kind: README's files and first commands" workspace "$kind"
  result "$kind: the program prints what README shows" prints "$kind"
  result "$kind: the build writes no debug lines" quiet "$kind"
  result "$kind: the messages for a mistake are short" mistake "$kind"
  result "$kind: tests reach gRPC and Abseil through libraries" tests "$kind"
}

for kind in "${kinds[@]}"; do
  case "$kind" in
    workspace) bazel_user workspace "${system_flags[@]}" ;;
    module)
      result "module: its version" tools/version_test.sh packaging/bazel/MODULE.bazel
      # A registry of the system's packages. Without these flags Bazel 7 would also read WORKSPACE, or a default one.
      tools/system_registry.py "$work/registry" packaging/bazel/MODULE.bazel
      bazel_user module --registry="file://$work/registry" --noenable_workspace --lockfile_mode=off
      ;;
    cmake)
      result "cmake: README's files and first commands" workspace cmake
      result "cmake: the program prints what README shows" prints cmake
      ;;
    *) echo "newcomer_test: unknown: $kind" >&2; exit 2 ;;
  esac
done

echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
