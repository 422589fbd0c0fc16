# SPDX-License-Identifier: Apache-2.0
"""The rules_proto names that Bazel's and users' BUILD files load. Up to Bazel 7 these rules are built in."""

proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
