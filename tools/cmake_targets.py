#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes cmake/targets.cmake, CMake's list of targets, from the BUILD.bazel files, which are its only source.

  tools/cmake_targets.py            writes it
  tools/cmake_targets.py --check    fails if it isn't what it would write

The tables of headers also come from the BUILD.bazel files, so tools/header_targets.py then runs with the same options.

A BUILD file has Python's syntax. This script runs it with rules that only record their arguments. Each library that users
link (PUBLIC below) contains everything that its Bazel target needs. Every other target becomes a CMake target:
//services/demo:chain is services_demo_chain. Targets with the tag "manual" are left out, except those that are manual only
because they need OpenTelemetry. What needs an optional package is built only with its option (OPTIONS below).

An unknown attribute or rule is an error, because CMake must get the same information as Bazel.
"""

import argparse
import difflib
import fnmatch
import os
import sys

OUTPUT = "cmake/targets.cmake"

# The libraries that users link, in the order of their layers -> the Bazel targets that they are made of.
PUBLIC = {
    "tether": ["//lib/tether:tether"],
    "tether_testing": ["//lib/tether:simulated_clock", "//lib/tether:leak_checked_test"],
    "tether_proto_codec": ["//lib/tether/propagation:proto_codec"],
    "tether_grpc": ["//interceptors/tether/grpc:grpc"],
    "tether_observability": ["//observability/tether/observability:observability"],
    "tether_prometheus": ["//observability/tether/observability:prometheus"],
    "tether_status_page": ["//observability/tether/observability:status_page"],
    "tether_opentelemetry": ["//interceptors/tether/opentelemetry:opentelemetry"],
    "tether_opentelemetry_metrics": ["//observability/tether/observability:opentelemetry_metrics",
                                     "//observability/tether/observability:opentelemetry_durations"],
}

# Labels of other repositories -> CMake's names. Abseil's are in third_party/system.bzl.
EXTERNAL = {
    "@civetweb//:libcivetweb": ["civetweb::civetweb"],
    "@com_github_google_benchmark//:benchmark": ["benchmark::benchmark"],
    "@com_github_grpc_grpc//:grpc++": ["gRPC::grpc++"],
    "@com_github_grpc_grpc//:grpc++_reflection": ["gRPC::grpc++_reflection"],
    "@com_github_jupp0r_prometheus_cpp//core": ["prometheus-cpp::core"],
    "@com_google_googletest//:gtest": ["GTest::gmock", "GTest::gtest"],
    "@com_google_googletest//:gtest_main": ["GTest::gmock_main", "GTest::gmock", "GTest::gtest"],
    "@com_google_protobuf//:protobuf": ["protobuf::libprotobuf"],
    "@io_opentelemetry_cpp//api": ["opentelemetry-cpp::api"],
    "@io_opentelemetry_cpp//exporters/memory:in_memory_span_exporter": ["opentelemetry-cpp::in_memory_span_exporter"],
    "@io_opentelemetry_cpp//sdk/src/metrics": ["opentelemetry-cpp::metrics"],
    "@io_opentelemetry_cpp//sdk/src/trace": ["opentelemetry-cpp::trace"],
}
OPENTELEMETRY = "TETHER_BUILD_OPENTELEMETRY"
# Repositories of optional packages -> the option that builds what needs them.
OPTIONS = {
    "@civetweb//": "TETHER_BUILD_STATUS_PAGE",
    "@com_github_jupp0r_prometheus_cpp//": "TETHER_BUILD_PROMETHEUS",
    "@io_opentelemetry_cpp//": OPENTELEMETRY,
}

# rule -> the attributes that this script translates.
RULES = {
    "alias": {"actual"},
    "cc_binary": {"srcs", "deps", "copts", "linkopts", "data", "testonly"},
    "cc_grpc_library": {"srcs", "deps", "grpc_only", "testonly"},
    "cc_library": {"srcs", "hdrs", "deps", "copts", "strip_include_prefix", "testonly", "alwayslink"},
    "cc_proto_library": {"deps", "testonly"},
    "cc_test": {"srcs", "deps", "copts", "data", "args", "size", "timeout"},
    "filegroup": {"srcs"},
    "proto_library": {"srcs", "deps", "strip_import_prefix", "testonly"},
    "sh_test": {"srcs", "data", "args", "size", "timeout"},
}
# The test tags that CTest needs. The other tags only say where Bazel runs a test.
TAGS = {"exclusive", "external", "local", "manual", "no-cache"}
# Bazel's timeouts, in seconds.
TIMEOUTS = {"short": 60, "moderate": 300, "long": 900, "eternal": 3600}
SIZES = {"small": "short", "medium": "moderate", "large": "long", "enormous": "eternal"}


class Error(Exception):
  pass


class Target:

  def __init__(self, package, kind, attributes):
    self.package = package
    self.kind = kind
    self.attributes = attributes
    self.name = attributes["name"]
    self.label = "//%s:%s" % (package, self.name)
    self.tags = attributes.get("tags", [])

  def list(self, attribute):
    return self.attributes.get(attribute, [])

  def path(self, file):
    return "%s/%s" % (self.package, file) if self.package else file


def read(path):
  with open(path, encoding="utf-8") as file:
    return file.read()


def abseil(root):
  """Returns third_party/system.bzl's labels of Abseil -> CMake's names."""
  names = {}
  do_nothing = lambda *args, **kwargs: None
  scope = {"repository_rule": do_nothing, "attr": type("attr", (), {
      "__getattr__": lambda self, name: do_nothing})(), "native": None, "Label": do_nothing, "struct": do_nothing,
           "load": do_nothing, "module_extension": do_nothing, "tag_class": do_nothing}
  exec(compile(read(os.path.join(root, "third_party/system.bzl")), "system.bzl", "exec"), scope)
  for label, module in scope["_ABSL"].items():
    assert module.startswith("absl_"), module
    names["@com_google_absl//" + label] = ["absl::" + module[len("absl_"):]]
  return names


def load_package(root, package, targets):
  folder = os.path.join(root, package)

  def glob(patterns, exclude=(), **unknown):
    if exclude or unknown:
      raise Error("//%s: glob with more than patterns" % package)
    found = []
    for pattern in patterns:
      head, tail = os.path.split(pattern)
      if "*" in head or "**" in tail:
        raise Error("//%s: only globs like FOLDER/* are supported, not %s" % (package, pattern))
      place = os.path.join(folder, head)
      files = [f for f in (sorted(os.listdir(place)) if os.path.isdir(place) else []) if fnmatch.fnmatch(f, tail)]
      found += [os.path.join(head, f) for f in files if os.path.isfile(os.path.join(place, f))]
    return found

  def rule(kind):
    def note(**attributes):
      target = Target(package, kind, attributes)
      unknown = set(attributes) - RULES[kind] - {"name", "tags", "visibility"}
      if unknown and "manual" not in target.tags:
        raise Error("%s: tools/cmake_targets.py doesn't know %s of %s" % (target.label, ", ".join(unknown), kind))
      strange = set(target.tags) - TAGS
      if strange:
        raise Error("%s: tools/cmake_targets.py doesn't know the tags %s" % (target.label, ", ".join(strange)))
      targets[target.label] = target
    return note

  scope = {name: lambda *args, **kwargs: None for name in ("exports_files", "load", "package")}
  scope.update({kind: rule(kind) for kind in RULES})
  scope["glob"] = glob
  path = os.path.join(folder, "BUILD.bazel")
  try:
    exec(compile(read(path), path, "exec"), scope)
  except NameError as e:
    raise Error("//%s: tools/cmake_targets.py doesn't know this rule: %s" % (package, e)) from e


def load(root):
  """Returns all targets of the BUILD.bazel files below `root`: {label: Target}."""
  targets = {}
  for folder, folders, files in os.walk(root):
    # Skip build folders, hidden folders, and other workspaces (which have their own tests).
    folders[:] = sorted(f for f in folders if not f.startswith((".", "bazel-")) and f != "build" and not any(
        os.path.exists(os.path.join(folder, f, mark)) for mark in ("WORKSPACE", "MODULE.bazel", "CMakeCache.txt")))
    if "BUILD.bazel" in files:
      load_package(root, "" if folder == root else os.path.relpath(folder, root), targets)
  return targets


class Generator:

  def __init__(self, root, public=None):
    self.targets = load(root)
    self.external = dict(EXTERNAL, **abseil(root))
    self.public = PUBLIC if public is None else public
    self.owners = {}  # label -> the public library that it is part of
    self.lines = []
    self.reached = {}
    for library, roots in self.public.items():
      members = []
      for label in roots:
        self.collect(label, library, members)
      self.reached[library] = members

  # ---- Labels -------------------------------------------------------------------------------------------------------

  def absolute(self, target, label):
    """Returns the full label. Aliases are resolved."""
    if label.startswith("@"):
      return label
    if label.startswith("//"):
      package, _, name = label[2:].partition(":")
      label = "//%s:%s" % (package, name or package.split("/")[-1])
    else:
      label = "//%s:%s" % (target.package, label.lstrip(":"))
    found = self.targets.get(label)
    if found is not None and found.kind == "alias":
      return self.absolute(found, found.attributes["actual"])
    return label

  def deps(self, target):
    return [self.absolute(target, label) for label in target.list("deps")]

  def target_of(self, label, user):
    if label not in self.targets:
      raise Error("%s: there is no %s" % (user.label, label))
    return self.targets[label]

  def needs(self, label, seen=None):
    """Returns all labels that `label` depends on, in no order."""
    seen = set() if seen is None else seen
    if label in seen:
      return seen
    seen.add(label)
    target = self.targets.get(label)
    if target is not None:
      for attribute in ("deps", "data", "srcs"):
        for other in target.list(attribute):
          full = self.absolute(target, other)
          if full.startswith("@") or full in self.targets:
            self.needs(full, seen)
    return seen

  def options(self, labels):
    """Returns the options that `labels` need: for their own packages, and for the public libraries that they link."""
    needs = set()
    for label in labels:
      self.needs(label, needs)
    for library in {self.owners[label] for label in needs if label in self.owners}:
      for label in self.public[library]:
        self.needs(label, needs)
    return tuple(sorted({option for repository, option in OPTIONS.items()
                         if any(label.startswith(repository) for label in needs)}))

  def collect(self, label, library, members):
    if label in self.owners or label.startswith("@"):
      return
    self.owners[label] = library
    target = self.target_of(label, self.targets.get(label) or Target("", "", {"name": library}))
    for dep in self.deps(target):
      if target.kind != "cc_proto_library":
        self.collect(dep, library, members)
    members.append(target)

  def cmake_names(self, label):
    """Returns the libraries that a target links if it depends on `label`."""
    if label in self.owners:
      return ["tether_internal::" + self.owners[label]]
    if label.startswith("@"):
      if label not in self.external:
        raise Error("tools/cmake_targets.py has no CMake target for %s" % label)
      return self.external[label]
    return [self.own_name(label)]

  @staticmethod
  def own_name(label):
    return label[2:].replace("/", "_").replace(":", "_")

  # ---- Output -------------------------------------------------------------------------------------------------------

  def call(self, function, name, **arguments):
    """Returns a call of a function in cmake/TetherRules.cmake, without empty arguments."""
    self.lines.append("%s(%s" % (function, name))
    for key, values in arguments.items():
      if values is True:
        self.lines.append("  %s" % key)
      elif values:
        values = [values] if isinstance(values, str) else values
        text = "  %s %s" % (key, " ".join(values))
        if len(text) <= 100:
          self.lines.append(text)
        else:
          self.lines.append("  %s" % key)
          self.lines += ["    %s" % v for v in values]
    self.lines[-1] += ")"
    self.lines.append("")

  def links(self, labels):
    return sorted({name for label in labels for name in self.cmake_names(label)})

  def protos(self, target):
    """Returns (import root, files) of the proto_library that a cc_proto_library or cc_grpc_library uses."""
    sources = target.list("deps" if target.kind == "cc_proto_library" else "srcs")
    if len(sources) != 1:
      raise Error("%s: one proto_library is needed" % target.label)
    proto = self.target_of(self.absolute(target, sources[0]), target)
    return proto.attributes["strip_import_prefix"].strip("/"), [proto.path(f) for f in proto.list("srcs")], proto

  def public_library(self, library):
    sources, headers, protos, grpc_protos, links = [], [], [], [], []
    for target in self.reached[library]:
      if target.list("copts"):
        raise Error("%s: copts in a public library" % target.label)
      if target.kind in ("cc_proto_library", "cc_grpc_library"):
        prefix, files, proto = self.protos(target)
        if target.kind == "cc_grpc_library":
          grpc_protos += [prefix] + files
          links.append("gRPC::grpc++")
          continue
        protos += [prefix] + files
        links.append("protobuf::libprotobuf")
        for label in self.messages_of(proto):
          if self.owners.get(label, library) == library:
            raise Error("%s: imports a proto that is in no other public library" % target.label)
          links += self.cmake_names(label)
        continue
      sources += [target.path(f) for f in target.list("srcs") if f.endswith(".cc")]
      if any(not f.endswith(".cc") for f in target.list("srcs")):
        raise Error("%s: headers of public libraries go into hdrs" % target.label)
      headers += [target.path(f) for f in target.list("hdrs")]
      for dep in self.deps(target):
        # Tests link GoogleTest themselves, and users may have a GoogleTest that CMake can't find.
        if library == "tether_testing" and dep.startswith("@com_google_googletest"):
          continue
        links += [name for name in self.cmake_names(dep)]
    own = "tether_internal::" + library
    links = sorted({name.replace("tether_internal::", "") for name in links if name != own})
    self.call("tether_public_library", library, SRCS=sorted(sources), HDRS=sorted(headers), PROTOS=protos,
              GRPC_PROTOS=grpc_protos, DEPS=links)

  def data(self, target):
    """(files, names of targets)"""
    files, programs = [], []
    for label in target.list("data"):
      full = self.absolute(target, label)
      found = self.targets.get(full)
      if found is None:
        package, _, file = full[2:].partition(":")
        files.append("%s/%s" % (package, file) if package else file)
      elif found.kind == "filegroup":
        files += [found.path(f) for f in found.list("srcs")]
      else:
        programs.append(self.own_name(full))
    return files, programs

  def arguments(self, target):
    """Returns args with expanded paths of files and programs, relative to the root."""
    result = []
    for word in target.list("args"):
      for function in ("$(locations ", "$(location ", "$(rootpath "):
        while function in word:
          head, _, rest = word.partition(function)
          label, _, tail = rest.partition(")")
          full = self.absolute(target, label)
          found = self.targets.get(full)
          if found is None:
            places = [full[2:].replace(":", "/")]
          elif found.kind == "filegroup":
            places = [found.path(f) for f in found.list("srcs")]
          else:
            places = [found.path(found.name)]
          word = head + " ".join(places) + tail
      result += word.split(" ")
    return result

  def timeout(self, target):
    timeout = target.attributes.get("timeout") or SIZES[target.attributes.get("size", "medium")]
    return str(TIMEOUTS[timeout])

  def standard(self, target):
    """Returns the C++ standard, which is the only compiler option that a target may set."""
    standard = None
    for option in target.list("copts"):
      if not option.startswith("-std=c++"):
        raise Error("%s: tools/cmake_targets.py doesn't know the option %s" % (target.label, option))
      standard = option[len("-std=c++"):]
    return standard

  def own_target(self, target):
    name = self.own_name(target.label)
    if target.kind in ("cc_proto_library", "cc_grpc_library"):
      prefix, files, proto = self.protos(target)
      grpc = target.kind == "cc_grpc_library"
      if grpc:
        deps = self.deps(target) + ["@com_github_grpc_grpc//:grpc++"]
      else:
        deps = self.messages_of(proto) + ["@com_google_protobuf//:protobuf"]
      self.call("tether_proto_library", name, GRPC=grpc, PREFIX=prefix, SRCS=files, DEPS=self.links(deps))
      return
    if target.kind == "sh_test":
      files, programs = self.data(target)
      self.call("tether_script_test", target.label[2:].replace(":", "/"), SCRIPT=target.path(target.list("srcs")[0]),
                DATA=files, PROGRAMS=programs, ARGS=self.arguments(target), TIMEOUT=self.timeout(target),
                EXCLUSIVE="exclusive" in target.tags)
      return
    sources = [target.path(f) for f in target.list("srcs")]
    sources = [f for f in sources if f.endswith(".cc")]
    links = self.links(self.deps(target))
    if target.kind == "cc_library":
      prefix = target.attributes.get("strip_include_prefix", "").strip("/")
      self.call("tether_internal_library", name, SRCS=sources, PREFIX=prefix, DEPS=links,
                ALWAYS_LINK=target.attributes.get("alwayslink", False))
      return
    if target.list("linkopts"):
      raise Error("%s: tools/cmake_targets.py doesn't know linkopts" % target.label)
    files, programs = self.data(target)
    test = target.kind == "cc_test"
    self.call("tether_program", name, FOLDER=target.package, NAME=target.name, SRCS=sources, DEPS=links,
              STANDARD=self.standard(target), DATA=files, PROGRAMS=programs, TEST=test,
              ARGS=self.arguments(target) if test else None, TIMEOUT=self.timeout(target) if test else None,
              EXCLUSIVE="exclusive" in target.tags)

  def messages_of(self, proto):
    """Returns the cc_proto_library targets of the protos that a proto_library imports, without those in libprotobuf."""
    wanted = {label for label in self.deps(proto) if not label.startswith("@com_google_protobuf//")}
    found = [t.label for t in self.targets.values()
             if t.kind == "cc_proto_library" and wanted & set(self.deps(t))]
    if len(found) != len(wanted):
      raise Error("%s: each of its imports needs one cc_proto_library" % proto.label)
    return found

  def in_order(self, labels):
    """Returns the labels in the order of their dependencies."""
    done, result = set(), []

    def visit(label):
      if label in done or label not in labels:
        return
      done.add(label)
      target = self.targets[label]
      for attribute in ("deps", "data"):
        for other in target.list(attribute):
          visit(self.absolute(target, other))
      if target.kind == "cc_proto_library":
        for other in self.messages_of(self.target_of(self.deps(target)[0], target)):
          visit(other)
      result.append(label)

    for label in sorted(labels):
      visit(label)
    return result

  def section(self, options, write):
    """Writes what is built only with all of `options`."""
    if options:
      self.lines.append("if(%s)" % " AND ".join(options))
    write()
    if options:
      self.lines[-1:] = ["endif()", ""]

  def generate(self):
    self.lines = [
        "# Generated by tools/cmake_targets.py from the BUILD.bazel files. Don't edit: change those, and run it again.",
        "# The functions are in cmake/TetherRules.cmake.", ""]
    for library, roots in self.public.items():
      self.section(self.options(roots), lambda name=library: self.public_library(name))

    sections = {(): []}  # options -> labels; first those without
    for label, target in sorted(self.targets.items()):
      if label in self.owners or target.kind in ("alias", "filegroup", "proto_library"):
        continue
      options = self.options([label])
      if "manual" not in target.tags or options == (OPENTELEMETRY,):
        sections.setdefault(options, []).append(label)
    self.lines += ["if(NOT TETHER_BUILD_TESTS)", "  return()", "endif()", ""]
    for options, labels in sections.items():
      self.section(options, lambda these=labels: [self.own_target(self.targets[label]) for label in self.in_order(these)])
    return "\n".join(self.lines).rstrip("\n") + "\n"


def main(argv, public=None):
  parser = argparse.ArgumentParser()
  parser.add_argument("--check", action="store_true")
  parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
  options = parser.parse_args(argv)
  output = os.path.join(options.root, OUTPUT)
  try:
    text = Generator(os.path.normpath(options.root), public).generate()
  except Error as e:
    print("cmake_targets: %s" % e, file=sys.stderr)
    return 1
  old = read(output) if os.path.exists(output) else ""
  if options.check:
    if old == text:
      return 0
    sys.stderr.writelines(difflib.unified_diff(
        old.splitlines(True), text.splitlines(True), OUTPUT, "what the BUILD.bazel files say"))
    print("cmake_targets: %s is stale: run tools/cmake_targets.py, and commit it" % OUTPUT, file=sys.stderr)
    return 1
  if old != text:
    os.makedirs(os.path.dirname(output), exist_ok=True)
    with open(output, "w", encoding="utf-8") as file:
      file.write(text)
  return 0


if __name__ == "__main__":
  import header_targets  # it imports this file
  sys.exit(main(sys.argv[1:]) or header_targets.main(sys.argv[1:]))
