#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds tether as its users do: in their own Bazel workspace, outside this tree, with Bazel's default options. Each consumer
# builds and runs README's quickstart, and a cc_test of a library that calls gRPC.
#
#   packaging/bazel_test.sh               all consumers that this machine's Bazel supports
#   packaging/bazel_test.sh workspace     packaging/bazel_workspace: Bazel 4 to 8
#   packaging/bazel_test.sh module        packaging/bazel_module: Bazel 7 and newer
#   packaging/bazel_test.sh own           the tests of tether's lib and interceptors with MODULE.bazel: Bazel 7 and newer
#
# All dependencies are the system's packages ("tools/setup.sh build" installs them). Nothing is downloaded. The last line is
# "N passed, N failed". The exit code is 0 only if at least one passed and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tether=$PWD

version=$(bazel --version)
major=4  # what Debian's Bazel 4 doesn't say
[[ ! $version =~ ([0-9]+)\. ]] || major=${BASH_REMATCH[1]}
if [ $# -eq 0 ]; then
  set -- workspace
  [ "$major" -lt 7 ] || set -- workspace module own
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/tether-bazel.XXXXXX")
work=$(realpath "$work")
started=()
finish() {
  local folder
  # Otherwise the Bazel servers would stay for hours, and their outputs forever.
  for folder in "${started[@]}"; do
    (cd "$folder" && bazel --output_user_root="$work/bazel" shutdown) >/dev/null 2>&1 || true
  done
  chmod -R u+w "$work/bazel" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

passed=0 failed=0
# result NAME COMMAND…: runs one test case, and shows its output if it fails.
result() {
  local name=$1
  shift
  if "$@" >"$work/log" 2>&1 </dev/null; then
    echo "passed: $name"
    passed=$((passed + 1))
  else
    cat "$work/log"
    echo "FAILED: $name"
    failed=$((failed + 1))
  fi
}

# in_bazel FOLDER COMMAND ARGS…: runs Bazel with default options, except those that save time and network access.
in_bazel() {
  local folder=$1 command=$2
  shift 2
  (cd "$folder" && bazel --output_user_root="$work/bazel" "$command" --disk_cache="$HOME/.cache/tether-bazel" \
    --noshow_progress "${flags[@]}" "$@")
}

# Checks the program's one line of output. On a slow machine the deadline may pass before the request reaches the server.
runs_quickstart() {
  local folder=$1 attempt
  in_bazel "$folder" build //:quickstart || return 1
  for attempt in 1 2 3 4 5; do
    echo "attempt $attempt"
    timeout 60 "$folder/bazel-bin/quickstart" | tee "$work/printed" || return 1
    [[ $(cat "$work/printed") != "context deadline exceeded: "*inventory.GetStock* ]] || return 0
  done
  return 1
}

# consumer KIND: follows README, with a copy of this tree in third_party/tether.
consumer() {
  local folder=$work/$1
  mkdir -p "$folder/third_party/tether" "$folder/shop/v1"
  git ls-files -z | tar -cf - --null -T - | tar -C "$folder/third_party/tether" -xf -
  cp -r "packaging/bazel_$1/." packaging/bazel_consumer/* examples/quickstart/quickstart.cc "$folder"
  cp proto/shop/v1/inventory.proto "$folder/shop/v1"
  started+=("$folder")
  result "$1: the quickstart" runs_quickstart "$folder"
  result "$1: a test" in_bazel "$folder" test --test_output=errors //...
}

own_tests() {
  local status=0 last
  in_bazel "$tether" test --keep_going --test_output=errors --build_event_json_file="$work/events" //lib/... \
    //interceptors/... || status=$?
  tools/count_tests.py --bazel_exit_code="$status" "$work/events" | tee "$work/count" || true
  last=$(tail -n 1 "$work/count")
  [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]] || return 1
  passed=$((passed + BASH_REMATCH[1]))
  failed=$((failed + BASH_REMATCH[2]))
}

modules() {
  tools/system_registry.py "$work/registry" packaging/bazel_module/MODULE.bazel
  # Otherwise Bazel 7 would also read WORKSPACE, or a default one.
  flags=(--registry="file://$work/registry" --noenable_workspace --lockfile_mode=off)
}

for kind in "$@"; do
  case "$kind" in
    workspace) mapfile -t flags < <(tools/bazel_flags.sh); consumer workspace ;;
    module)
      result "module: its version" tools/version_test.sh packaging/bazel_module/MODULE.bazel
      modules
      consumer module
      ;;
    own) modules; started+=("$tether"); own_tests || failed=$((failed + 1)) ;;
    *) echo "bazel_test: unknown: $kind" >&2; exit 2 ;;
  esac
done

echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
