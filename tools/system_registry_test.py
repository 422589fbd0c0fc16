#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a registry of this system's packages, and checks what Bazel would find in it."""

import json
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import system_registry  # noqa: E402

OTHERS = """\
module(name = "other")
bazel_dep(name = "grpc", version = "1.83.1")
# bazel_dep(name = "grpc", version = "0.1")
bazel_dep(
    name = "protobuf",
    dev_dependency = True,
    version = "35.1",
)
bazel_dep(name = "tether", version = "0.1.0")
bazel_dep(name = "overridden")
"""


class SystemRegistryTest(unittest.TestCase):

  @classmethod
  def setUpClass(cls):
    cls.folder = tempfile.TemporaryDirectory()
    cls.root = os.path.join(cls.folder.name, "registry")
    other = os.path.join(cls.folder.name, "MODULE.bazel")
    system_registry.write(other, OTHERS)
    for _ in range(2):  # the second time over the first
      assert system_registry.main([cls.root, other]) == 0

  @classmethod
  def tearDownClass(cls):
    cls.folder.cleanup()

  def versions(self, module):
    return sorted(os.listdir(os.path.join(self.root, "modules", module)))

  def source(self, module, version):
    """Returns a module's folder."""
    source = json.loads(system_registry.read(os.path.join(self.root, "modules", module, version, "source.json")))
    self.assertEqual(source["type"], "local_path")
    return source["path"]

  def test_each_module_that_tether_asks_for_is_there_in_that_version(self):
    asked = system_registry.asked_for(system_registry.read("MODULE.bazel"))
    self.assertGreaterEqual(len(asked), 7)
    for name, version, _ in asked:
      module = system_registry.read(os.path.join(self.root, "modules", name, version, "MODULE.bazel"))
      self.assertRegex(module, r'(?s)^[^)]*\bname = "%s"' % name)
      self.assertRegex(module, r'(?s)^[^)]*\bversion = "%s"' % re.escape(version))
      self.assertTrue(os.path.isdir(self.source(name, version)), name)

  def test_so_is_what_other_files_ask_for(self):
    self.assertIn("1.83.1", self.versions("grpc"))
    self.assertNotIn("0.1", self.versions("grpc"))
    self.assertIn("35.1", self.versions("protobuf"))
    self.assertFalse({"tether", "overridden"} & set(os.listdir(os.path.join(self.root, "modules"))))

  def test_all_versions_of_a_module_are_one(self):
    self.assertEqual(len({self.source("grpc", version) for version in self.versions("grpc")}), 1)

  def test_what_the_registrys_modules_ask_for_is_there_too(self):
    for module in os.listdir(os.path.join(self.root, "modules")):
      for version in self.versions(module):
        text = system_registry.read(os.path.join(self.root, "modules", module, version, "MODULE.bazel"))
        for name, wanted, dev in system_registry.asked_for(text):
          self.assertTrue(dev or wanted in self.versions(name), (module, name, wanted))

  def test_a_library_is_loaded_by_whoever_names_it(self):
    build = system_registry.read(os.path.join(self.source("grpc", "1.83.1"), "BUILD.bazel"))
    self.assertIn("'-Wl,--push-state,--no-as-needed', '-lgrpc++', '-lprotobuf', '-Wl,--pop-state'", build)
    self.assertTrue(build.startswith('load("@rules_cc//cc:defs.bzl", "cc_library")\n'))

  def test_templates_and_tools_are_there(self):
    grpc = self.source("grpc", "1.83.1")
    self.assertIn("def cc_grpc_library", system_registry.read(os.path.join(grpc, "bazel", "cc_grpc_library.bzl")))
    self.assertTrue(os.access(os.path.join(grpc, "bin", "grpc_cpp_plugin"), os.X_OK))
    self.assertTrue(os.access(os.path.join(self.source("protobuf", "35.1"), "bin", "protoc"), os.X_OK))

  def test_a_module_without_its_package_is_empty_and_hurts_nobody(self):
    folder = os.path.join(self.folder.name, "empty")
    repositories = system_registry.repositories
    system_registry.repositories = lambda: {"com_google_absl": lambda _: system_registry.fail("no package")}
    try:
      system_registry.make_source("abseil-cpp", folder)
    finally:
      system_registry.repositories = repositories
    self.assertEqual(sorted(os.listdir(folder)), ["BUILD.bazel", "MODULE.bazel"])


if __name__ == "__main__":
  unittest.main()
