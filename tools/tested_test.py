#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import tested  # pylint: disable=wrong-import-position


def row(system="Debian 12 (bookworm)", grpc="1.51.1", built_with="Bazel 4.2", ran="all tests"):
  return {"System": system, "Compiler": "GCC 12", "gRPC": grpc, "Protobuf": "3.21", "Abseil": "20220623",
          "Built with": built_with, "What runs": ran}


def readme(*rows):
  return "before\n%s\n%s\n%s\nafter\n" % (tested.BEGIN, tested.format_table(list(rows)), tested.END)


SID = row("Debian sid", "1.83.0", "CMake 4.3")


class TestedTest(unittest.TestCase):

  def test_the_table_that_ci_ran_is_right(self):
    self.assertEqual(tested.check(readme(row(), SID), [row(), SID]), ([], []))

  def test_a_row_that_did_not_run_fails(self):
    fatal, _ = tested.check(readme(row(), SID), [row()])
    self.assertIn("did not run", fatal[0])

  def test_a_run_that_the_table_lacks_fails(self):
    fatal, _ = tested.check(readme(row()), [row(), row(ran="the demo")])
    self.assertIn("lacks a row", fatal[0])

  def test_a_new_version_is_only_said(self):
    fatal, notes = tested.check(readme(SID), [row("Debian sid", "1.84.0", "CMake 4.4")])
    self.assertEqual(fatal, [])
    self.assertIn("1.84.0", notes[0])

  def test_a_skipped_room_is_said_and_keeps_its_row(self):
    skip = {"skipped": True, "System": "Debian sid", "Built with": "CMake"}
    text = readme(row(), SID)
    fatal, notes = tested.check(text, [row(), skip])
    self.assertEqual((fatal, notes), ([], ["skipped today: Debian sid"]))
    self.assertEqual(tested.write(text, [row(), skip]), text)

  def test_writing_makes_the_check_pass(self):
    text = tested.write(readme(row(ran="the demo")), [row(), SID])
    self.assertEqual(tested.check(text, [row(), SID]), ([], []))
    self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n"))

  def test_a_readme_without_a_table_is_an_error(self):
    with self.assertRaises(ValueError):
      tested.check("nothing", [row()])

  def test_a_record_of_this_machine(self):
    record = tested.record("CMake (shared)", "all tests")
    self.assertEqual(sorted(record), sorted(tested.HEADER))
    self.assertTrue(record["System"].startswith("Debian"), record)
    self.assertRegex(record["Compiler"], r"^(GCC|clang) \d+$")


if __name__ == "__main__":
  unittest.main()
