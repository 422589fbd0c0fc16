"""Protobuf's own file of this name, for the Bazel that has the rule built in."""

cc_proto_library = native.cc_proto_library
