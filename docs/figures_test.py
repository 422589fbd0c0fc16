#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests figures.py, and that the docs have the recorded figures."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import figures  # noqa: E402

ROWS = [
    {"operation": "goodput, sync", "unit": "per second", "tether": 300.0, "peers": {"no propagation": 100.0},
     "allocations": None, "threads": 1},
    {"operation": "goodput, callback", "unit": "per second", "tether": 41.26, "peers": {"no propagation": 10.0},
     "allocations": 3, "threads": 1},
]
PAGE = """Text.

<!-- figures: load , sync$ -->
old
<!-- end of figures -->

<!-- goals: load -->

| row | goal | measured |
| --- | --- | --- |
| p50 of 7 | at least 77 | %s |
"""


class FiguresTest(unittest.TestCase):
  def setUp(self):
    before = figures.result_of
    self.addCleanup(lambda: setattr(figures, "result_of", before))
    figures.result_of = lambda group: {
        "group": group, "machine": "a machine", "date": "2024-01-02T03:04:05Z", "commit": "a" * 40, "rows": list(ROWS)}

  def test_a_table_has_the_rows_that_match(self):
    page = figures.filled(PAGE)
    self.assertIn("`benchmarks/results/load.json`: 2024-01-02, a machine, commit aaaaaaaaaaaa.\n", page)
    self.assertIn("goodput, sync", page)
    self.assertNotIn("goodput, callback", page)
    self.assertNotIn("old", page)
    self.assertEqual(figures.filled(page), page)

  def test_a_table_without_rows_is_an_error(self):
    with self.assertRaisesRegex(figures.Failure, "no row of 'load' matches 'nothing'"):
      figures.filled(PAGE.replace(", sync$", "nothing"))

  def test_figures_ratios_and_differences_may_be_written(self):
    for text in ("300", "3.0×", "0.33", "200 %", "3 allocations", "41.3", "41.26", "p99 300",
                 "[missed](#in-99-cases)", "met"):
      self.assertEqual(figures.unknown_numbers(PAGE % text), [], text)

  def test_other_numbers_are_found(self):
    for text, number in (("3.1×", "3.1"), ("301", "301"), ("41.2", "41.2"), ("300 and 17", "17"), ("1,300", "1,300")):
      self.assertEqual(figures.unknown_numbers(PAGE % text), ["load: %r is no figure (row 'p50 of 7')" % number])

  def test_a_line_that_names_a_row_has_its_numbers_only(self):
    page = "<!-- goals: load -->\n\n| | tether |\n| --- | --- |\n| %s | %s |\n"
    for name, numbers in (("goodput, sync", "300"), ("goodput", "300 and 41.3"), ("answers <!-- row: goodput, sync -->", "300"),
                          ("answers", "300 and 41.3"), ("good", "300 and 41.3")):
      self.assertEqual(figures.unknown_numbers(page % (name, numbers)), [], name)
    for name in ("goodput, sync", "answers <!-- row: goodput, sync -->"):
      self.assertEqual(len(figures.unknown_numbers(page % (name, "41.3"))), 1, name)
    with self.assertRaisesRegex(figures.Failure, "there is no row 'goodputs'"):
      figures.unknown_numbers(page % ("x <!-- row: goodputs -->", "1"))

  def test_without_a_column_of_goals_all_but_the_first_count(self):
    page = "<!-- goals: load -->\n\n| row 5 | tether |\n| --- | --- |\n| in 7 ms | %s |\n"
    self.assertEqual(figures.unknown_numbers(page % "300"), [])
    self.assertEqual(len(figures.unknown_numbers(page % "301")), 1)


class DocsTest(unittest.TestCase):
  def test_the_docs_have_the_recorded_figures(self):
    self.assertEqual(figures.main(["--check"]), 0)


if __name__ == "__main__":
  unittest.main()
