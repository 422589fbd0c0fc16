#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks docs/semantics.md, and tests check_semantics on small trees."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "docs"))
import check_semantics  # noqa: E402

SOURCE = "TEST(A, One) {}\nTEST_F(A,\n       Two) {}\n// TEST(A, Gone)\nTEST_P(B, Three) {}\nTEST(A, DISABLED_Off) {}\n"


class CheckSemanticsTest(unittest.TestCase):

  def check(self, document):
    """Returns the problems of a tree with this document and some tests, without their positions."""
    with tempfile.TemporaryDirectory() as root:
      files = {
          "docs/semantics.md": document,
          "code/BUILD.bazel": 'srcs = ["a_test.cc", "b_test.py"]\n',
          "code/a_test.cc": SOURCE,
          "code/b_test.py": "class C(TestCase):\n\n  def test_it(self):\n    pass\n\n\nclass D:\n  def test_d(self):\n    pass\n",
          "code/loose_test.cc": SOURCE,
      }
      for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as file:
          file.write(text)
      return [problem.split(": ", 1)[1] for problem in check_semantics.check(root)]

  def test_promises_that_tests_keep_are_right(self):
    self.assertEqual(
        self.check("# Title\n\n- It holds. [A.One](../code/a_test.cc)\n- So does this,\n  at length.\n"
                   "  [A.Two](../code/a_test.cc), [B.Three](../code/a_test.cc)\n- And. [C.test_it](../code/b_test.py)\n"), [])

  def test_a_promise_without_a_test_is_found(self):
    self.assertEqual(self.check("- It holds.\n"), ["no test keeps this: It holds."])
    self.assertEqual(len(self.check("- It [A.One](../code/a_test.cc) holds.\n")), 1)

  def test_a_test_that_is_not_there_is_found(self):
    self.assertEqual(self.check("- It. [A.Four](../code/a_test.cc)\n"), ["code/a_test.cc has no test A.Four"])
    self.assertEqual(self.check("- It. [B.One](../code/a_test.cc)\n"), ["code/a_test.cc has no test B.One"])
    self.assertEqual(self.check("- It. [A.Gone](../code/a_test.cc)\n"), ["code/a_test.cc has no test A.Gone"])
    self.assertEqual(self.check("- It. [D.test_it](../code/b_test.py)\n"), ["code/b_test.py has no test D.test_it"])
    self.assertEqual(self.check("- It. [A.One](../code/x_test.cc)\n"), ["there is no file code/x_test.cc"])

  def test_a_test_that_never_runs_is_found(self):
    self.assertEqual(self.check("- It. [A.One](../code/loose_test.cc)\n"), ["no BUILD file names code/loose_test.cc"])
    self.assertEqual(self.check("- It. [A.DISABLED_Off](../code/a_test.cc)\n"), ["disabled: A.DISABLED_Off"])

  def test_what_is_no_name_is_found(self):
    self.assertEqual(self.check("- It. [the test](../code/a_test.cc)\n"), ["not Suite.Test: the test"])

  def test_a_document_without_promises_is_found(self):
    self.assertEqual(self.check("# Title\n"), ["no promise at all"])


class TheDocumentTest(unittest.TestCase):

  def test_is_kept(self):
    # This is the source tree; see check_docs_test.py.
    root = os.path.dirname(os.path.realpath("README.md"))
    self.assertTrue(os.path.isfile(os.path.join(root, "WORKSPACE")), root)
    for document in check_semantics.DOCUMENTS:
      self.assertTrue(os.path.isfile(os.path.join(root, document)), document)
    problems = check_semantics.check(root)
    self.assertFalse(problems, "\n" + "\n".join(problems))


if __name__ == "__main__":
  unittest.main()
