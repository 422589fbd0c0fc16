# SPDX-License-Identifier: Apache-2.0
# Bazel runs this by its label, @com_google_protobuf//:protoc.
alias(
    name = "protoc",
    actual = "bin/protoc",
)

# The protos that come with Protobuf -> the protos that each of them imports.
_WELL_KNOWN = {
    "any": [],
    "api": ["source_context", "type"],
    "descriptor": [],
    "duration": [],
    "empty": [],
    "field_mask": [],
    "source_context": [],
    "struct": [],
    "timestamp": [],
    "type": ["any", "source_context"],
    "wrappers": [],
}

[proto_library(
    name = name + "_proto",
    srcs = ["src/google/protobuf/%s.proto" % name],
    strip_import_prefix = "src",
    deps = [":%s_proto" % i for i in imports],
) for name, imports in _WELL_KNOWN.items()]

# cc_proto_library finds its compiler options and its runtime here.
proto_lang_toolchain(
    name = "cc_toolchain",
    # libprotobuf already contains the code of these protos.
    blacklisted_protos = [":%s_proto" % name for name in _WELL_KNOWN],
    command_line = "--cpp_out=$(OUT)",
    runtime = ":protobuf",
)
