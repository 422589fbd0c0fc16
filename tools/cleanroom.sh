#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command on a new Debian system: debootstrap's minimal system plus git, and a clone of HEAD.
#
#   tools/cleanroom.sh SUITE [COMMAND]            COMMAND is for bash, in the clone; the default is ./demo.sh && ./test.sh
#
#   tools/cleanroom.sh bookworm './demo.sh && ./test.sh'
#   tools/cleanroom.sh --user trixie './test.sh //lib/...'
#
# SUITE is a suite of Debian: bookworm, trixie, forky or sid. Options come before it:
#
#   --user              COMMAND runs as an unprivileged user, after root has run "tools/setup.sh build"
#   --groups "GROUP…"   starts from a room in which "tools/setup.sh GROUP…" has run; the room is kept for the next run
#   --with SUITE        adds a source of packages, such as experimental; packages come from it only if they are requested
#   --cache             keeps the caches of Bazel and ccache for the next run with the same suite; tests run anew
#   --out FOLDER        COMMAND's folder /out is FOLDER, for files that must outlive the room
#   --env NAME=VALUE    sets a variable for COMMAND
#
# Needs root, debootstrap, and a Debian source among the machine's own apt sources. The room is a separate folder with its own
# processes and mounts, and is deleted afterwards. It uses the machine's network. The cache is in
# ${TETHER_CLEANROOM_CACHE:-~/.cache/tether-cleanroom}: the minimal systems, so that the second run starts in seconds; the
# packages that apt downloaded; and the caches that the options request. The folder can be deleted at any time.
#
# The exit code is COMMAND's. It is 69 if the room can't be set up, so a 69 from COMMAND becomes 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "cleanroom: $*" >&2; exit 69; }
usage() { sed -n '2,/^set/{/SPDX/d;/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 64; }

as_user="" groups="" with="" keep="" out="" variables=()
while [[ ${1-} == --* ]]; do
  case "$1" in
    --user) as_user=yes ;;
    --cache) keep=yes ;;
    --groups) groups=${2?}; shift ;;
    --with) with=${2?}; shift ;;
    --out) out=$(realpath "${2?}"); shift ;;
    --env) variables+=("${2?}"); shift ;;
    *) usage ;;
  esac
  shift
done
[ $# -eq 1 ] || [ $# -eq 2 ] || usage
suite=$1
command=${2:-./demo.sh && ./test.sh}
[[ $suite =~ ^[a-z]+$ ]] || usage

[ "$(id -u)" -eq 0 ] || fail "needs root, for debootstrap, chroot and mounts"
command -v debootstrap >/dev/null || fail "debootstrap is missing; run tools/setup.sh cleanroom"
cache=${TETHER_CLEANROOM_CACHE:-$HOME/.cache/tether-cleanroom}
mkdir -p "$cache/$suite/archives"

# The source from which the machine's apt gets Debian. The room's apt uses the same source in the same way.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
  awk '$2 !~ /-/ && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] ||
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 !~ /-/ && $3 == "main" && $1 ~ /\/debian\/?$/ { print $1; exit }')
[ -n "$mirror" ] || fail "the machine's apt has no source of Debian's main component"

room=$(mktemp -d "${TMPDIR:-/var/tmp}/tether-room.XXXXXX")
log=$room.log
trap 'rm -rf --one-file-system "$room" "$log"' EXIT
chmod 755 "$room"
quietly() { "$@" >>"$log" 2>&1 </dev/null || { tail -n 60 "$log" >&2; fail "'$*' failed (its output is above)"; }; }

# inside COMMAND…: runs it as root in the room, in its own mount and process namespaces, which end with it.
inside() {
  local mounts=("$cache/$suite/archives:/var/cache/apt/archives")
  if [ -n "$keep" ]; then
    mkdir -p "$cache/$suite/build"
    mounts+=("$cache/$suite/build:/var/cache/build")
  fi
  [ -z "$out" ] || mounts+=("$out:/out")
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --pid --fork --kill-child bash -euc '
    room=$1 count=$2
    shift 2
    mount -t proc proc "$room/proc"
    mount -t sysfs -o ro sysfs "$room/sys"
    mount --rbind /dev "$room/dev"
    mount -t tmpfs tmpfs "$room/dev/shm"
    for ((i = 0; i < count; ++i)); do
      mkdir -p "$room${1#*:}"
      mount --bind "${1%%:*}" "$room${1#*:}"
      shift
    done
    exec chroot "$room" env -i HOME=/root USER=root LANG=C.UTF-8 TERM=dumb \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"' \
    inside "$room" "${#mounts[@]}" "${mounts[@]}" "$@"
}

# keep_as FILE: saves the room for later runs. A file that exists is complete.
keep_as() {
  quietly tar -C "$room" --one-file-system --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* -I "zstd -q -T0 -3" \
    -cf "$1.$$" .
  mv "$1.$$" "$1"
}

minimal_system() {
  local base=$cache/$suite/base.tar.zst
  if [ -e "$base" ]; then
    quietly tar -C "$room" -I zstd -xf "$base"
    return
  fi
  echo "cleanroom: making a minimal $suite" >&2
  local script=/usr/share/debootstrap/scripts/$suite
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid  # the suite is newer than debootstrap
  quietly debootstrap --variant=minbase --include=git,ca-certificates "$suite" "$room" "$mirror" "$script"
  apt-config dump | grep -E '^Acquire::(Check|http|Retries)' >"$room/etc/apt/apt.conf.d/90machine" || true
  # The archives are a folder on the machine, which the room's apt must not clean.
  printf '%s\n' 'APT::Keep-Downloaded-Packages "true";' 'Binary::apt::APT::Keep-Downloaded-Packages "true";' \
    'DPkg::Post-Invoke {};' >"$room/etc/apt/apt.conf.d/91keep"
  rm -f "$room/etc/apt/apt.conf.d/docker-clean"
  echo "deb $mirror $suite main" >"$room/etc/apt/sources.list"
  keep_as "$base"
}

clone() {  # clone FOLDER: HEAD, into the room
  quietly git clone --quiet --no-hardlinks . "$room$1"
  quietly git -C "$room$1" remote remove origin
}

[ -z "$(git status --porcelain)" ] || echo "cleanroom: changes that aren't committed are not in the room" >&2

# A room with packages. Its name depends on everything that decides its content.
packages=""
[ -z "$groups" ] ||
  packages=$cache/$suite/packages-$(printf '%s\n' "$groups" "$with" | cat - tools/setup.sh | sha256sum | cut -c 1-16).tar.zst
if [ -n "$packages" ] && [ -e "$packages" ]; then
  quietly tar -C "$room" -I zstd -xf "$packages"
else
  minimal_system
  if [ -n "$with" ]; then
    echo "deb $mirror $with main" >"$room/etc/apt/sources.list.d/$with.list"
    # Like Debian's experimental: packages come from it only by name.
    printf 'Package: *\nPin: release n=%s\nPin-Priority: 1\n' "$with" >"$room/etc/apt/preferences.d/$with"
  fi
fi
cp /etc/resolv.conf "$room/etc/resolv.conf"
cp /etc/hosts "$room/etc/hosts"

if [ -n "$packages" ] && [ ! -e "$packages" ]; then
  clone /root/tether
  # shellcheck disable=SC2086  # a list of words on purpose
  quietly inside bash -c 'cd /root/tether && exec tools/setup.sh "$@"' setup $groups
  rm -rf "$room/root/tether"
  rm -f "$cache/$suite"/packages-*.tar.zst.*
  keep_as "$packages"
fi

home=/root
become=()
if [ -n "$as_user" ]; then
  clone /root/tether
  quietly inside bash -c 'cd /root/tether && tools/setup.sh build && rm -rf /root/tether && useradd --create-home visitor'
  home=/home/visitor
  become=(setpriv --reuid=visitor --regid=visitor --init-groups --no-new-privs)
fi
clone "$home/tether"
if [ -n "$keep" ]; then
  mkdir -p "$room$home/.cache"
  ln -s /var/cache/build/bazel "$room$home/.cache/tether-bazel"
  echo "test --nocache_test_results" >"$room$home/.bazelrc"
  variables+=(CCACHE_DIR=/var/cache/build/ccache)
  # Every user in the room writes there.
  mkdir -p "$cache/$suite/build/bazel" "$cache/$suite/build/ccache"
  chmod -R a+rwX "$cache/$suite/build"
fi
# shellcheck disable=SC2016  # expanded by the inner shell
[ -z "$as_user" ] || quietly inside chown -R visitor: "$home"

status=0
inside "${become[@]}" env HOME="$home" "${variables[@]}" bash -c "cd $home/tether && $command" </dev/null || status=$?
[ "$status" -ne 69 ] || status=1  # this script uses 69 itself
exit "$status"
