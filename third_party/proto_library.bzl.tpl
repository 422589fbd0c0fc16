# SPDX-License-Identifier: Apache-2.0
"""Replaces Protobuf's file of the same name, for Bazel versions with a built-in rule."""

proto_library = native.proto_library
