#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes tether. Builds each target of lib/tether/fuzz and sidecar/fuzz with clang, AddressSanitizer and
# UndefinedBehaviorSanitizer, and runs it for some seconds, starting from its seeds.
#
#   tools/fuzz.sh                       each target for 60 seconds
#   tools/fuzz.sh SECONDS [NAME...]     the named ones: context, baggage, … (NAME_fuzz.cc)
#
# The exit code is 0 if nothing was found. An input that breaks a target is saved in the current folder, as crash-NAME-*.
# Move it to corpus/NAME beside the target, under a name that says what it shows. It is then a test (NAME_replay_test).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$PWD
cd "$root"

seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: '$seconds' is no number of seconds" >&2; exit 2; }
[ $# -eq 0 ] || shift

declare -A folder_of  # NAME -> the folder of its target
for source in {lib/tether,sidecar}/fuzz/*_fuzz.cc; do
  name=$(basename "$source" _fuzz.cc)
  folder_of[$name]=$(dirname "$source")
done
mapfile -t known < <(printf '%s\n' "${!folder_of[@]}" | sort)
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${known[@]}")
for name in "${names[@]}"; do
  [ -n "${folder_of[$name]-}" ] || { echo "fuzz: no target '$name' (known: ${known[*]})" >&2; exit 2; }
done

tools/setup.sh build fuzz

# fuzzer-no-link instruments all code for libFuzzer. Only the targets themselves link libFuzzer's main.
mapfile -t options < <(tools/bazel_flags.sh)
options+=(--config=clang --config=sanitizer --platform_suffix=-fuzz
  --copt=-fsanitize=fuzzer-no-link,address,undefined --copt=-fno-sanitize-recover=all
  --copt=-fno-sanitize=vptr,function  # Bazel links C++ with "clang", which omits their runtime
  --linkopt=-fsanitize=address,undefined
  --linkopt=-fuse-ld=bfd --nostart_end_lib)  # gold prints a warning for each symbol of the sanitizers
read -ra startup <<<"${BAZEL_STARTUP_OPTIONS-}"  # such as --output_base=…, to avoid disturbing another build
labels=()
for name in "${names[@]}"; do labels+=("//${folder_of[$name]}:${name}_fuzz"); done
work=$(mktemp -d "${TMPDIR:-/tmp}/tether-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "fuzz: building ${names[*]}"
bazel "${startup[@]}" build --noshow_progress "${options[@]}" -- "${labels[@]}" >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 1; }
programs=$(bazel "${startup[@]}" info "${options[@]}" bazel-bin 2>/dev/null)

# fuzz NAME: runs one target. The log has the details. NAME.failed marks a failure.
fuzz() {
  local name=$1
  # New inputs go into a separate folder, so the seeds don't change.
  mkdir "$work/$name"
  "$programs/${folder_of[$name]}/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=2048 \
    -print_final_stats=1 -artifact_prefix="$folder/crash-$name-" "$work/$name" "${folder_of[$name]}/corpus/$name" \
    >"$work/$name.log" 2>&1 </dev/null || touch "$work/$name.failed"
}

# Run one target per processor at a time.
for name in "${names[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done
  fuzz "$name" &
done
wait

broken=()
for name in "${names[@]}"; do
  if [ -e "$work/$name.failed" ]; then
    tail -n 60 "$work/$name.log" >&2
    broken+=("$name")
  else
    echo "fuzz: $name: nothing found in $(awk '/number_of_executed_units/ { print $2 }' "$work/$name.log") runs"
  fi
done
[ ${#broken[@]} -eq 0 ] || { echo "fuzz: broken: ${broken[*]} (inputs: crash-NAME-*)" >&2; exit 1; }
