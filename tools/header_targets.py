#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of headers and their targets, in README.md and docs/packaging.md, from the BUILD.bazel files.

  tools/header_targets.py            writes them
  tools/header_targets.py --check    fails if they are out of date

README.md has a row for each library that users link. docs/packaging.md has a row for each Bazel target with public headers.
Each table is between <!-- headers: by tools/header_targets.py --> and <!-- /headers -->.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cmake_targets  # noqa: E402

BEGIN, END = "<!-- headers: by tools/header_targets.py -->", "<!-- /headers -->"

# The library that users link -> its short label. The targets of other libraries have no short label.
SHORT = {"tether": "@tether", "tether_grpc": "@tether//:tether_grpc", "tether_observability": "@tether//:tether_observability",
         "tether_opentelemetry": "@tether//:tether_opentelemetry"}


def public_targets(generator):
  """Returns (public library, target, headers as users include them), in the order of the include paths."""
  found = []
  for label, library in generator.owners.items():
    target = generator.targets[label]
    if target.kind != "cc_library" or "//visibility:public" not in target.attributes.get("visibility", []):
      continue
    prefix = target.attributes.get("strip_include_prefix", "").strip("/") + "/"
    headers = [target.path(f) for f in target.list("hdrs") if "internal" not in f.split("/")]
    if any(not h.startswith(prefix) for h in headers):
      raise cmake_targets.Error("%s: a header is not below its strip_include_prefix" % label)
    if headers:
      found.append((library, target, sorted(h[len(prefix):] for h in headers)))
  return sorted(found, key=lambda entry: (os.path.dirname(entry[2][0]), entry[2]))


def names(headers):
  """Returns the names of headers of one folder; only the first has the folder."""
  folder = os.path.dirname(headers[0]) + "/"
  return ", ".join(["`%s`" % headers[0]] + ["`%s`" % h[len(folder):] for h in headers[1:]])


def table(columns, rows):
  lines = ["| %s |" % " | ".join(columns), "|%s" % (" --- |" * len(columns))]
  return "\n".join(lines + ["| %s |" % " | ".join(row) for row in rows])


def cmake_name(library):
  return "tether::" + (library[len("tether_"):] if library != "tether" else library)


def library_table(entries):
  """One row per folder and library."""
  groups = {}
  for library, target, headers in entries:
    label = SHORT.get(library, "@tether" + target.label)
    for header in headers:
      groups.setdefault((os.path.dirname(header), label, library), []).append(header)
  order = list(cmake_targets.PUBLIC)
  rows = [(names(sorted(headers)), "`%s`" % label, "`%s`" % cmake_name(library))
          for (_, label, library), headers in sorted(groups.items(), key=lambda g: (order.index(g[0][2]), g[0]))]
  return table(["`#include`", "Bazel", "CMake"], rows)


def target_table(entries):
  return table(["`#include`", "Bazel", "CMake"],
               [(names(headers), "`@tether%s`" % target.label, "`%s`" % cmake_name(library))
                for library, target, headers in entries])


def replace(text, content):
  before, begin, rest = text.partition(BEGIN)
  _, end, after = rest.partition(END)
  if not begin or not end:
    raise cmake_targets.Error("no table between %r and %r" % (BEGIN, END))
  return before + BEGIN + "\n" + content + "\n" + END + after


def main(argv, public=None):
  parser = argparse.ArgumentParser()
  parser.add_argument("--check", action="store_true")
  parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
  options = parser.parse_args(argv)
  stale = False
  try:
    entries = public_targets(cmake_targets.Generator(os.path.normpath(options.root), public))
    for path, content in (("README.md", library_table(entries)), ("docs/packaging.md", target_table(entries))):
      full = os.path.join(options.root, path)
      old = cmake_targets.read(full)
      new = replace(old, content)
      if old == new:
        continue
      stale = True
      if options.check:
        print("header_targets: the table in %s is out of date: run tools/header_targets.py" % path, file=sys.stderr)
      else:
        with open(full, "w", encoding="utf-8") as file:
          file.write(new)
  except cmake_targets.Error as e:
    print("header_targets: %s" % e, file=sys.stderr)
    return 1
  return 1 if options.check and stale else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
