# SPDX-License-Identifier: Apache-2.0
"""@tether_proto_rules: proto_library and cc_proto_library, for every supported version of Bazel.

Up to Bazel 7 these rules are built in. From Bazel 8 on they come with Protobuf 29 or newer; older versions of Protobuf don't
have them. So tether's BUILD files load them from @tether_proto_rules.
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
    """Returns Bazel's major version. Debian's Bazel doesn't report it; the result is then 4 or 7."""
    major = native.bazel_version.split(".")[0]
    if major.isdigit():
        return int(major)

    # Debian's packages of Bazel 4 and 7 don't report a version. Bazel 6 introduced this function.
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
      name: keep the default, because tether's BUILD files use it
    """
    if not native.existing_rule(name):
        proto_rules_repository(name = name)
