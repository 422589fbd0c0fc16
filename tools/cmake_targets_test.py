#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that cmake/targets.cmake matches the BUILD.bazel files, and tests the script's output on small trees."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import cmake_targets  # noqa: E402

SYSTEM = '_ABSL = {"absl/time": "absl_time", "absl/strings": "absl_strings"}\n'
LIB = """
load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
package(default_visibility = ["//visibility:private"])
cc_library(name = "lib", deps = [":part"])
cc_library(
    name = "part",
    srcs = ["part.cc"],
    hdrs = ["part.h"],
    deps = ["//deep:er", "@com_google_absl//absl/time"],
)
"""
DEEP = 'cc_library(name = "er", srcs = ["er.cc"], deps = ["@com_google_absl//absl/strings"])\n'
PUBLIC = {"tether": ["//lib:lib"]}


class CMakeTargetsTest(unittest.TestCase):

  def setUp(self):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = folder.name
    self.write("third_party/system.bzl", SYSTEM)
    self.write("lib/BUILD.bazel", LIB)
    self.write("deep/BUILD.bazel", DEEP)

  def write(self, path, text):
    os.makedirs(os.path.dirname(os.path.join(self.root, path)), exist_ok=True)
    with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
      file.write(text)

  def generate(self, more=""):
    self.write("more/BUILD.bazel", more)
    text = cmake_targets.Generator(self.root, PUBLIC).generate()
    return " ".join(text.split())

  def run_main(self, *args):
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
      code = cmake_targets.main(["--root=" + self.root, *args], PUBLIC)
    return code, err.getvalue()

  def test_a_public_library_has_the_sources_of_all_that_it_needs(self):
    self.assertIn("tether_public_library(tether SRCS deep/er.cc lib/part.cc HDRS lib/part.h "
                  "DEPS absl::strings absl::time)", self.generate())

  def test_a_public_library_may_have_a_proto_that_imports_one_of_another(self):
    self.write("proto/BUILD.bazel", """
proto_library(name = "base_proto", srcs = ["base.proto"], strip_import_prefix = "/proto")
cc_proto_library(name = "base_cc", deps = [":base_proto"])
proto_library(name = "service_proto", srcs = ["service.proto"], strip_import_prefix = "/proto", deps = [":base_proto"])
cc_proto_library(name = "service_cc", deps = [":service_proto"])
cc_grpc_library(name = "service_grpc", srcs = [":service_proto"], grpc_only = True, deps = [":service_cc"])
""")
    both = {"tether_grpc": ["//proto:base_cc"], "tether_more": ["//proto:service_grpc"]}
    text = " ".join(cmake_targets.Generator(self.root, both).generate().split())
    self.assertIn("tether_public_library(tether_grpc PROTOS proto proto/base.proto DEPS protobuf::libprotobuf)", text)
    self.assertIn("tether_public_library(tether_more PROTOS proto proto/service.proto GRPC_PROTOS proto proto/service.proto "
                  "DEPS gRPC::grpc++ protobuf::libprotobuf tether_grpc)", text)
    with self.assertRaisesRegex(cmake_targets.Error, "in no other public library"):
      cmake_targets.Generator(self.root, {"tether_more": ["//proto:service_grpc"]}).generate()

  def test_protobufs_own_protos_come_with_its_library(self):
    text = self.generate("""
proto_library(name = "a_proto", srcs = ["a.proto"], strip_import_prefix = "/more",
              deps = ["@com_google_protobuf//:duration_proto"])
cc_proto_library(name = "a_cc_proto", deps = [":a_proto"])
""")
    self.assertIn("tether_proto_library(more_a_cc_proto PREFIX more SRCS more/a.proto DEPS protobuf::libprotobuf)", text)

  def test_others_link_the_public_library_in_place_of_its_parts(self):
    self.assertIn("tether_internal_library(more_x SRCS more/x.cc PREFIX inc DEPS tether_internal::tether)", self.generate(
        'cc_library(name = "x", srcs = ["x.cc", "x.h"], strip_include_prefix = "/inc", '
        'deps = ["//deep:er", "//lib:part"])'))

  def test_a_test_has_its_data_its_arguments_its_standard_and_its_limit(self):
    text = self.generate("""
filegroup(name = "files", srcs = glob(["data/*"]))
cc_binary(name = "tool", srcs = ["tool.cc"])
cc_test(
    name = "a_test", size = "small", srcs = ["a_test.cc"], copts = ["-std=c++20"], tags = ["exclusive"],
    data = [":files", ":tool", "one.txt"], args = ["$(locations :files)", "--tool=$(rootpath :tool)", "--n=1"],
    deps = ["//lib"])
""")
    self.assertNotIn("DATA more/data", text)  # there are none yet
    self.write("more/data/b", "")
    self.write("more/data/a", "")
    text = " ".join(cmake_targets.Generator(self.root, PUBLIC).generate().split())
    self.assertIn("tether_program(more_a_test FOLDER more NAME a_test SRCS more/a_test.cc DEPS tether_internal::tether "
                  "STANDARD 20 DATA more/data/a more/data/b more/one.txt PROGRAMS more_tool TEST "
                  "ARGS more/data/a more/data/b --tool=more/tool --n=1 TIMEOUT 60 EXCLUSIVE)", text)
    self.assertLess(text.index("tether_program(more_tool"), text.index("tether_program(more_a_test"))

  def test_services_link_their_messages_and_those_that_these_import(self):
    text = self.generate("""
proto_library(name = "a_proto", srcs = ["a.proto"], strip_import_prefix = "/more")
cc_proto_library(name = "a_cc_proto", deps = [":a_proto"])
proto_library(name = "b_proto", srcs = ["b.proto"], strip_import_prefix = "/more", deps = [":a_proto"])
cc_proto_library(name = "b_cc_proto", deps = [":b_proto"])
cc_grpc_library(name = "b_cc_grpc", srcs = [":b_proto"], grpc_only = True, deps = [":b_cc_proto"])
""")
    self.assertIn("tether_proto_library(more_b_cc_proto PREFIX more SRCS more/b.proto "
                  "DEPS more_a_cc_proto protobuf::libprotobuf)", text)
    self.assertIn("tether_proto_library(more_b_cc_grpc GRPC PREFIX more SRCS more/b.proto "
                  "DEPS gRPC::grpc++ more_b_cc_proto)", text)

  def test_manual_targets_are_left_out_but_for_those_of_opentelemetry(self):
    text = self.generate("""
cc_test(name = "m_test", srcs = ["m.cc"], linkopts = ["-x"], tags = ["manual"])
cc_library(name = "o", srcs = ["o.cc"], tags = ["manual"], deps = ["@io_opentelemetry_cpp//api"])
cc_test(name = "o_test", srcs = ["o_test.cc"], tags = ["manual"], deps = [":o"])
cc_test(name = "n_test", srcs = ["n_test.cc"])
""")
    self.assertNotIn("m_test", text)
    before, _, after = text.partition("if(TETHER_BUILD_OPENTELEMETRY)")
    self.assertIn("more_n_test", before)
    self.assertNotIn("more_o", before)
    self.assertIn("more_o_test", after)

  def test_what_needs_an_optional_package_is_built_only_with_its_option(self):
    self.write("page/BUILD.bazel", """
cc_library(name = "page", srcs = ["page.cc"], tags = ["manual"], deps = [":part", "@civetweb//:libcivetweb"])
cc_library(name = "part", srcs = ["part.cc"])
cc_test(name = "page_test", srcs = ["page_test.cc"], tags = ["manual"], deps = [":page"])
cc_test(name = "part_test", srcs = ["part_test.cc"], deps = [":part"])
cc_library(name = "all", srcs = ["all.cc"], tags = ["manual"],
           deps = ["//more:page", "@com_github_jupp0r_prometheus_cpp//core"])
""")
    self.write("more/BUILD.bazel", """
alias(name = "page", actual = "//page:page")
cc_test(name = "n_test", srcs = ["n_test.cc"])
""")
    public = {"tether": ["//lib:lib"], "tether_page": ["//page:page"], "tether_all": ["//page:all"]}
    text = " ".join(cmake_targets.Generator(self.root, public).generate().split())
    self.assertIn("if(TETHER_BUILD_STATUS_PAGE) tether_public_library(tether_page SRCS page/page.cc page/part.cc "
                  "DEPS civetweb::civetweb) endif()", text)
    self.assertIn("if(TETHER_BUILD_PROMETHEUS AND TETHER_BUILD_STATUS_PAGE) tether_public_library(tether_all "
                  "SRCS page/all.cc DEPS prometheus-cpp::core tether_page) endif()", text)
    _, _, tests = text.partition("if(NOT TETHER_BUILD_TESTS) return() endif()")
    ordinary, _, with_page = tests.partition("if(TETHER_BUILD_STATUS_PAGE)")
    self.assertIn("more_n_test", ordinary)
    self.assertNotIn("part_test", ordinary)
    # It is no manual test, but it links a part of the optional library.
    self.assertIn("tether_program(page_part_test", with_page)
    self.assertNotIn("page_test", with_page.replace("page_part_test", ""))
    self.assertTrue(with_page.endswith(") endif()"), with_page)

  def test_what_the_script_does_not_know_is_an_error(self):
    for text, words in [
        ('cc_library(name = "x", wings = 2)', "doesn't know wings of cc_library"),
        ('py_test(name = "x")', "py_test"),
        ('cc_test(name = "x", srcs = ["x.cc"], copts = ["-O2"])', "the option -O2"),
        ('cc_test(name = "x", srcs = ["x.cc"], tags = ["odd"])', "the tags odd"),
        ('cc_test(name = "x", srcs = ["x.cc"], deps = ["@z//:z"])', "no CMake target for @z//:z"),
        ('filegroup(name = "x", srcs = glob(["**/*.h"]))', "globs"),
    ]:
      with self.assertRaises(cmake_targets.Error) as caught:
        self.generate(text)
      self.assertIn(words, str(caught.exception))

  def test_a_stale_list_is_found_and_written_anew(self):
    code, err = self.run_main("--check")
    self.assertEqual(code, 1)
    self.assertIn("run tools/cmake_targets.py", err)
    self.assertEqual(self.run_main(), (0, ""))
    self.assertEqual(self.run_main("--check"), (0, ""))
    self.write("deep/BUILD.bazel", DEEP.replace("er.cc", "other.cc"))
    code, err = self.run_main("--check")
    self.assertEqual(code, 1)
    self.assertIn("deep/other.cc", err)


class TheListTest(unittest.TestCase):

  def test_is_what_the_build_files_say(self):
    # This is the source tree, because the runfiles are links into it. (So Bazel runs this test every time; see the tags in
    # BUILD.bazel.)
    root = os.path.dirname(os.path.realpath("README.md"))
    self.assertTrue(os.path.isfile(os.path.join(root, "WORKSPACE")), root)
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
      code = cmake_targets.main(["--root=" + root, "--check"])
    self.assertEqual(code, 0, "\n" + err.getvalue())


if __name__ == "__main__":
  unittest.main()
