#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the missing Debian packages that tether needs.
#
#   tools/setup.sh            everything to build and test with Bazel
#   tools/setup.sh GROUP...   the named groups (see packages_of below)
#
# The group "opentelemetry" is for the bridge to OpenTelemetry. The group "bench" has the peers that bench.sh measures. Debian
# 12 has both in its backports. This script uses the backports once, from the mirror that the machine uses for Debian, and
# doesn't change the machine's own list of sources.
#
# If nothing is missing, it needs no network and no root, so scripts can call it every time.
set -euo pipefail

# Debian's suite, such as bookworm. The unstable suite, sid, has the name of the next release.
suite=$(. "${TETHER_OS_RELEASE:-/etc/os-release}" 2>/dev/null && echo "${VERSION_CODENAME-}" || true)

# The packages that every build of tether needs.
libraries="libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  libabsl-dev libgtest-dev libgmock-dev libbenchmark-dev"

packages_of() {
  case "$1" in
    # bazel-bootstrap is Debian's build of Bazel. The two packages after it contain its Java and proto rules.
    build) echo bazel-bootstrap bazel-rules-java bazel-rules-proto \
      g++ clang clang-format $libraries \
      libfaketime python3-grpcio \
      pkg-config python3 git ca-certificates ;;
    bench)
      case "$suite" in
        bookworm) echo golang-1.23-go ;;
        *) echo golang-go ;;
      esac
      packages_of opentelemetry ;;
    browser) echo chromium ;;  # for //services/demo:html_render_test
    cleanroom) echo debootstrap zstd ;;  # for tools/cleanroom.sh
    cmake) echo cmake ninja-build make ccache dpkg-dev g++ $libraries pkg-config python3 git ca-certificates ;;
    compilers)  # in addition to g++, for tools/compile_matrix.sh
      case "$suite" in
        bookworm | trixie) echo clang ;;
        *) echo g++-14 clang ;;
      esac ;;
    # gRPC's newest release, from Debian's experimental suite, on sid. It can't be installed together with Bazel.
    experimental) echo cmake ninja-build ccache g++ pkg-config python3 git ca-certificates procps \
      {libgrpc++-dev,libgrpc-dev,libupb-dev,libprotobuf-dev,protobuf-compiler,protobuf-compiler-grpc}/experimental \
      libabsl-dev libgtest-dev libgmock-dev libbenchmark-dev libfaketime ;;
    fuzz)
      case "$suite" in
        bookworm) echo libclang-rt-14-dev ;;
        *) echo libclang-rt-dev ;;
      esac ;;
    instructions) echo valgrind ;;  # for benchmarks/instructions.py
    observability) echo civetweb libcivetweb-dev libncurses-dev prometheus-cpp-dev ;;  # for the pages, tetherctl and Prometheus' format
    opentelemetry) echo opentelemetry-cpp-dev ;;
    plots) echo python3-matplotlib ;;  # for benchmarks/plots.py
    prometheus) echo prometheus ;;  # for //observability/...:prometheus_test
    proxy) echo nginx-light nghttp2-proxy ;;  # for //integration_tests:nginx_test and ./bench.sh sidecar
    reference) echo doxygen git ;;  # for tools/reference.sh
    sidecar)  # for sidecar/apps
      echo nodejs python3-grpcio python3-protobuf protobuf-compiler protobuf-compiler-grpc
      # Node's own packages for Debian contain npm, and conflict with Debian's.
      command -v npm >/dev/null || echo npm ;;
    tidy) echo clang-tidy protobuf-compiler git $libraries ;;  # for tools/tidy.sh
    *) return 1 ;;
  esac
}

fail() { echo "setup: $*" >&2; exit 1; }
root=$(dirname "${BASH_SOURCE[0]}")/..

[ $# -gt 0 ] || set -- build

# backports_source FOLDER: writes the machine's sources of Debian's suite and of its backports into FOLDER.
backports_source() {
  local list parts file
  eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
  for file in "$list" "${parts%/}"/*.list; do
    [ -f "$file" ] || continue
    # deb [options] URI suite component...
    awk -v suite="$suite" '$1 == "deb" {
      at = 2
      if ($at ~ /^\[/) while ($at !~ /\]$/ && at < NF) ++at
      at += $at ~ /\]$/ ? 2 : 1
      if ($at == suite) { print; $at = suite "-backports"; print }
    }' "$file"
  done >"$1/debian.list"
  for file in "${parts%/}"/*.sources; do
    [ -f "$file" ] || continue
    # The file consists of paragraphs of fields.
    awk -v suite="$suite" 'BEGIN { RS = ""; FS = "\n" } {
      found = 0
      for (i = 1; i <= NF; ++i) {
        if ($i ~ "^Suites:(.*[ \t])?" suite "([ \t]|$)") {
          found = 1
          $i = "Suites: " suite " " suite "-backports"
        }
        if ($i ~ /^Enabled:[ \t]*no/) next
      }
      if (found) { for (i = 1; i <= NF; ++i) print $i; print "" }
    }' "$file"
  done >"$1/debian.sources"
  [ -s "$1/debian.list" ] || [ -s "$1/debian.sources" ]
}

wanted=() backports=""
for group in "$@"; do
  list=$(packages_of "$group") || fail "unknown group '$group' (known: bench, browser, build, cleanroom, cmake, compilers," \
    "experimental, fuzz, instructions, observability, opentelemetry, plots, prometheus, proxy, reference, sidecar, tidy)"
  # shellcheck disable=SC2206  # a list of words on purpose
  wanted+=($list)
  # Later releases include these packages.
  [[ $suite != bookworm || ($group != bench && $group != opentelemetry) ]] || backports=yes
done

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  fail "this is not a Debian-like system (no dpkg-query or apt-get). tether is built on Debian;" \
    "elsewhere, install the equivalent of: ${wanted[*]}"

missing=()
# Several groups may want the same package.
mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | awk '!seen[$0]++')
for package in "${wanted[@]}"; do
  # dpkg-query also lists packages that were removed but not purged, so only "installed" counts.
  status=$(dpkg-query -W -f '${db:Status-Status}\n' "${package%/*}" 2>/dev/null | sed -n 1p || true)
  [ "$status" = installed ] || missing+=("$package")
done
# What isn't Debian's, at the end.
others() {
  [[ " $* " != *" sidecar "* ]] || "$root/sidecar/apps/run.sh" install
}
if [ ${#missing[@]} -eq 0 ]; then
  others "$@"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  elif command -v sudo >/dev/null && [ -t 0 ]; then
    as_root=(sudo)
  else
    fail "these packages are missing, and installing them needs root, which this shell has neither by itself" \
      "nor through sudo. As root, run${backports:+ (with $suite-backports as a source)}:  apt-get update &&" \
      "apt-get install -y --no-install-recommends ${missing[*]}"
  fi
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/tether-setup.XXXXXX")
trap 'rm -rf "$folder"' EXIT
quietly() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >>"$folder/log" 2>&1 </dev/null && return
  cat "$folder/log" >&2
  fail "'$*' failed (its output is above)"
}

echo "setup: installing ${#missing[@]} Debian packages: ${missing[*]}"
[ "${as_root[*]-}" != sudo ] || sudo -v
options=()
if [ -n "$backports" ]; then
  mkdir "$folder/sources" "$folder/lists"
  chmod 755 "$folder"  # apt downloads as a separate user
  backports_source "$folder/sources" ||
    fail "found no source of Debian's $suite among apt's sources, so none for its backports"
  # Separate lists, so that the machine's lists don't change.
  options=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$folder/sources"
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o Acquire::Retries=1)
fi
quietly apt-get "${options[@]}" update
quietly apt-get "${options[@]}" install -y --no-install-recommends "${missing[@]}"
others "$@"
