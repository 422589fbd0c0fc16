#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that docs/operations.md has the table of metrics, and that the alerts name metrics of it.

  metric_table_test.py PRINT_METRIC_TABLE
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "docs"))
import metric_table  # noqa: E402

PROGRAM = ""
PAGE = "docs/operations.md"
RULES = ["docs/alerts/tether.rules.yml", "docs/alerts/tether.rules_test.yml"]


def read(path):
  with open(path, encoding="utf-8") as file:
    return file.read()


def series(metrics):
  """The names of the series of metrics: {name}"""
  names = set()
  for name, cells in metrics.items():
    names |= {name + end for end in ("_bucket", "_count", "_sum")} if cells[2] == "histogram" else {name}
  return names


class MetricTableTest(unittest.TestCase):

  def setUp(self):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.copy = os.path.join(folder.name, "page.md")

  def run_main(self, *args):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      code = metric_table.main(["--program", PROGRAM, *args])
    return code, out.getvalue()

  def write(self, text):
    with open(self.copy, "w", encoding="utf-8") as file:
      file.write(text)

  def test_the_page_has_the_table_of_the_code(self):
    self.assertEqual(self.run_main("--check", "--page", PAGE), (0, ""))

  def test_a_table_that_differs_is_found_and_written(self):
    page = read(PAGE)
    self.write(page.replace("| counter |", "| gauge |", 1))
    code, out = self.run_main("--check", "--page", self.copy)
    self.assertEqual(code, 1)
    self.assertIn("out of date", out)
    self.assertEqual(self.run_main("--page", self.copy), (0, ""))
    self.assertEqual(read(self.copy), page)

  def test_a_page_without_a_place_for_the_table_is_an_error(self):
    self.write("# Operations\n")
    code, out = self.run_main("--page", self.copy)
    self.assertEqual(code, 1)
    self.assertIn("no table between", out)

  def test_the_alerts_name_metrics_of_the_table(self):
    known = series(metric_table.rows(metric_table.printed(PROGRAM)))
    self.assertIn("tether_server_requests_total", known)
    self.assertIn("tether_client_time_left_seconds_bucket", known)
    self.assertNotIn("tether_client_time_left_seconds", known)
    for path in RULES:
      names = set(re.findall(r"\btether_[a-z0-9_]+", read(path)))
      self.assertGreater(len(names), 5)
      self.assertEqual(names - known, set(), path)

  def test_the_alerts_name_labels_of_their_metrics(self):
    metrics = metric_table.rows(metric_table.printed(PROGRAM))
    for name, labels in re.findall(r"\b(tether_[a-z0-9_]+)\{([^}]*)\}", "".join(read(path) for path in RULES)):
      cells = metrics.get(name) or metrics[re.sub(r"_(bucket|count|sum)$", "", name)]
      known = set(cells[4].replace("`", "").split(", ")) | {"job", "instance", "le"}
      self.assertEqual(set(re.findall(r"(\w+)=", labels)) - known, set(), name)


if __name__ == "__main__":
  PROGRAM = sys.argv.pop(1)
  unittest.main()
