#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the deps of the BUILD.bazel files against the #include lines of the sources.

  tools/check_deps.py          prints each unused and each missing dep, and fails if there is one
  tools/check_deps.py --fix    rewrites the deps instead

A target names the library of each header that its own files include, and no other library. Clang's layering_check (the stage
"clang" of .ci/run) also finds missing deps, but clang 14 checks only .cc files, and no compiler finds unused deps.
//:tether and //:tether_grpc collect other libraries for users, so their deps aren't checked.
"""

import argparse
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cmake_targets  # noqa: E402

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
CHECKED = ("cc_library", "cc_binary", "cc_test")

# Headers of other repositories -> the labels that have them; the first match counts. Abseil's labels follow the headers.
EXTERNAL = [
    (r"absl/base/(attributes|macros|optimization|port|thread_annotations|const_init)\.h",
     ["@com_google_absl//absl/base:core_headers"]),
    (r"absl/flags/usage_config\.h", ["@com_google_absl//absl/flags:config"]),
    (r"grpcpp/ext/proto_server_reflection_plugin\.h", ["@com_github_grpc_grpc//:grpc++_reflection"]),
    (r"grpc(pp)?/.*", ["@com_github_grpc_grpc//:grpc++"]),
    (r"google/protobuf/.*", ["@com_google_protobuf//:protobuf"]),
    (r"g(test|mock)/.*", ["@com_google_googletest//:gtest_main", "@com_google_googletest//:gtest"]),
    (r"civetweb\.h", ["@civetweb//:libcivetweb"]),
    (r"benchmark/.*", ["@com_github_google_benchmark//:benchmark"]),
    (r"prometheus/exposer\.h", ["@com_github_jupp0r_prometheus_cpp//pull"]),
    (r"prometheus/.*", ["@com_github_jupp0r_prometheus_cpp//core"]),
    (r"ncurses\.h", ["@ncurses//:ncurses"]),
    (r"opentelemetry/exporters/memory/.*", ["@io_opentelemetry_cpp//exporters/memory:in_memory_span_exporter"]),
    (r"opentelemetry/sdk/metrics/.*", ["@io_opentelemetry_cpp//sdk/src/metrics"]),
    (r"opentelemetry/sdk/.*", ["@io_opentelemetry_cpp//sdk/src/trace"]),
    (r"opentelemetry/.*", ["@io_opentelemetry_cpp//api"]),
]
MAIN = "@com_google_googletest//:gtest_main"  # linked for its main(), not for a header
COLLECTIONS = {
    "//lib/tether:tether", "//interceptors/tether/grpc:grpc", "//observability/tether/observability:observability"
}
NOBODY = "no target"


class Tree:
  """The targets of the BUILD files, and the owners of each header."""

  def __init__(self, root):
    self.root = root
    self.generator = cmake_targets.Generator(root, {})
    self.targets = self.generator.targets
    self.owners = {}  # path in an #include -> labels
    for label, target in self.targets.items():
      for name in self.header_names(target):
        self.owners.setdefault(name, []).append(label)

  def header_names(self, target):
    if target.kind in ("cc_proto_library", "cc_grpc_library"):
      prefix, files, _ = self.generator.protos(target)
      end = ".pb.h" if target.kind == "cc_proto_library" else ".grpc.pb.h"
      return [os.path.relpath(f, prefix)[:-len(".proto")] + end for f in files]
    if target.kind != "cc_library":
      return []
    prefix = target.attributes.get("strip_include_prefix", "").strip("/")
    return [os.path.relpath(target.path(f), prefix or ".") for f in target.list("hdrs")]

  def files(self, target):
    return [target.path(f) for f in target.list("srcs") + target.list("hdrs") if f.endswith((".h", ".cc"))]

  def providers(self, target, file, name, quoted):
    """Returns the labels that have the header, or None for the target's own headers and standard headers."""
    beside = os.path.normpath(os.path.join(os.path.dirname(file), name)) if quoted else None
    if beside and os.path.isfile(os.path.join(self.root, beside)):
      if beside in self.files(target):
        return None
      return [l for l, t in self.targets.items() if t.kind == "cc_library" and beside in self.files(t)]
    if name in self.owners:
      return None if target.label in self.owners[name] else self.owners[name]
    if name in self.files(target):
      return None
    for pattern, labels in EXTERNAL:
      if re.fullmatch(pattern, name):
        return labels
    if name.startswith("absl/"):
      folder, _, base = name[:-len(".h")].rpartition("/")
      for label in ("@com_google_absl//%s:%s" % (folder, base), "@com_google_absl//" + folder):
        if label in self.generator.external:
          return [label]
    return [] if quoted else None

  def check(self, target):
    """({missing dep: the include that needs it}, [unused deps as written])"""
    written = {self.generator.absolute(target, dep): dep for dep in target.list("deps")}
    missing, used = {}, {MAIN}
    for file in self.files(target):
      with open(os.path.join(self.root, file), encoding="utf-8") as source:
        text = source.read()
      for mark, name in INCLUDE.findall(text):
        providers = self.providers(target, file, name, mark == '"')
        if providers is None:
          continue
        found = [label for label in providers if label in written]
        used.update(found)
        if not found:
          missing.setdefault(providers[0] if providers else NOBODY, "%s includes %s" % (file, name))
    return missing, [dep for label, dep in written.items() if label not in used and not self.is_linked_only(label)]

  def is_linked_only(self, label):
    """True if a target has no headers, so that it is linked only for its effect."""
    return label in self.targets and label not in COLLECTIONS and not self.header_names(self.targets[label])

  def problems(self):
    """[(target, missing, unused)]"""
    found = []
    for label, target in sorted(self.targets.items()):
      if target.kind in CHECKED and label not in COLLECTIONS:
        missing, unused = self.check(target)
        if missing or unused:
          found.append((target, missing, unused))
    return found


def shorter(target, label):
  """Returns `label` in the form that BUILD files use."""
  if label.startswith("//%s:" % target.package):
    return label[len("//" + target.package):]
  package, _, name = label.partition(":")
  return package if name == package.split("/")[-1] else label


def order(dep):
  """Buildifier's."""
  return (0 if dep.startswith(":") else 1 if dep.startswith("//") else 2, dep.replace(":", "\1").replace("/", "\2"))


def rewrite(root, target, deps):
  path = os.path.join(root, target.package, "BUILD.bazel")
  with open(path, encoding="utf-8") as file:
    text = file.read()
  deps = sorted(set(deps), key=order)
  if len(deps) == 1:
    written = "    deps = [\"%s\"],\n" % deps[0]
  else:
    written = "    deps = [\n%s    ],\n" % "".join('        "%s",\n' % dep for dep in deps) if deps else ""
  rule = re.search(r'^\w+\(\n    name = "%s",\n(.*?)^\)\n' % re.escape(target.name), text, re.S | re.M)
  body, count = re.subn(r"^    deps = \[.*?\],\n", lambda _: written, rule.group(0), 1, re.S | re.M)
  if not count:
    body = rule.group(0)[:-len(")\n")] + written + ")\n"
  with open(path, "w", encoding="utf-8") as file:
    file.write(text[:rule.start()] + body + text[rule.end():])


def main(argv):
  parser = argparse.ArgumentParser()
  parser.add_argument("--fix", action="store_true")
  parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
  options = parser.parse_args(argv)
  root = os.path.normpath(options.root)
  problems = Tree(root).problems()
  if options.fix:
    for target, missing, unused in problems:
      kept = [dep for dep in target.list("deps") if dep not in unused]
      rewrite(root, target, kept + [shorter(target, label) for label in missing if label != NOBODY])
    problems = Tree(root).problems()  # problems that no dep can fix
  for target, missing, unused in problems:
    for label, reason in sorted(missing.items()):
      print("%s: missing dep %s: %s" % (target.label, shorter(target, label), reason))
    for dep in unused:
      print("%s: unused dep %s" % (target.label, dep))
  return 1 if problems else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
