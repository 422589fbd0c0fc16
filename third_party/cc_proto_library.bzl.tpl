# SPDX-License-Identifier: Apache-2.0
"""Replaces Protobuf's file of the same name, for Bazel versions with a built-in rule."""

cc_proto_library = native.cc_proto_library
