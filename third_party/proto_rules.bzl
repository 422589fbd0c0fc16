"""@tether_proto_rules: proto_library and cc_proto_library, from where this version of Bazel has them.

Up to Bazel 7 they are built in. From Bazel 8 on they come with Protobuf (29 or newer), which older versions of Protobuf
don't know; so tether's BUILD files load neither the one nor the other.
"""

_BUILT_IN = """\
proto_library = native.proto_library
cc_proto_library = native.cc_proto_library
"""

_PROTOBUF = """\
load("%s", _cc_proto_library = "cc_proto_library")
load("%s", _proto_library = "proto_library")

proto_library = _proto_library
cc_proto_library = _cc_proto_library
"""

def bazel_major():
    """The first number of Bazel's version; of those between 4 and 7, one of these two."""
    major = native.bazel_version.split(".")[0]
    if major.isdigit():
        return int(major)

    # Debian's packages of Bazel 4 and 7 don't tell. This function came with 6.
    return 7 if hasattr(native, "package_relative_label") else 4

def _proto_rules_impl(ctx):
    if bazel_major() >= 8:
        text = _PROTOBUF % (
            Label("@com_google_protobuf//bazel:cc_proto_library.bzl"),
            Label("@com_google_protobuf//bazel:proto_library.bzl"),
        )
    else:
        text = _BUILT_IN
    ctx.file("BUILD.bazel", "", executable = False)
    ctx.file("defs.bzl", text, executable = False)

proto_rules_repository = repository_rule(implementation = _proto_rules_impl)

def proto_rules(name = "tether_proto_rules"):
    """For a WORKSPACE: supplies the repository, if the workspace hasn't already.

    Args:
      name: leave it as it is; tether's BUILD files name it
    """
    if not native.existing_rule(name):
        proto_rules_repository(name = name)
