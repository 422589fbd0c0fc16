#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds tether as its users do: installed or as part of their project, with CMake or with make, outside this tree. Each
# consumer builds and runs README's quickstart and packaging/cmake/uses.cc. The shared libraries are installed from the Debian
# packages that cpack makes.
#
#   packaging/cmake_test.sh
#
# "tools/setup.sh cmake observability opentelemetry" installs what it needs. The last line is "N passed, N failed". The exit
# code is 0 only if at least one passed and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -eq 0 ] || { echo "usage: packaging/cmake_test.sh" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/tether-cmake.XXXXXX")
work=$(realpath "$work")
trap 'rm -rf "$work"' EXIT
tether=$work/tether  # a copy, in which the commands of the docs are run
mkdir "$tether"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  if [ -f "$file" ]; then printf '%s\0' "$file"; fi
done | xargs -0 cp --parents -t "$tether"

passed=0 failed=0
# result NAME COMMAND…: runs one test case, and shows its output if it fails.
result() {
  local name=$1
  shift
  local status
  # Not in a condition, because there an error would not end the subshell.
  set +e
  (set -e; "$@") >"$work/log" 2>&1 </dev/null
  status=$?
  set -e
  if [ "$status" -eq 0 ]; then
    echo "passed: $name"
    passed=$((passed + 1))
  else
    tail -n 60 "$work/log"
    echo "FAILED: $name"
    failed=$((failed + 1))
  fi
}

# No "grep -q" or "head" reads from a pipe here. They exit before the writer has finished, and the writer may then fail.

# All builds are fast ones. A shared library must not have undefined symbols.
export CMAKE_GENERATOR=Ninja CMAKE_BUILD_TYPE=None CXXFLAGS=-O0 LDFLAGS=-Wl,-z,defs
launcher=""
if command -v ccache >/dev/null; then
  launcher="ccache "
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR="$work" CCACHE_NOHASHDIR=yes
fi

# ---- tether itself --------------------------------------------------------------------------------------------------

# README's commands.
build_static() {
  cd "$tether"
  export DESTDIR=$work/static-root
  cmake -B build -DTETHER_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr
  cmake --build build
  cmake --install build
  mv build "$work/static"
}
# The commands of docs/packaging.md.
build_shared() {
  cd "$tether"
  cmake -B build -DTETHER_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_SHARED_LIBS=ON
  cmake --build build
  cpack --config build/CPackConfig.cmake -B build/packages
  mv build "$work/shared"
}

# All options, as shared libraries. It is installed to $work/optional-root/usr.
build_optional() {
  cmake -S "$tether" -B "$work/optional" -DTETHER_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_SHARED_LIBS=ON \
    -DTETHER_BUILD_OPENTELEMETRY=ON -DTETHER_BUILD_PROMETHEUS=ON -DTETHER_BUILD_STATUS_PAGE=ON
  cmake --build "$work/optional"
  DESTDIR=$work/optional-root cmake --install "$work/optional"
  (cd "$work/optional" && cpack --config CPackConfig.cmake -B packages)
  # The packages of libraries need those that they link.
  local package depends
  package=$work/optional/packages/libtether-prometheus${version%.*}_${version}_$(dpkg --print-architecture).deb
  depends=$(dpkg-deb -f "$package" Depends)
  [[ $depends == *"libtether-observability${version%.*} (= $version)"* && $depends == *libprometheus-cpp-core* ]] ||
    { echo "$package: Depends: $depends"; return 1; }
}

# Installs cpack's packages into a folder, on top of the system's list of installed packages. This checks their dependencies.
dpkg_in() {
  # dpkg requires these tools. An installation without root doesn't use them.
  mkdir -p "$work/bin" "$work/$1/var/lib/dpkg/"{info,updates,triggers} "$work/shared-root"
  local tool
  for tool in ldconfig start-stop-daemon; do printf '#!/bin/sh\n' >"$work/bin/$tool"; chmod +x "$work/bin/$tool"; done
  grep -v "^Status: .* half-" /var/lib/dpkg/status | filter "$2" >"$work/$1/var/lib/dpkg/status"
  PATH="$work/bin:$PATH:/usr/sbin:/sbin" dpkg --force-not-root --force-script-chrootless --force-bad-path \
    --admindir="$work/$1/var/lib/dpkg" --instdir="$work/$1" --log=/dev/null -i "$work"/shared/packages/*.deb
}
# filter PACKAGE: prints dpkg's status without this package.
filter() { awk -v package="$1" 'BEGIN { RS = ""; ORS = "\n\n" } $0 !~ "^Package: " package "\n"'; }
install_packages() { dpkg_in shared-root nothing && [ -e "$work/shared-root/usr/lib/$arch/libtether.so.0.1" ]; }
# The control: a missing package prevents the installation.
missing_package() { ls "$work"/shared/packages/*.deb && ! dpkg_in control-root "$1"; }

arch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
version=$(sed -n 's/^#define TETHER_VERSION_[A-Z]* \([0-9]*\)$/\1/p' lib/tether/version.h | paste -sd.)

sonames() {
  local library
  for library in tether tether-grpc tether-observability; do
    objdump -p "$work/shared/lib$library.so" >"$work/headers"
    grep "SONAME *lib$library.so.${version%.*}$" "$work/headers" || return 1
  done
}

# Public symbols in namespace tether are visible. Symbols in an anonymous or internal namespace are hidden, except those that
# the libraries and the headers need from each other (TETHER_EXPORT).
symbols() {
  local library status=0
  for library in tether tether-grpc tether-observability; do
    nm -C --defined-only "$work/static/lib$library.a" 2>/dev/null |
      awk '$2 == "T" { $1 = $2 = ""; print substr($0, 3) }' | grep '^tether::' | grep -v '^tether::internal::' |
      sort -u >"$work/public"
    nm -DC --defined-only "$work/shared/lib$library.so" | awk '{ $1 = $2 = ""; print substr($0, 3) }' | sort -u >"$work/shown"
    [ "$(wc -l <"$work/public")" -gt 20 ] || { echo "lib$library has too few public symbols"; status=1; }
    # Members of classes that only a .cc file defines are hidden on purpose.
    if comm -23 "$work/public" "$work/shown" |
      grep -vE '^tether::(Baggage::(Rep|Writer)|TaskGroup::Slot|LimitedCarrier::Held)::|^tether::Clock::timers'; then
      echo "hidden in lib$library.so, but public"
      status=1
    fi
    if grep -E 'tether::internal::(EndScope|TraceStateList|EndWatcher|ServerCall::|HopRecord)|anonymous' "$work/shown"; then
      echo "visible in lib$library.so, but internal"
      status=1
    fi
  done
  return "$status"
}

# ---- Consumers ------------------------------------------------------------------------------------------------------

# copy FOLDER: copies README's project and programs to a folder outside this tree.
copy() {
  rm -rf "${work:?}/$1"
  mkdir -p "$work/$1/shop/v1"
  cp "$tether/proto/shop/v1/inventory.proto" "$work/$1/shop/v1/"
  cp "$tether"/packaging/{cmake/*,pkg_config/Makefile} "$tether/examples/quickstart/quickstart.cc" "$work/$1/"
  echo 'include(uses.cmake)' >>"$work/$1/CMakeLists.txt"
}
# change FOLDER FILE: in a copied project, puts FILE in the place of add_subdirectory.
change() { sed -i "s|^add_subdirectory(.*|include($2)|w $work/changed" "$work/$1/CMakeLists.txt" && [ -s "$work/changed" ]; }

# run FOLDER: runs the programs that a consumer built there.
run() {
  "$tether/examples/quickstart/quickstart_test.sh" "$1/quickstart" && [ "$("$1/uses")" = "all of it" ]
}

# links PROGRAM static|shared: succeeds if the program is linked to such libraries of tether.
links() {
  local found=static
  if ldd "$1" | grep "libtether-grpc.so.${version%.*} => $work"; then found=shared; fi
  [ "$found" = "$2" ] || { ldd "$1" | grep tether; echo "$1 is linked to $found libraries of tether"; return 1; }
}

find_package() {
  copy "find_package-$1" && change "find_package-$1" find_package.cmake || return 1
  cmake -S "$work/find_package-$1" -B "$work/find_package-$1/build" -DCMAKE_CXX_VISIBILITY_PRESET=hidden \
    -DCMAKE_PREFIX_PATH="$work/$1-root/usr" && cmake --build "$work/find_package-$1/build" &&
    run "$work/find_package-$1/build" && links "$work/find_package-$1/build/quickstart" "$1"
}

# The libraries of all options, found by CMake and by pkg-config.
find_optional() {
  copy optional-project && change optional-project optional.cmake || return 1
  sed -i '/^find_program/,$d' "$work/optional-project/CMakeLists.txt"
  cmake -S "$work/optional-project" -B "$work/optional-project/build" -DCMAKE_CXX_VISIBILITY_PRESET=hidden \
    -DCMAKE_PREFIX_PATH="$work/optional-root/usr"
  cmake --build "$work/optional-project/build"
  # The program names only the libraries that it uses itself.
  export LD_LIBRARY_PATH=$work/optional-root/usr/lib/$arch
  [ "$("$work/optional-project/build/optional")" = "all of it" ]

  export PKG_CONFIG_PATH=$work/optional-root/usr/lib/$arch/pkgconfig
  local flags
  flags=$(pkg-config --cflags --libs tether-opentelemetry tether-opentelemetry-metrics tether-prometheus tether-status-page)
  # shellcheck disable=SC2086  # a list of words on purpose
  $launcher${CXX:-g++} -O0 -std=c++17 "$work/optional-project/optional.cc" -o "$work/optional-project/optional" $flags -pthread
  [ "$("$work/optional-project/optional")" = "all of it" ]
}

pkg_config() {
  copy "pkg_config-$1"
  export PKG_CONFIG_PATH=$work/$1-root/usr/lib/$arch/pkgconfig
  make -C "$work/pkg_config-$1" CXX="$launcher${CXX:-g++}"
  export LD_LIBRARY_PATH=$work/$1-root/usr/lib/$arch
  run "$work/pkg_config-$1" && links "$work/pkg_config-$1/quickstart" "$1"
}

# embedded FILE OPTIONS…: builds tether as part of its user's project. FILE is add_subdirectory, or replaces that line.
embedded() {
  local folder=$work/$1
  copy "$1"
  mkdir "$folder/third_party"
  ln -s "$tether" "$folder/third_party/tether"
  [ "$1" = add_subdirectory ] || change "$1" "$1.cmake"
  cmake -S "$folder" -B "$folder/build" "${@:2}"
  cmake --build "$folder/build"
  run "$folder/build"
  # tether isn't installed with its user's project.
  DESTDIR="$folder/root" cmake --install "$folder/build"
  [ -z "$(find "$folder/root" -type f 2>/dev/null)" ]
}

# configure LINE: succeeds if a project with this line finds the installed tether.
configure() {
  rm -rf "$work/configure"
  mkdir "$work/configure"
  printf 'cmake_minimum_required(VERSION 3.22)\nproject(p LANGUAGES CXX)\n%s\n' "$1" >"$work/configure/CMakeLists.txt"
  cmake -S "$work/configure" -B "$work/configure/build" -DCMAKE_PREFIX_PATH="$work/static-root/usr" "${@:2}"
}
versions() {
  configure 'find_package(tether 0.1 CONFIG REQUIRED)' && configure "find_package(tether $version EXACT CONFIG REQUIRED)" &&
    ! configure 'find_package(tether 0.2 CONFIG REQUIRED)' && ! configure 'find_package(tether 1.0 CONFIG REQUIRED)'
}
# A project that asks only for tether::tether needs no gRPC.
components() {
  configure 'find_package(tether CONFIG REQUIRED COMPONENTS tether)
if(TARGET tether::grpc OR TARGET gRPC::grpc++)
  message(FATAL_ERROR "gRPC was looked for")
endif()' &&
    configure 'find_package(tether CONFIG REQUIRED)
if(NOT TARGET tether::grpc)
  message(FATAL_ERROR "gRPC is there, but tether::grpc is not")
endif()' &&
    configure 'find_package(tether CONFIG REQUIRED COMPONENTS observability)
if(NOT TARGET tether::observability OR NOT TARGET tether::grpc OR TARGET tether::testing)
  message(FATAL_ERROR "not tether::observability and what it needs")
endif()' &&
    configure 'find_package(tether CONFIG REQUIRED)
if(TARGET tether::grpc OR NOT TARGET tether::tether)
  message(FATAL_ERROR "tether::grpc without gRPC, or no tether")
endif()' -DCMAKE_DISABLE_FIND_PACKAGE_gRPC=ON &&
    ! configure 'find_package(tether CONFIG REQUIRED COMPONENTS grpc)' -DCMAKE_DISABLE_FIND_PACKAGE_gRPC=ON &&
    ! configure 'find_package(tether CONFIG REQUIRED COMPONENTS observability)' -DCMAKE_DISABLE_FIND_PACKAGE_gRPC=ON &&
    ! configure 'find_package(tether CONFIG REQUIRED COMPONENTS prometheus)' &&
    ! configure 'find_package(tether CONFIG REQUIRED COMPONENTS nonsense)'
}

start=$SECONDS
result "static libraries: built and installed" build_static
result "shared libraries: built and packed" build_shared
result "shared libraries: versioned names" sonames
result "shared libraries: what is public is visible, and nothing else" symbols
result "Debian packages: installed, with all that they depend on" install_packages
result "Debian packages: not installed without libgrpc++" missing_package "libgrpc\\+\\+1[.0-9t]*"
result "Debian packages: not installed without libabsl-dev" missing_package libabsl-dev
result "find_package: versions" versions
result "find_package: components" components
result "find_package, static: quickstart" find_package static
result "find_package, shared: quickstart" find_package shared
result "all options: built, installed and packed" build_optional
result "all options: found by find_package and pkg-config" find_optional
result "pkg-config and make, static: quickstart" pkg_config static
result "pkg-config and make, shared: quickstart" pkg_config shared
result "add_subdirectory, static: quickstart" embedded add_subdirectory
result "FetchContent, shared: quickstart" embedded fetch_content -DBUILD_SHARED_LIBS=ON
echo "$((SECONDS - start)) s"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
