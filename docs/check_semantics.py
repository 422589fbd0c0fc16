#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that each promise of docs/semantics.md and docs/reliability.md names tests that exist.

  docs/check_semantics.py [ROOT]     prints what is wrong, one line each; the exit code is 0 only if nothing is

A promise is a list item. It ends with one or more links of the form [Suite.Test](../path/of/the_test.cc). Then
 - the file exists, and the nearest BUILD file names it;
 - it has that test: TEST(Suite, Test), TEST_F or TEST_P; in a Python file, a method Test of a class Suite;
 - the test isn't disabled.
"""

import os
import re
import sys

import check_docs

DOCUMENTS = ("docs/semantics.md", "docs/reliability.md")
ITEM = re.compile(r"^[-*] ")
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
NAME = re.compile(r"^\w+\.\w+$")


def items(text):
  """Returns the list items as (number of the first line, text on one line)."""
  result, number, lines = [], None, []
  for i, line in enumerate(text.split("\n") + [""], 1):
    if number is not None and line.startswith("  ") and line.strip():
      lines.append(line.strip())
      continue
    if number is not None:
      result.append((number, " ".join(lines)))
      number = None
    if ITEM.match(line):
      number, lines = i, [line[2:].strip()]
  return result


def has_test(path, source, suite, test):
  if path.endswith(".py"):
    body = re.search(r"^class %s\b.*?(?=^\S|\Z)" % re.escape(suite), source, re.MULTILINE | re.DOTALL)
    return bool(body) and re.search(r"^\s+def %s\(" % re.escape(test), body.group(0), re.MULTILINE) is not None
  # A comment could also name a test.
  code = re.sub(r"//[^\n]*", "", source)
  return re.search(r"\bTEST(_F|_P)?\(\s*%s\s*,\s*%s\s*\)" % (re.escape(suite), re.escape(test)), code) is not None


def check_link(root, name, link):
  """Returns the problem with one [name](link), or None."""
  path = os.path.normpath(os.path.join("docs", link))
  if not NAME.match(name):
    return "not Suite.Test: " + name
  if path.startswith("..") or not os.path.isfile(os.path.join(root, path)):
    return "there is no file " + path
  if not check_docs.is_compiled(root, path):
    return "no BUILD file names " + path
  suite, test = name.split(".")
  if not has_test(path, check_docs.read(os.path.join(root, path)), suite, test):
    return "%s has no test %s" % (path, name)
  if suite.startswith("DISABLED_") or test.startswith("DISABLED_"):
    return "disabled: " + name
  return None


def check_document(root, document):
  """Returns all problems of a document, as "file:line: problem"."""
  problems = []
  promises = items(check_docs.read(os.path.join(root, document)))
  if not promises:
    problems.append("%s:1: no promise at all" % document)
  for number, text in promises:
    links = LINK.findall(text)
    if not links or not text.endswith(")"):
      problems.append("%s:%d: no test keeps this: %s" % (document, number, text))
    for name, link in links:
      problem = check_link(root, name, link)
      if problem:
        problems.append("%s:%d: %s" % (document, number, problem))
  return problems


def check(root):
  """Returns all problems. A tree without one of the documents has none of its promises."""
  return [problem for document in DOCUMENTS if os.path.isfile(os.path.join(root, document))
          for problem in check_document(root, document)]


def main(argv):
  root = argv[0] if argv else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
  problems = check(root)
  for problem in problems:
    print(problem)
  return 1 if problems else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
