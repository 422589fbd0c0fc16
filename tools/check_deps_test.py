#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the tree's deps, and tests on a small tree that tools/check_deps.py finds problems."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import check_deps  # noqa: E402

SYSTEM = '_ABSL = {"absl/time": "absl_time", "absl/status": "absl_status", "absl/status:statusor": "absl_statusor"}\n'
LIB = """\
cc_library(
    name = "part",
    srcs = ["part.cc"],
    hdrs = ["part.h"],
    strip_include_prefix = "/lib",
    deps = ["@com_google_absl//absl/time"],
)

cc_library(
    name = "whole",
    hdrs = ["whole.h"],
    strip_include_prefix = "/lib",
    deps = [":part"],
)
"""


class CheckDepsTest(unittest.TestCase):

  def setUp(self):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = folder.name
    self.write("third_party/system.bzl", SYSTEM)
    self.write("lib/BUILD.bazel", LIB)
    self.write("lib/part.h", '#include "absl/time/time.h"\n')
    self.write("lib/part.cc", '#include "part.h"\n#include <vector>\n')
    self.write("lib/whole.h", '#include "part.h"\n')

  def write(self, path, text):
    os.makedirs(os.path.dirname(os.path.join(self.root, path)), exist_ok=True)
    with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
      file.write(text)

  def run_main(self, *args):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      code = check_deps.main(["--root=" + self.root, *args])
    return code, out.getvalue()

  def test_exact_deps_pass(self):
    self.assertEqual(self.run_main(), (0, ""))

  def test_a_dep_without_an_include_is_unused(self):
    self.write("lib/whole.h", "#include <vector>\n")
    self.assertEqual(self.run_main(), (1, "//lib:whole: unused dep :part\n"))

  def test_a_dep_without_headers_is_linked_for_what_it_does(self):
    self.write("more/BUILD.bazel", 'cc_library(name = "main", srcs = ["main.cc"])\n'
               'cc_test(name = "t", deps = [":main"])\n')
    self.write("more/main.cc", "")
    self.assertEqual(self.run_main(), (0, ""))

  def test_an_include_of_a_header_needs_a_direct_dep(self):
    self.write("lib/whole.h", '#include "part.h"\n  #  include "absl/time/clock.h"\n')
    self.assertEqual(self.run_main(), (
        1, "//lib:whole: missing dep @com_google_absl//absl/time: lib/whole.h includes absl/time/clock.h\n"))

  def test_an_include_of_a_source_needs_a_direct_dep(self):
    self.write("lib/part.cc", '#include "whole.h"\n')
    self.assertEqual(self.run_main(), (1, "//lib:part: missing dep :whole: lib/part.cc includes whole.h\n"))

  def test_a_header_that_no_target_has_is_found(self):
    self.write("lib/stray.h", "")
    self.write("lib/whole.h", '#include "part.h"\n#include "stray.h"\n')
    self.assertEqual(self.run_main(), (1, "//lib:whole: missing dep no target: lib/whole.h includes stray.h\n"))

  def test_labels_of_abseil_follow_the_header(self):
    self.write("lib/whole.h", '#include "part.h"\n#include "absl/status/status.h"\n#include "absl/status/statusor.h"\n')
    _, out = self.run_main()
    self.assertIn("missing dep @com_google_absl//absl/status:", out)
    self.assertIn("missing dep @com_google_absl//absl/status:statusor:", out)

  def test_generated_headers_belong_to_their_rules(self):
    self.write("proto/BUILD.bazel", """
proto_library(name = "p", srcs = ["v1/p.proto"], strip_import_prefix = "/proto")
cc_proto_library(name = "p_cc", deps = [":p"])
cc_grpc_library(name = "p_grpc", srcs = [":p"], deps = [":p_cc"], grpc_only = True)
""")
    self.write("lib/whole.h", '#include "part.h"\n#include "v1/p.pb.h"\n#include "v1/p.grpc.pb.h"\n')
    _, out = self.run_main()
    self.assertIn("missing dep //proto:p_cc: lib/whole.h includes v1/p.pb.h", out)
    self.assertIn("missing dep //proto:p_grpc: lib/whole.h includes v1/p.grpc.pb.h", out)

  def test_fix_adds_and_removes(self):
    self.write("lib/whole.h", '#include "absl/time/clock.h"\n')
    self.write("lib/part.h", "")
    self.assertEqual(self.run_main("--fix"), (0, ""))
    self.assertEqual(self.run_main(), (0, ""))
    with open(os.path.join(self.root, "lib/BUILD.bazel"), encoding="utf-8") as file:
      text = file.read()
    self.assertEqual(text.count("deps = "), 1)
    self.assertIn('    strip_include_prefix = "/lib",\n    deps = ["@com_google_absl//absl/time"],\n)\n', text)

  def test_fix_leaves_what_no_dep_can_mend(self):
    self.write("lib/whole.h", '#include "part.h"\n#include "nowhere.h"\n')
    code, out = self.run_main("--fix")
    self.assertEqual(code, 1)
    self.assertIn("nowhere.h", out)

  def test_the_tree_passes(self):
    root = os.path.dirname(os.path.realpath("README.md"))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      code = check_deps.main(["--root=" + root])
    self.assertEqual((code, out.getvalue()), (0, ""))


if __name__ == "__main__":
  unittest.main()
