#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Configures, builds and tests tether with CMake, in build/PRESET.
#
#   tools/cmake_test.sh                        the preset "debug"
#   tools/cmake_test.sh --preset=asan          another one of CMakePresets.json
#   tools/cmake_test.sh -R 'server|client'     with options of ctest
#
# The last line is "N passed, N failed", in test cases. The exit code is 0 only if at least one passed and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=debug
if [[ ${1-} == --preset=* ]]; then
  preset=${1#*=}
  shift
fi
folder=build/$preset

log=$(mktemp "${TMPDIR:-/tmp}/tether-cmake.XXXXXX")
trap 'rm -f "$log"' EXIT
launcher=()
! command -v ccache >/dev/null || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake --preset "$preset" "${launcher[@]}" >"$log" 2>&1 || { cat "$log"; exit 1; }
cmake --build --preset "$preset" --parallel "$(nproc)" >"$log" 2>&1 || { tail -n 200 "$log"; exit 1; }

rm -rf "$folder/results"
mkdir -p "$folder/results"
status=0
ctest --test-dir "$folder" --parallel "$(nproc)" --output-on-failure --no-tests=error \
  --output-junit results/tests.xml "$@" || status=$?
# The count comes last, so that nothing is printed after its last line.
tools/count_tests.py --ctest="$folder/results" --exit_code="$status"
