#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the table of metrics in docs/operations.md.

  bazel build //observability/tether/observability:print_metric_table
  docs/metric_table.py            writes it
  docs/metric_table.py --check    fails if it is out of date

The table is between <!-- metrics: by docs/metric_table.py --> and <!-- /metrics -->. The program print_metric_table has it from
observability/tether/observability/metric_table.cc.
"""

import argparse
import os
import subprocess
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
PROGRAM = "bazel-bin/observability/tether/observability/print_metric_table"
BEGIN, END = "<!-- metrics: by docs/metric_table.py -->\n", "<!-- /metrics -->"


def printed(program):
  return subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout


def rows(table):
  """{metric's name in Prometheus: its cells}"""
  found = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
  return {cells[0]: cells for cells in found}


def replaced(text, table):
  before, begin, rest = text.partition(BEGIN)
  _, end, after = rest.partition(END)
  if not begin or not end:
    raise ValueError("no table between %r and %r" % (BEGIN, END))
  return before + BEGIN + table + END + after


def main(argv):
  parser = argparse.ArgumentParser()
  parser.add_argument("--check", action="store_true")
  parser.add_argument("--page", default=os.path.join(ROOT, "docs/operations.md"))
  parser.add_argument("--program", default=os.path.join(ROOT, PROGRAM))
  options = parser.parse_args(argv)
  with open(options.page, encoding="utf-8") as file:
    old = file.read()
  try:
    new = replaced(old, printed(options.program))
  except (ValueError, OSError, subprocess.CalledProcessError) as error:
    print("metric_table: %s" % error)
    return 1
  if options.check and old != new:
    print("metric_table: the table in docs/operations.md is out of date: build print_metric_table and run docs/metric_table.py")
    return 1
  if old != new:
    with open(options.page, "w", encoding="utf-8") as file:
      file.write(new)
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
