#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the tables of headers and targets are up to date, and tests the script's output on a small tree."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import header_targets  # noqa: E402

LIB = """
load("@rules_cc//cc:defs.bzl", "cc_library")
cc_library(name = "tether", deps = [":a", ":b", ":hidden"], visibility = ["//visibility:public"])
cc_library(
    name = "a",
    hdrs = ["z.h", "a.h", "internal/a.h"],
    strip_include_prefix = "/lib",
    visibility = ["//visibility:public"],
    deps = [":inner"],
)
cc_library(name = "b", hdrs = ["b.h"], strip_include_prefix = "/lib", visibility = ["//visibility:public"])
cc_library(name = "hidden", hdrs = ["hidden.h"], strip_include_prefix = "/lib", visibility = ["//lib:__subpackages__"])
cc_library(name = "inner", hdrs = ["internal/i.h"], strip_include_prefix = "/lib", visibility = ["//visibility:public"])
cc_library(name = "tests", hdrs = ["t.h"], strip_include_prefix = "/lib", visibility = ["//visibility:public"])
"""
PUBLIC = {"tether": ["//lib/tether:tether"], "tether_testing": ["//lib/tether:tests"]}
FRAME = "before\n%s\n%%s%s\nafter\n" % (header_targets.BEGIN, header_targets.END)
HEAD = "| `#include` | Bazel | CMake |\n| --- | --- | --- |\n"


class HeaderTargetsTest(unittest.TestCase):

  def setUp(self):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = folder.name
    self.write("third_party/system.bzl", "_ABSL = {}\n")
    self.write("lib/tether/BUILD.bazel", LIB)
    self.write("README.md", FRAME % "old\n")
    self.write("docs/packaging.md", FRAME % "")

  def write(self, path, text):
    os.makedirs(os.path.dirname(os.path.join(self.root, path)), exist_ok=True)
    with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
      file.write(text)

  def read(self, path):
    with open(os.path.join(self.root, path), encoding="utf-8") as file:
      return file.read()

  def run_main(self, *args):
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
      code = header_targets.main(["--root=" + self.root, *args], PUBLIC)
    return code, out.getvalue()

  def test_a_row_for_each_library_that_users_link(self):
    self.assertEqual(self.run_main(), (0, ""))
    self.assertEqual(self.read("README.md"), FRAME % (
        HEAD + "| `tether/a.h`, `b.h`, `z.h` | `@tether` | `tether::tether` |\n"
        "| `tether/t.h` | `@tether//lib/tether:tests` | `tether::testing` |\n"))

  def test_a_row_for_each_target_with_public_headers(self):
    self.assertEqual(self.run_main(), (0, ""))
    self.assertEqual(self.read("docs/packaging.md"), FRAME % (
        HEAD + "| `tether/a.h`, `z.h` | `@tether//lib/tether:a` | `tether::tether` |\n"
        "| `tether/b.h` | `@tether//lib/tether:b` | `tether::tether` |\n"
        "| `tether/t.h` | `@tether//lib/tether:tests` | `tether::testing` |\n"))

  def test_check_passes_only_if_both_are_up_to_date(self):
    code, out = self.run_main("--check")
    self.assertEqual(code, 1)
    self.assertIn("the table in README.md is out of date: run tools/header_targets.py", out)
    self.assertIn("old", self.read("README.md"))
    self.run_main()
    self.assertEqual(self.run_main("--check"), (0, ""))
    self.write("lib/tether/BUILD.bazel", LIB.replace('"b.h"', '"c.h"'))
    self.assertEqual(self.run_main("--check")[0], 1)

  def test_a_document_without_the_table_is_an_error(self):
    self.write("README.md", "nothing\n")
    code, out = self.run_main()
    self.assertEqual(code, 1)
    self.assertIn("no table between", out)

  def test_a_header_outside_its_prefix_is_an_error(self):
    self.write("lib/tether/BUILD.bazel", LIB.replace('hdrs = ["b.h"], strip_include_prefix = "/lib"',
                                                     'hdrs = ["b.h"], strip_include_prefix = "/other"'))
    self.assertIn("//lib/tether:b: a header is not below its strip_include_prefix", self.run_main()[1])

  def test_the_trees_own_tables_are_up_to_date(self):
    root = os.path.dirname(os.path.realpath("README.md"))
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
      code = header_targets.main(["--root=" + root, "--check"])
    self.assertEqual((code, out.getvalue()), (0, ""))


if __name__ == "__main__":
  unittest.main()
