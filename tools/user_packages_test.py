#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the packages that users load don't rely on Bazel's built-in rules: they load each rule explicitly.

Bazel 9 has almost no built-in rules (no cc_library, no proto_library, no sh_test), and a missing rule breaks its whole
package. Such a package must also need no repository that README doesn't list.
"""

import ast
import os
import unittest

# The folders of the packages that users build.
FOLDERS = ["", "lib", "interceptors", "observability/tether", "proto/tether", "third_party"]

# The rules that every Bazel has.
BUILT_IN = {
    "alias", "config_setting", "exports_files", "filegroup", "genrule", "glob", "licenses", "package", "package_group",
    "select", "test_suite",
}

SUPPLIED = {"rules_cc", "com_google_protobuf", "com_github_grpc_grpc", "tether_proto_rules"}


def calls(text):
  """Returns the functions that a BUILD file calls without loading them, and the repositories that it loads from."""
  loaded, called, repositories = set(), set(), set()
  for node in ast.walk(ast.parse(text)):
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
      continue
    if node.func.id != "load":
      called.add(node.func.id)
      continue
    label = node.args[0].value
    if label.startswith("@"):
      repositories.add(label[1:].split("//")[0])
    loaded.update(argument.value for argument in node.args[1:])
    loaded.update(keyword.arg for keyword in node.keywords)
  return called - loaded - BUILT_IN, repositories


class UserPackagesTest(unittest.TestCase):

  def test_what_is_not_loaded_is_found(self):
    self.assertEqual(calls('load("@a//b:c.bzl", "x", y = "z")\nx(name = "n", srcs = glob(["*"]))\ny()\n'), (set(), {"a"}))
    self.assertEqual(calls('load(":c.bzl", "x")\nsh_test(name = "n")\n'), ({"sh_test"}, set()))

  def test_each_rule_is_loaded_from_what_users_have(self):
    root = os.path.dirname(os.path.realpath("README.md"))
    seen = 0
    for folder in FOLDERS:
      for path, folders, files in os.walk(os.path.join(root, folder)):
        if not folder:
          folders.clear()  # only the root's own package
        if "BUILD.bazel" in files:
          seen += 1
          build = os.path.join(path, "BUILD.bazel")
          with open(build, encoding="utf-8") as file:
            not_loaded, repositories = calls(file.read())
          self.assertEqual(not_loaded, set(), build)
          self.assertLessEqual(repositories, SUPPLIED, build)
    self.assertGreaterEqual(seen, 6)


if __name__ == "__main__":
  unittest.main()
