# SPDX-License-Identifier: Apache-2.0
"""cc_grpc_library. It replaces upstream's macro of the same name for grpc_only = True."""

def _generate_grpc_impl(ctx):
    proto = ctx.attr.src[ProtoInfo]
    root = proto.proto_source_root
    here = ctx.label.package + "/" if ctx.label.package else ""
    outputs = []
    out_dir = None
    for source in proto.direct_sources:
        # Below the package: "shop.proto", or "_virtual_imports/shop_proto/shop/v1/shop.proto" where the proto_library
        # changes its import path.
        path = source.short_path
        if path.startswith("../"):  # of another repository: "../repository/package/shop.proto"
            path = path.split("/", 2)[2]
        if not path.startswith(here):
            fail("%s is not in the package %s" % (path, ctx.label.package))
        stem = path[len(here):-len(".proto")]
        for suffix in [".grpc.pb.h", ".grpc.pb.cc"] + (["_mock.grpc.pb.h"] if ctx.attr.generate_mocks else []):
            outputs.append(ctx.actions.declare_file(stem + suffix))

        # protoc repeats the import path below the folder that it writes to.
        import_path = source.path[len(root) + 1:] if root not in ["", "."] else source.path
        first = outputs[-1] if not ctx.attr.generate_mocks else outputs[-2]
        out_dir = first.path[:-len(import_path[:-len(".proto")] + ".grpc.pb.cc") - 1]
    options = "generate_mock_code=true:" if ctx.attr.generate_mocks else ""
    args = ctx.actions.args()
    args.add(ctx.executable._plugin, format = "--plugin=protoc-gen-grpc=%s")
    args.add("--grpc_out=" + options + out_dir)
    args.add_all(proto.transitive_proto_path, format_each = "--proto_path=%s")
    args.add_all(proto.direct_sources)
    ctx.actions.run(
        executable = ctx.executable._protoc,
        arguments = [args],
        inputs = proto.transitive_sources,
        tools = [ctx.executable._plugin],
        outputs = outputs,
        mnemonic = "GrpcGenerate",
        progress_message = "Generating gRPC code of %{label}",
    )
    return DefaultInfo(files = depset(outputs))

_generate_grpc = rule(
    implementation = _generate_grpc_impl,
    attrs = {
        "generate_mocks": attr.bool(),
        "src": attr.label(mandatory = True, providers = [ProtoInfo]),
        "_plugin": attr.label(
            default = Label("//:grpc_cpp_plugin"),
            executable = True,
            allow_single_file = True,
            cfg = "exec",
        ),
        "_protoc": attr.label(
            default = Label("@com_google_protobuf//:protoc"),
            executable = True,
            allow_single_file = True,
            cfg = "exec",
        ),
    },
)

def cc_grpc_library(name, srcs, deps, grpc_only = False, generate_mocks = False, **kwargs):
    """Makes a cc_library of the gRPC services of one proto_library.

    Args:
      name: the name of the cc_library
      srcs: one proto_library
      deps: its cc_proto_library
      grpc_only: must be True
      generate_mocks: also generate x_mock.grpc.pb.h
      **kwargs: passed to the cc_library
    """
    if not grpc_only or len(srcs) != 1:
        fail("cc_grpc_library %s: only grpc_only = True with one proto_library in srcs is supported here" % name)
    _generate_grpc(
        name = "_" + name + "_grpc_codegen",
        src = srcs[0],
        generate_mocks = generate_mocks,
        visibility = ["//visibility:private"],
        tags = kwargs.get("tags", []),
        testonly = kwargs.get("testonly", False),
    )
    native.cc_library(
        name = name,
        srcs = [":_" + name + "_grpc_codegen"],
        hdrs = [":_" + name + "_grpc_codegen"],
        # This folder exists only if the proto_library changes its import path.
        includes = ["_virtual_imports/" + srcs[0].rpartition(":")[2]],
        deps = deps + [Label("//:grpc++")],
        **kwargs
    )
