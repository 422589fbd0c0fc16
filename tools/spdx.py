#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds the line of the license to each source file that lacks it.

  tools/spdx.py            adds it
  tools/spdx.py --check    prints the files that lack it, and fails if there is one

It is a comment, and the first line of the file, or the second after `#!`. Texts, inputs of tests and their expected
results have none.
"""

import os
import subprocess
import sys

TEXT = "SPDX-License-Identifier: Apache-2.0"
# How a name ends -> how a comment begins.
COMMENTS = {
    ".h": "//", ".cc": "//", ".proto": "//", ".go": "//", ".dox": "//",
    ".sh": "#", ".py": "#", ".bzl": "#", ".bazel": "#", ".tpl": "#", ".cmake": "#", "CMakeLists.txt": "#",
    "WORKSPACE": "#", ".ci/run": "#", "Makefile": "#", ".bazelrc": "#",
}
# Read by programs that compare them, or shown whole.
EXCEPT = ("examples/expected/", "benchmarks/results/", "lib/tether/fuzz/corpus/", "sidecar/fuzz/corpus/")
# What users copy begins with the code.
GENERATED = ("cmake/targets.cmake",)


def comment_of(path):
  if path.startswith(EXCEPT) or path in GENERATED:
    return None
  return next((mark for end, mark in COMMENTS.items() if path.endswith(end)), None)


def with_line(path, text):
  """The text with the line, or None if it needs none."""
  mark = comment_of(path)
  if mark is None:
    return None
  line = "%s %s" % (mark, TEXT)
  lines = text.split("\n")
  at = 1 if lines[0].startswith("#!") else 0
  if lines[at:at + 1] == [line]:
    return None
  gap = []
  if mark == "//" and lines[at:at + 1] != [""]:
    # The comment that describes the file is a paragraph of its own.
    gap = [mark] if lines[at].startswith(mark) else [""]
  return "\n".join(lines[:at] + [line] + gap + lines[at:])


def main(argv):
  if argv not in ([], ["--check"]):
    print("usage: tools/spdx.py [--check]", file=sys.stderr)
    return 2
  root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
  listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                          stdout=subprocess.PIPE, check=True, text=True).stdout
  lacking = 0
  for path in filter(None, listed.split("\0")):
    full = os.path.join(root, path)
    if comment_of(path) is None or os.path.islink(full) or not os.path.isfile(full):
      continue
    with open(full, encoding="utf-8", newline="") as file:
      text = file.read()
    result = with_line(path, text)
    if result is None:
      continue
    lacking += 1
    if argv:
      print("%s lacks the line: %s (tools/spdx.py adds it)" % (path, TEXT))
    else:
      with open(full, "w", encoding="utf-8", newline="") as file:
        file.write(result)
  return 1 if argv and lacking else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
