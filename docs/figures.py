#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the figures of the docs equal to those that bench.sh wrote, benchmarks/results/GROUP.json.

  docs/figures.py            writes the tables into the docs, and checks the tables of goals
  docs/figures.py --check    fails if a table isn't what it would write

A table stands between two comments. PATTERN, a regular expression, chooses rows by their operation:

  <!-- figures: GROUP [PATTERN] -->
  …
  <!-- end of figures -->

After the comment <!-- goals: GROUP… --> follows a table that people write. Each number in its columns after "goal", or after the
first column if none is "goal", must be a figure, a ratio of two figures of one row, or their difference, also in percent, rounded
as it is written there. If the line's first cell is an operation of the groups, or the beginning of some ("goodput, overload" of
"goodput, overload, sync"), only these rows count. A comment in the first cell can name the beginning: <!-- row: goodput, overload -->
"""

import itertools
import json
import os
import re
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "benchmarks"))
import run  # noqa: E402

PAGES = ("README.md", "docs/performance.md", "docs/reliability.md")
TABLE = re.compile(r"(<!-- figures: (\S+)(?: ((?!-->)[^\n]+?))? -->\n).*?(<!-- end of figures -->)", re.DOTALL)
GOALS = re.compile(r"<!-- goals: (.*?) -->\n+((?:\|.*\n)+)")


class Failure(Exception):
  pass


def result_of(group):
  try:
    with open(os.path.join(ROOT, "benchmarks", "results", group + ".json"), encoding="utf-8") as file:
      return json.load(file)
  except OSError as error:
    raise Failure("no figures of %r: %s" % (group, error))


def table(group, pattern):
  """Returns the lines between the two comments."""
  result = result_of(group)
  result["rows"] = [row for row in result["rows"] if re.search(pattern or "", row["operation"])]
  if not result["rows"]:
    raise Failure("no row of %r matches %r" % (group, pattern))
  peers = [peer for peer in run.peers_of(group) if any(peer in row["peers"] for row in result["rows"])]
  origin = "`benchmarks/results/%s.json`: %s, %s, commit %s." % (
      group, result["date"][:10], result["machine"], result["commit"][:12])
  return "\n".join([origin, "", "```text"] + run.table_of(result, peers) + ["```", ""])


def filled(text):
  """Returns the page with its tables as they should be."""
  return TABLE.sub(lambda match: match.group(1) + table(match.group(2), match.group(3)) + match.group(4), text)


def numbers_of(rows):
  """Returns all numbers that may be written about these rows."""
  numbers = []
  for row in rows:
    values = [row["tether"]] + list(row["peers"].values())
    numbers += values + ([row["allocations"]] if row["allocations"] is not None else [])
    for one, other in itertools.permutations(values, 2):
      numbers.append(abs(one - other))
      if one > 0 and other > 0:
        numbers += [one / other, 100 * abs(one / other - 1)]
  return numbers


def rows_of_line(cell, rows):
  """Returns the rows that the first cell of a line names, or all of them."""
  named = re.search(r"<!-- row: (.*?) -->", cell)
  start = named.group(1) if named else cell
  found = [row for row in rows if (row["operation"] + ",").startswith(start + ",")] if start else []
  if named and not found:
    raise Failure("there is no row %r" % start)
  return found or rows


def is_among(written, numbers):
  """Whether a number, rounded to the digits of `written`, is `written`."""
  digits = len(written.partition(".")[2])
  value = float(written)
  return any(abs(number - value) <= 0.5000001 * 10 ** -digits for number in numbers)


def written_numbers(cell):
  """Returns the numbers in a cell, but not those in the targets of links, and in names such as p50."""
  plain = re.sub(r"\]\([^)]*\)", "]", cell)
  return re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)", plain)


def unknown_numbers(text):
  """Returns what is wrong in the tables that people write."""
  wrong = []
  for groups, table_rows in GOALS.findall(text):
    rows = [row for group in groups.split() for row in result_of(group)["rows"]]
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table_rows.splitlines()]
    first = lines[0].index("goal") + 1 if "goal" in lines[0] else 1
    for line in lines[2:]:
      numbers = numbers_of(rows_of_line(line[0], rows))
      for written in (number for cell in line[first:] for number in written_numbers(cell)):
        if not is_among(written.replace(",", ""), numbers):
          wrong.append("%s: %r is no figure (row %r)" % (groups, written, line[0]))
  return wrong


def main(argv):
  wrong = []
  for page in PAGES:
    path = os.path.join(ROOT, page)
    with open(path, encoding="utf-8") as file:
      text = file.read()
    right = filled(text)
    wrong += ["%s: %s" % (page, what) for what in unknown_numbers(right)]
    if right != text and argv == ["--check"]:
      wrong.append("%s: a table differs from the figures; run docs/figures.py" % page)
    elif right != text:
      with open(path, "w", encoding="utf-8") as file:
        file.write(right)
  for what in wrong:
    print("figures: " + what, file=sys.stderr)
  return 1 if wrong else 0


if __name__ == "__main__":
  try:
    sys.exit(main(sys.argv[1:]))
  except Failure as failure:
    sys.exit("figures: %s" % failure)
