#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Applies the five patches of the migration guide, each to the state before it, and tests the script that does so."""

import contextlib
import io
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "examples/migration"))
import patches  # noqa: E402

# The source tree: Bazel's and CMake's copies of this file are links into it.
FOLDER = os.path.dirname(os.path.realpath("examples/migration/patches.py"))


class PatchesTest(unittest.TestCase):

  def setUp(self):
    temporary = tempfile.TemporaryDirectory()
    self.addCleanup(temporary.cleanup)
    self.folder = os.path.join(temporary.name, "migration")
    shutil.copytree(FOLDER, self.folder)

  def check(self):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
      code = patches.main(["--check"], self.folder)
    self.assertEqual(code, 1 if output.getvalue() else 0)
    return output.getvalue()

  def test_each_patch_makes_the_next_state(self):
    self.assertEqual(self.check(), "")

  def test_the_script_writes_patches_that_do_so(self):
    for state in patches.STATES[1:]:
      os.remove(os.path.join(self.folder, state + ".patch"))
    self.assertEqual(patches.main([], self.folder), 0)
    self.assertEqual(self.check(), "")

  def test_the_guide_shows_all_of_them(self):
    guide = os.path.join(FOLDER, "../../docs/migrating.md")
    with open(guide, encoding="utf-8") as file:
      text = file.read()
    copy = os.path.join(self.folder, "guide.md")
    with open(copy, "w", encoding="utf-8") as file:
      file.write(text.replace("+", "-"))
    self.assertEqual(patches.main([], self.folder, copy), 0)
    with open(copy, encoding="utf-8") as file:
      self.assertEqual(file.read(), text)

  def test_a_state_that_has_changed_is_found(self):
    with open(os.path.join(self.folder, "step3/shop.cc"), "a", encoding="utf-8") as file:
      file.write("// changed\n")
    self.assertEqual(self.check(), "step3.patch doesn't make step3 from step2\nstep4.patch doesn't make step4 from step3\n")

  def test_a_patch_that_does_not_apply_is_found(self):
    with open(os.path.join(self.folder, "step1/shop.cc"), "w", encoding="utf-8") as file:
      file.write("// empty\n")
    self.assertIn("step2.patch doesn't apply to step1", self.check())

  def test_a_file_too_many_is_found(self):
    with open(os.path.join(self.folder, "step5/by_hand.h"), "w", encoding="utf-8") as file:
      file.write("// still here\n")
    self.assertEqual(self.check(), "step5.patch doesn't make step5 from step4\n")

  def test_a_missing_patch_is_found(self):
    os.remove(os.path.join(self.folder, "step4.patch"))
    self.assertEqual(self.check(), "there is no step4.patch\n")


if __name__ == "__main__":
  unittest.main()
