"""Protobuf's own file of this name, for the Bazel that has the rule built in."""

proto_library = native.proto_library
