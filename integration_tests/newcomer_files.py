#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what README.md shows to newcomers: the files of their own workspace, and the commands.

  integration_tests/newcomer_files.py KIND FOLDER     KIND is workspace, module or cmake

 - FOLDER/files/ has README's blocks of code, under the names of their files. README's program is one of them.
 - FOLDER/prepare.sh and FOLDER/build.sh have the commands in front of the files, and those after them.
 - FOLDER/printed has what README shows below the commands of build.sh.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../docs"))
import check_docs  # noqa: E402

COMMENT = "<!-- integration_tests/newcomer_test.sh%s -->"
PROGRAM = "examples/quickstart/quickstart.cc"
# kind -> the word in the comment above the commands, and the files of its workspace.
KINDS = {
    "workspace": ("bazel", ["packaging/bazel/" + f for f in (".bazelrc", ".bazelignore", "WORKSPACE", "BUILD.bazel")]),
    "module": ("bazel", ["packaging/bazel/" + f for f in (".bazelrc", ".bazelignore", "MODULE.bazel", "BUILD.bazel")]),
    "cmake": ("cmake", ["packaging/cmake/CMakeLists.txt"]),
}


def write(path, lines):
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, "w", encoding="utf-8") as file:
    file.write("".join(line + "\n" for line in lines))


def one(blocks, above):
  """Returns the position of the only block below this comment."""
  found = [i for i, block in enumerate(blocks) if block.above == above]
  if len(found) != 1:
    sys.exit("newcomer_files: README.md has %d blocks below %s, not one" % (len(found), above))
  return found[0]


def main(kind, folder):
  word, files = KINDS[kind]
  readme = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../README.md")
  blocks, _ = check_docs.split(check_docs.read(readme))
  for path in files + [PROGRAM]:
    write(os.path.join(folder, "files", os.path.basename(path)), blocks[one(blocks, "<!-- %s -->" % path)].lines)
  write(os.path.join(folder, "prepare.sh"), blocks[one(blocks, COMMENT % "")].lines)
  build = one(blocks, COMMENT % (" " + word))
  write(os.path.join(folder, "build.sh"), blocks[build].lines)
  printed = blocks[build + 1] if build + 1 < len(blocks) else None
  if printed is None or printed.language != "text":
    sys.exit("newcomer_files: README.md doesn't show what its commands for %s print" % word)
  write(os.path.join(folder, "printed"), printed.lines)


if __name__ == "__main__":
  if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
    sys.exit(__doc__)
  main(*sys.argv[1:])
