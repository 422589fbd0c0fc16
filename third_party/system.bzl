# SPDX-License-Identifier: Apache-2.0
"""Repositories for the system's packages, under the labels of the upstream projects.

tether's BUILD files use labels such as @com_google_absl//absl/time, and don't depend on where the repository comes from. This
file supplies the repositories from the system. The headers are in the compiler's include path, so a target has only the link
options and defines that pkg-config reports.

This works with Bazel 4 to 7, where the rules for protos are built in. Bazel 8 takes them from Protobuf's sources, which no
Debian package has.
"""

load("//third_party:proto_rules.bzl", "bazel_major", "proto_rules")

def _run(ctx, words, failure):
    result = ctx.execute(words)
    if result.return_code != 0:
        fail("@%s: %s. Run \"tools/setup.sh %s\" from tether's root, which installs what is missing.\n%s" %
             (ctx.name, failure, ctx.attr.group, result.stderr.strip()))
    return result.stdout.strip()

def _unique(words):
    return list({word: None for word in words}.keys())

def _own_libraries(ctx, module):
    """Returns the -l options of a pkg-config module, without the options of the modules that it requires."""
    failure = "the system lacks the library " + module
    folder = _run(ctx, ["pkg-config", "--variable=pcfiledir", module], failure)
    lines = ctx.read(folder + "/" + module + ".pc").split("\n")
    words = [w for line in lines if line.startswith("Libs:") for w in line.split(" ")]
    return [w for w in words if w.startswith("-l")]

def _library(ctx, name, words, defines):
    """Returns a cc_library for WORDS: pkg-config modules, and -l options for libraries without a module."""
    modules = [w for w in words.split(" ") if not w.startswith("-")]
    own = [w for w in words.split(" ") if w.startswith("-")]
    failure = "the system lacks the library " + " or ".join(modules)
    options = _run(ctx, ["pkg-config", "--cflags", "--libs"] + modules, failure).split(" ") if modules else []
    defines = defines + _unique([o[2:] for o in options if o.startswith("-D")])
    if ctx.attr.inline_calls:
        own += [o for o in options if o.startswith("-l")]
    else:
        for module in modules:
            own += _own_libraries(ctx, module)

    # The libraries are shared libraries, so their order doesn't matter and repeated names are removed. pkg-config also lists
    # the library's own dependencies; with --as-needed, a program loads only those that it uses. The library itself is always
    # loaded. By default, Bazel makes a shared object of each cc_library for tests. A program may then need the library only
    # through these objects, and the gold linker doesn't detect that. Inline code in Abseil's headers also calls the libraries
    # that the library requires, so all of them are loaded, too.
    rest = [o for o in options if o.startswith("-l") or o.startswith("-L") or o == "-pthread"]
    link = []
    if own:
        link += ["-Wl,--push-state,--no-as-needed"] + _unique(own) + ["-Wl,--pop-state"]
    if rest:
        link += ["-Wl,--push-state,--as-needed"] + _unique(rest) + ["-Wl,--pop-state"]
    return "cc_library(\n    name = %r,\n    defines = %r,\n    linkopts = %r,\n)\n" % (name, defines, link)

def _system_repository_impl(ctx):
    # This comes first, because Bazel restarts this function for each new label.
    templates = {path: ctx.path(Label("//third_party:" + name)) for path, name in ctx.attr.files.items()}

    builds = {}  # folder -> parts of its BUILD file
    if ctx.attr.libraries and not ctx.which("pkg-config"):
        fail("@%s: pkg-config is missing. Run tools/setup.sh from tether's root." % ctx.name)
    defines = []
    if ctx.attr.version_of:
        # Bazel doesn't watch the headers under /usr. The version in the command line prevents Bazel from reusing objects in
        # the disk cache that were built with another version.
        failure = "the system lacks the library " + ctx.attr.version_of
        version = _run(ctx, ["pkg-config", "--modversion", ctx.attr.version_of], failure)
        defines.append("TETHER_SYSTEM_%s=%s" % (ctx.name.upper(), version))
    for label, words in ctx.attr.libraries.items():
        folder, _, name = label.partition(":")
        builds.setdefault(folder, []).append(_library(ctx, name or folder.split("/")[-1], words, defines))
    for path, template in templates.items():
        folder, _, base = path.rpartition("/")
        if base == "BUILD.bazel":
            builds.setdefault(folder, []).append(ctx.read(template))
        else:
            ctx.file(path, ctx.read(template), executable = False)
    if ctx.attr.folder:
        # Only Bazel opens this repository. The folder exists on every system whose Bazel asks for it.
        for entry in ctx.path(ctx.attr.folder).readdir():
            ctx.symlink(entry, entry.basename)
    for path, target in ctx.attr.symlinks.items():
        if not ctx.path(target).exists:
            fail("@%s: %s is missing. Run tools/setup.sh from tether's root." % (ctx.name, target))
        ctx.symlink(target, path)
    for folder, parts in builds.items():
        text = "package(default_visibility = [\"//visibility:public\"])\n\n" + "\n".join(parts)
        if "cc_library(" in text:
            text = "load(\"@rules_cc//cc:defs.bzl\", \"cc_library\")\n\n" + text
        ctx.file((folder + "/" if folder else "") + "BUILD.bazel", text, executable = False)

system_repository = repository_rule(
    implementation = _system_repository_impl,
    attrs = {
        "files": attr.string_dict(doc = "path in the repository -> file of third_party; BUILD files are appended"),
        "folder": attr.string(doc = "folder of the system whose content is the repository's"),
        "group": attr.string(default = "build", doc = "the group of tools/setup.sh that has the packages"),
        "inline_calls": attr.bool(doc = "inline code in the headers calls the libraries that a module requires"),
        "libraries": attr.string_dict(doc = "label without the repository -> pkg-config modules and -l options"),
        "symlinks": attr.string_dict(doc = "path in the repository -> file of the system"),
        "version_of": attr.string(doc = "the pkg-config module whose version is the repository's"),
    },
    # Bazel evaluates the rule again when a Bazel server starts, so it notices upgraded packages.
    configure = True,
    local = True,
)

_ABSL = {
    "absl/algorithm": "absl_algorithm",
    "absl/algorithm:container": "absl_algorithm_container",
    "absl/base": "absl_base",
    "absl/base:config": "absl_config",
    "absl/base:core_headers": "absl_core_headers",
    "absl/base:dynamic_annotations": "absl_dynamic_annotations",
    "absl/base:endian": "absl_endian",
    "absl/base:log_severity": "absl_log_severity",
    "absl/cleanup": "absl_cleanup",
    "absl/container:btree": "absl_btree",
    "absl/container:fixed_array": "absl_fixed_array",
    "absl/container:flat_hash_map": "absl_flat_hash_map",
    "absl/container:flat_hash_set": "absl_flat_hash_set",
    "absl/container:inlined_vector": "absl_inlined_vector",
    "absl/container:node_hash_map": "absl_node_hash_map",
    "absl/container:node_hash_set": "absl_node_hash_set",
    "absl/debugging:failure_signal_handler": "absl_failure_signal_handler",
    "absl/debugging:leak_check": "absl_leak_check",
    "absl/debugging:stacktrace": "absl_stacktrace",
    "absl/debugging:symbolize": "absl_symbolize",
    "absl/flags:commandlineflag": "absl_flags_commandlineflag",
    "absl/flags:config": "absl_flags_config",
    "absl/flags:flag": "absl_flags",
    "absl/flags:marshalling": "absl_flags_marshalling",
    "absl/flags:parse": "absl_flags_parse",
    "absl/flags:reflection": "absl_flags_reflection",
    "absl/flags:usage": "absl_flags_usage",
    "absl/functional:any_invocable": "absl_any_invocable",
    "absl/functional:bind_front": "absl_bind_front",
    "absl/functional:function_ref": "absl_function_ref",
    "absl/hash": "absl_hash",
    "absl/memory": "absl_memory",
    "absl/meta:type_traits": "absl_type_traits",
    "absl/numeric:bits": "absl_bits",
    "absl/numeric:int128": "absl_int128",
    "absl/random": "absl_random_random",
    "absl/random:bit_gen_ref": "absl_random_bit_gen_ref",
    "absl/random:distributions": "absl_random_distributions",
    "absl/random:seed_sequences": "absl_random_seed_sequences",
    "absl/status": "absl_status",
    "absl/status:statusor": "absl_statusor",
    "absl/strings": "absl_strings",
    "absl/strings:cord": "absl_cord",
    "absl/strings:str_format": "absl_str_format",
    "absl/synchronization": "absl_synchronization",
    "absl/time": "absl_time",
    "absl/types:any": "absl_any",
    "absl/types:optional": "absl_optional",
    "absl/types:span": "absl_span",
    "absl/types:variant": "absl_variant",
    "absl/utility": "absl_utility",
}

# The protos that come with Protobuf itself (targets in protobuf.BUILD.tpl).
_WELL_KNOWN = [
    "any",
    "api",
    "descriptor",
    "duration",
    "empty",
    "field_mask",
    "source_context",
    "struct",
    "timestamp",
    "type",
    "wrappers",
]

# Repositories that Bazel 7 would otherwise download. Debian's Bazel depends on packages that contain them.
_BAZEL_7_PACKAGES = {
    "bazel_skylib": "tools/skylib",
    "platforms": "tools/platforms",
    "rules_license": "rules/license",
    "rules_python": "rules/python",
}

def _supply(rule, name, **attrs):
    if not native.existing_rule(name):
        rule(name = name, **attrs)

def system_repositories():
    """Supplies tether's dependencies from the system, except repositories that the workspace has already defined."""
    _supply(system_repository, "com_google_absl", libraries = _ABSL, version_of = "absl_base", inline_calls = True)
    _supply(
        system_repository,
        "com_google_protobuf",
        version_of = "protobuf",
        libraries = {":protobuf": "protobuf", ":protobuf_lite": "protobuf-lite"},
        files = {
            "BUILD.bazel": "protobuf.BUILD.tpl",
            "bazel/BUILD.bazel": "empty.BUILD.tpl",
            "bazel/cc_proto_library.bzl": "cc_proto_library.bzl.tpl",
            "bazel/proto_library.bzl": "proto_library.bzl.tpl",
        },
        symlinks = dict(
            [("src/google/protobuf/%s.proto" % p, "/usr/include/google/protobuf/%s.proto" % p) for p in _WELL_KNOWN],
            **{"bin/protoc": "/usr/bin/protoc"}
        ),
    )
    _supply(
        system_repository,
        "com_github_grpc_grpc",
        version_of = "grpc++",
        libraries = {
            ":grpc": "grpc",
            ":grpc++": "grpc++ protobuf",
            ":grpc++_reflection": "-lgrpc++_reflection grpc++ protobuf",
        },
        files = {
            "BUILD.bazel": "grpc.BUILD.tpl",
            "bazel/BUILD.bazel": "empty.BUILD.tpl",
            "bazel/cc_grpc_library.bzl": "cc_grpc_library.bzl.tpl",
        },
        symlinks = {"bin/grpc_cpp_plugin": "/usr/bin/grpc_cpp_plugin"},
    )
    _supply(
        system_repository,
        "com_google_googletest",
        version_of = "gtest",
        # Both include GoogleMock, as upstream does.
        libraries = {":gtest": "gmock gtest", ":gtest_main": "gmock_main gmock gtest"},
    )
    _supply(
        system_repository,
        "com_github_google_benchmark",
        version_of = "benchmark",
        libraries = {":benchmark": "benchmark", ":benchmark_main": "-lbenchmark_main benchmark"},
    )

    # Only targets with the tag "manual" use this, so other builds don't need it.
    _supply(
        system_repository,
        "io_opentelemetry_cpp",
        group = "opentelemetry",
        version_of = "opentelemetry_api",
        libraries = {
            "api": "opentelemetry_api",
            "exporters/memory:in_memory_span_exporter": "-lopentelemetry_exporter_in_memory opentelemetry_trace",
            "sdk/src/metrics": "opentelemetry_metrics",
            "sdk/src/trace": "opentelemetry_trace",
        },
    )

    # So are the targets that use these.
    _supply(
        system_repository,
        "com_github_jupp0r_prometheus_cpp",
        group = "observability",
        version_of = "prometheus-cpp-core",
        libraries = {"core": "prometheus-cpp-core", "pull": "prometheus-cpp-pull"},
    )
    _supply(system_repository, "civetweb", group = "observability", libraries = {":libcivetweb": "-lcivetweb"})
    _supply(
        system_repository,
        "ncurses",
        group = "observability",
        version_of = "ncursesw",
        libraries = {":ncurses": "ncursesw"},
    )

    proto_rules()

    # Repositories that Bazel itself requires.
    _supply(
        system_repository,
        "rules_cc",
        files = {"BUILD.bazel": "empty.BUILD.tpl", "cc/BUILD.bazel": "empty.BUILD.tpl", "cc/defs.bzl": "rules_cc.bzl.tpl"},
    )
    _supply(
        system_repository,
        "rules_proto",
        files = {
            "BUILD.bazel": "empty.BUILD.tpl",
            "proto/BUILD.bazel": "empty.BUILD.tpl",
            "proto/defs.bzl": "rules_proto.bzl.tpl",
        },
    )
    _supply(system_repository, "rules_java", folder = "/usr/share/bazel/rules/java")
    if bazel_major() >= 7:
        for name, folder in _BAZEL_7_PACKAGES.items():
            _supply(system_repository, name, folder = "/usr/share/bazel/" + folder)
    _supply(system_repository, "remote_coverage_tools", files = {"BUILD.bazel": "coverage.BUILD.tpl"})
