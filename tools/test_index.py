#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/tests.md, the index of what is tested where, from the tests themselves.

  tools/test_index.py            writes it
  tools/test_index.py --check    fails if it is out of date

A test's line is the first sentence of the comment that its file begins with. A test without one is named after the file
that it tests. Cases are counted in the source: a case with parameters counts once.
"""

import argparse
import ast
import os
import re
import sys

OUTPUT = "docs/tests.md"
HEAD = """# What is tested where

Written by `tools/test_index.py` from the first comment of each test. A promise and the test that proves it are in
[semantics.md](semantics.md). "Cases" counts the cases in the source. A case with parameters counts once.
"""
SUFFIXES = ("_test.cc", "_test.py", "_test.sh")
CASE = re.compile(r"^(?:TYPED_)?TEST(?:_F|_P)?\(", re.M)
# Not part of the test suite: tests of tether as installed, the kit of the tests, and the script that runs the tests with CMake.
SKIPPED = re.compile(r"^packaging/|(^|/)testing/|^tools/cmake_test.sh$")


class Error(Exception):
  pass


def comment(path, text):
  """The comment that a file begins with, as one line; "" if it has none."""
  if path.endswith(".py"):
    return " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())
  mark = "#" if path.endswith(".sh") else "//"
  lines = []
  for line in text.split("\n"):
    if line.startswith("#!") or "SPDX-" in line or (not lines and line in ("", mark)):
      continue
    if not line.startswith(mark) or line == mark:
      break
    lines.append(line[len(mark):].strip())
  return " ".join(lines)


def sentence(text):
  """The first sentence of `text`, without its full stop."""
  end = re.search(r"[.:?](?=\s|$)", text)
  return text[:end.start()] if end else text


def tested_file(root, path):
  """x.h or what else stands beside x_test.cc; None if nothing does."""
  stem = path.rpartition("_test.")[0]
  for suffix in (".h", ".cc", ".py", ".sh"):
    if os.path.exists(os.path.join(root, stem + suffix)):
      return os.path.basename(stem) + suffix
  return None


def describe(root, path, text):
  own = sentence(comment(path, text))
  if own:
    return own
  tested = tested_file(root, path)
  if tested is None:
    raise Error("%s: a test that isn't named after a file begins with a comment that says what it tests" % path)
  return "`%s`" % tested


def cases(path, text):
  if path.endswith(".cc"):
    return len(CASE.findall(text))
  if path.endswith(".py"):
    return len(re.findall(r"^ +def test", text, re.M)) or 1
  return 1


def tests(root):
  """The paths of all tests, relative to `root`."""
  found = []
  for folder, folders, files in os.walk(root):
    # Build folders and hidden ones.
    folders[:] = sorted(f for f in folders if not f.startswith((".", "bazel-")) and f != "build" and
                        not os.path.exists(os.path.join(folder, f, "CMakeCache.txt")))
    found += [os.path.relpath(os.path.join(folder, f), root) for f in sorted(files) if f.endswith(SUFFIXES)]
  return [path for path in found if not SKIPPED.search(path)]


def index(root):
  folders = {}
  for path in tests(root):
    with open(os.path.join(root, path), encoding="utf-8") as file:
      text = file.read()
    folder, name = os.path.split(path)
    row = "| [%s](../%s) | %s | %d |" % (name, path, describe(root, path, text).replace("|", r"\|"), cases(path, text))
    folders.setdefault(folder, []).append((row, cases(path, text)))
  parts = [HEAD]
  for folder, rows in sorted(folders.items()):
    parts.append("## %s\n" % folder)
    parts.append("| test | tests | cases |\n| --- | --- | --- |")
    parts += [row for row, _ in rows]
    parts.append("| | | %d |\n" % sum(count for _, count in rows))
  return "\n".join(parts).rstrip("\n") + "\n"


def main(argv):
  parser = argparse.ArgumentParser()
  parser.add_argument("--check", action="store_true")
  parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
  args = parser.parse_args(argv)
  output = os.path.join(args.root, OUTPUT)
  try:
    text = index(args.root)
  except Error as e:
    print(e)
    return 1
  if not args.check:
    with open(output, "w", encoding="utf-8") as file:
      file.write(text)
    return 0
  old = ""
  if os.path.exists(output):
    with open(output, encoding="utf-8") as file:
      old = file.read()
  if old == text:
    return 0
  print("%s is out of date: run tools/test_index.py" % OUTPUT)
  return 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
