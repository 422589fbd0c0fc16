# SPDX-License-Identifier: Apache-2.0
"""The rules_cc names that Bazel's and tether's BUILD files load. Up to Bazel 7 these rules are built in."""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
objc_import = native.objc_import
objc_library = native.objc_library
