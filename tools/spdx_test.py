#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks where tools/spdx.py puts the line of the license."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import spdx  # noqa: E402

# In two parts, so that this isn't the line itself.
LINE = "SPDX-License-" + "Identifier: Apache-2.0"


class SpdxTest(unittest.TestCase):

  def test_it_is_the_first_line(self):
    self.assertEqual(spdx.with_line("lib/a.h", "// A comment.\n"), "// %s\n//\n// A comment.\n" % LINE)
    self.assertEqual(spdx.with_line("lib/a.proto", "package a;\n"), "// %s\n\npackage a;\n" % LINE)
    self.assertEqual(spdx.with_line("lib/a.cc", "\nint a;\n"), "// %s\n\nint a;\n" % LINE)
    self.assertEqual(spdx.with_line("lib/BUILD.bazel", "load(x)\n"), "# %s\nload(x)\n" % LINE)
    self.assertEqual(spdx.with_line("packaging/a/CMakeLists.txt", "project(a)\n"), "# %s\nproject(a)\n" % LINE)

  def test_it_is_the_second_line_of_a_script(self):
    self.assertEqual(spdx.with_line("a.sh", "#!/bin/sh\n# A.\n"), "#!/bin/sh\n# %s\n# A.\n" % LINE)
    self.assertEqual(spdx.with_line(".ci/run", "#!/bin/sh\n"), "#!/bin/sh\n# %s\n" % LINE)

  def test_it_is_added_once(self):
    for path in ("a.sh", "a.cc", "a.py", "WORKSPACE"):
      for text in ("#!/bin/sh\n", "text\n", ""):
        self.assertIsNone(spdx.with_line(path, spdx.with_line(path, text)))

  def test_a_line_further_down_does_not_count(self):
    self.assertIsNotNone(spdx.with_line("a.cc", "int a;\n// %s\n" % LINE))

  def test_texts_and_inputs_of_tests_have_none(self):
    for path in ("README.md", "examples/expected/gen.txt", "lib/tether/fuzz/corpus/b3/a.cc", "docs/flow.svg"):
      self.assertIsNone(spdx.with_line(path, "text\n"))


if __name__ == "__main__":
  unittest.main()
