#!/usr/bin/env bash
# Installs the Debian packages that tether needs, and only those that are missing.
#
#   tools/setup.sh            everything to build and test
#   tools/setup.sh GROUP...   the named groups (see packages_of below)
#
# When nothing is missing it asks no registry and needs no root, so scripts can call it every time.
set -euo pipefail

packages_of() {
  case "$1" in
    # bazel-bootstrap is Debian's own build of Bazel 4.2; it finds its Java and proto rules in the two packages after it.
    build) echo bazel-bootstrap bazel-rules-java bazel-rules-proto \
      g++ clang clang-format \
      libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev \
      libabsl-dev libgtest-dev libgmock-dev libbenchmark-dev \
      pkg-config python3 git ca-certificates ;;
    *) return 1 ;;
  esac
}

fail() { echo "setup: $*" >&2; exit 1; }

[ $# -gt 0 ] || set -- build

wanted=()
for group in "$@"; do
  list=$(packages_of "$group") || fail "unknown group '$group' (known: build)"
  # shellcheck disable=SC2206  # a list of words on purpose
  wanted+=($list)
done

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  fail "this is not a Debian-like system (no dpkg-query or apt-get). tether is built on Debian 12;" \
    "elsewhere, install the equivalent of: ${wanted[*]}"

missing=()
for package in "${wanted[@]}"; do
  # A package that was removed but not purged is still known to dpkg-query: only "installed" counts.
  status=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1 || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  elif command -v sudo >/dev/null && [ -t 0 ]; then
    as_root=(sudo)
  else
    fail "these packages are missing, and installing them needs root, which this shell has neither by itself" \
      "nor through sudo. As root, run:  apt-get update &&" \
      "apt-get install -y --no-install-recommends ${missing[*]}"
  fi
fi

log=$(mktemp "${TMPDIR:-/tmp}/tether-setup.XXXXXX")
trap 'rm -f "$log"' EXIT
quietly() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >>"$log" 2>&1 </dev/null && return
  cat "$log" >&2
  fail "'$*' failed (its output is above)"
}

echo "setup: installing ${#missing[@]} Debian packages: ${missing[*]}"
[ "${as_root[*]-}" != sudo ] || sudo -v
quietly apt-get update
quietly apt-get install -y --no-install-recommends "${missing[@]}"
