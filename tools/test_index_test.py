#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that docs/tests.md is up to date, and on a small tree what tools/test_index.py writes."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import test_index  # noqa: E402


class TestIndexTest(unittest.TestCase):

  def setUp(self):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = folder.name
    self.write("docs/README.md", "")
    self.write("a/x_test.cc", "// SPDX-License-Identifier: MIT\n\n// A slow call\n// ends. More.\n\nTEST(X, A) {\n}\n"
               "  TEST(not, this)\nTEST_P(X, B) {\n}\nTYPED_TEST(X, C) {\n")

  def write(self, path, text):
    os.makedirs(os.path.dirname(os.path.join(self.root, path)), exist_ok=True)
    with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
      file.write(text)

  def read(self):
    with open(os.path.join(self.root, "docs/tests.md"), encoding="utf-8") as file:
      return file.read()

  def run_main(self, *args):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      code = test_index.main(["--root=" + self.root, *args])
    return code, out.getvalue()

  def test_a_row_has_the_first_sentence_and_the_cases(self):
    self.assertEqual(self.run_main(), (0, ""))
    self.assertIn("## a\n\n| test | tests | cases |\n| --- | --- | --- |\n"
                  "| [x_test.cc](../a/x_test.cc) | A slow call ends | 3 |\n| | | 3 |\n", self.read())

  def test_a_test_without_a_comment_is_named_after_its_file(self):
    self.write("a/y_test.cc", '#include "a/y.h"\n')
    self.write("a/y.h", "")
    self.assertEqual(self.run_main(), (0, ""))
    self.assertIn("| `y.h` | 0 |", self.read())

  def test_a_test_that_says_nothing_of_itself_is_an_error(self):
    self.write("a/y_test.cc", '#include "a/z.h"\n')
    code, out = self.run_main()
    self.assertEqual(code, 1)
    self.assertIn("a/y_test.cc: a test that isn't named after a file begins with a comment", out)

  def test_scripts_are_tests_too(self):
    self.write("b/y_test.py", '#!/usr/bin/env python3\n"""Checks y: all of it."""\n\nclass Y:\n\n  def test_a(self):\n    pass\n')
    self.write("b/z_test.sh", "#!/bin/sh\n# Runs z.\n")
    self.assertEqual(self.run_main(), (0, ""))
    self.assertIn("| Checks y | 1 |", self.read())
    self.assertIn("| Runs z | 1 |\n| | | 2 |", self.read())

  def test_check_passes_only_if_it_is_up_to_date(self):
    self.assertEqual(self.run_main("--check")[0], 1)
    self.run_main()
    self.assertEqual(self.run_main("--check"), (0, ""))
    self.write("a/y_test.cc", "// Another one.\n")
    code, out = self.run_main("--check")
    self.assertEqual(code, 1)
    self.assertIn("docs/tests.md is out of date: run tools/test_index.py", out)

  def test_build_folders_and_the_kit_are_left_out(self):
    self.write("build/debug/q_test.cc", "// Q.\n")
    self.write("a/testing/q_test.cc", "// Q.\n")
    self.run_main()
    self.assertNotIn("q_test", self.read())

  def test_the_trees_own_index_is_up_to_date(self):
    root = os.path.dirname(os.path.realpath("README.md"))
    self.root = root
    self.assertEqual(self.run_main("--check"), (0, ""))


if __name__ == "__main__":
  unittest.main()
