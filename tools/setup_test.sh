#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests setup.sh with fakes of dpkg-query, apt-get, id and sudo, so nothing is downloaded or installed.
set -euo pipefail

setup=$PWD/tools/setup.sh
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/setup.XXXXXX")
mkdir "$work/bin"
stand_in() { printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1"; chmod +x "$work/bin/$1"; }
stand_in dpkg-query 'case " $MISSING " in *" ${@: -1} "*) exit 1 ;; *) echo installed ;; esac'
stand_in apt-get 'echo "$@" >>"$CALLS"; [ -z "$APT_FAILS" ] || { echo "apt says no"; exit 100; }'
stand_in id 'echo "$USER_ID"'
stand_in sudo 'exit 1'

failures=0
# check WHAT EXIT_CODE APT_CALLS OUTPUT [ARGS…]: APT_CALLS and OUTPUT are patterns for the whole text; "" means none.
check() {
  local what=$1 code=$2 calls=$3 output=$4 got=0
  shift 4
  : >"$work/calls"
  CALLS=$work/calls PATH="$work/bin:$PATH" bash "$setup" "$@" >"$work/output" 2>&1 </dev/null || got=$?
  # shellcheck disable=SC2053  # patterns on purpose
  if [ "$got" != "$code" ] || [[ $(cat "$work/calls") != $calls ]] || [[ $(cat "$work/output") != $output ]]; then
    echo "FAILED: $what: exit code $got, calls: $(cat "$work/calls"), output: $(cat "$work/output")"
    failures=$((failures + 1))
  fi
}

on() { echo "VERSION_CODENAME=$1" >"$work/os-release"; }
on bookworm
export MISSING="" APT_FAILS="" USER_ID=0 TETHER_OS_RELEASE=$work/os-release
check "nothing is missing: nothing is done" 0 "" ""
check "an unknown group" 1 "" "*unknown group 'nope'*" nope
MISSING="g++ pkg-config"
check "only what is missing is installed" 0 \
  $'update\ninstall -y --no-install-recommends g++ pkg-config' "*g++ pkg-config"
check "a package of two groups is installed, and counted, once" 0 \
  $'update\ninstall -y --no-install-recommends g++ pkg-config' "*installing 2 Debian packages: g++ pkg-config" build cmake
APT_FAILS=1
check "a failure shows apt's output" 1 "update" "*apt says no*failed*"
APT_FAILS="" USER_ID=1000
check "neither root nor sudo: the command is named" 1 "" "*needs root*apt-get install -y --no-install-recommends g++ pkg-config"

# The group "bench" comes from the backports. Their source is derived from apt's own sources.
mkdir "$work/apt" "$work/apt/parts"
stand_in apt-config 'echo "list=$APT/sources.list parts=$APT/parts/"'
stand_in apt-get 'for option in "$@"; do
  case "$option" in Dir::Etc::SourceParts=*) cat "${option#*=}"/* ;; esac
done >"$APT/seen"
echo "${@: -1}" >>"$CALLS"'
export APT=$work/apt MISSING="golang-1.23-go" USER_ID=0
# seen WHAT: checks the text passed to apt against the standard input.
seen() {
  check "$1" 0 $'update\ngolang-1.23-go' "*golang-1.23-go" bench
  diff - "$APT/seen" || { echo "FAILED: $1"; failures=$((failures + 1)); }
}

printf '%s\n' '# deb uri:a bookworm main' 'deb [arch=amd64 signed-by=/k.gpg] uri:b bookworm main contrib' \
  'deb-src uri:c bookworm main' 'deb uri:d bookworm-security main' 'deb uri:e stable main' >"$APT/sources.list"
seen "a list of one-line sources" <<'EOF'
deb [arch=amd64 signed-by=/k.gpg] uri:b bookworm main contrib
deb [arch=amd64 signed-by=/k.gpg] uri:b bookworm-backports main contrib
EOF
rm "$APT/sources.list"
printf '%s\n' 'Types: deb' '# a comment' 'URIs: uri:a' 'Suites: bookworm bookworm-updates' 'Components: main' '' \
  'Types: deb' 'URIs: uri:b' 'Suites: bookworm-security' '' \
  'Enabled: no' 'Types: deb' 'URIs: uri:c' 'Suites: bookworm' >"$APT/parts/debian.sources"
seen "sources as paragraphs" <<'EOF'
Types: deb
# a comment
URIs: uri:a
Suites: bookworm bookworm-backports
Components: main

EOF
rm "$APT/parts/debian.sources"
check "no source of Debian 12" 1 "" "*found no source of Debian's bookworm*" bench
MISSING=""
check "what is installed isn't asked for again" 0 "" "" bench

on trixie
MISSING="opentelemetry-cpp-dev"
check "Debian 13 needs no backports" 0 $'update\nopentelemetry-cpp-dev' "*opentelemetry-cpp-dev*" bench
on forky
MISSING="libgrpc-dev"
check "a package of a named suite is looked up without the suite" 0 $'update\nlibgrpc-dev/experimental' "*" experimental
exit $((failures > 0))
