"""The names of rules_proto that Bazel's own BUILD files and users' load: up to Bazel 7 these rules are built in."""

proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
