#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes compile_commands.json, from which editors (clangd) and clang-tidy learn how each C++ file is compiled.
#
#   tools/compile_commands.sh            into the repository's root
#   tools/compile_commands.sh FOLDER     into FOLDER
#
# It takes seconds, and builds only the C++ of the protos, in FOLDER/build/generated. The files and their standards come from
# the BUILD.bazel files; run it again after you change one. The system's headers come from the packages that tools/setup.sh
# installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -le 1 ] || { echo "usage: tools/compile_commands.sh [FOLDER]" >&2; exit 2; }

folder=$(realpath "${1:-.}")
generated=$folder/build/generated
mkdir -p "$generated"
protoc -Iproto --cpp_out="$generated" --grpc_out="$generated" \
  --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" proto/*/v1/*.proto

python3 - "$PWD" "$generated" >"$folder/compile_commands.json" <<'END'
import json
import os
import sys

root, generated = sys.argv[1:]
sys.path.insert(0, os.path.join(root, "tools"))
import cmake_targets  # noqa: E402

commands = {}
for target in cmake_targets.load(root).values():
  options = [o for o in target.list("copts") if o.startswith("-std=")] or ["-std=c++17"]
  for file in (target.path(f) for f in target.list("srcs") if f.endswith(".cc")):
    commands[file] = {
        "directory": root,
        "file": file,
        "arguments": ["clang++", *options, "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Ilib", "-Iinterceptors",
                      "-Iobservability", "-I.", "-isystem", generated, "-c", file],
    }
json.dump([commands[file] for file in sorted(commands)], sys.stdout, indent=1)
END
